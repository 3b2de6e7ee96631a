"""From one meter's usage bucket by bucket to the quantities that a reading counts: pure.

A cell is what becomes one line: an application, or the customer where a reading looks over all
applications, and a value for each attribute that a matrix price tells apart.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from hostmeter_agent.wire import kind_of

from billing.core.intervals import Chosen, Raw, interval_of, peak, percentile
from billing.core.quantity import plus
from billing.core.readings import Reading
from billing.core.weighing import factor_of, weighed, weighed_together
from metering.core.aggregation import combined_quantities
from metering.core.filling import BucketUsage

Attributes = tuple[tuple[str, str], ...]
Cell = tuple[UUID | None, Attributes]


@dataclass(frozen=True, slots=True)
class CellUsage:
    """What a cell comes to. `by_role` is raw usage before the roles' factors; `chosen` says which
    interval gave the value of a percentile or a peak."""

    quantity: Raw
    by_role: Mapping[str, Raw] = field(default_factory=dict)
    chosen: Chosen | None = None


def cell_of(reading: Reading, application_id: UUID, attributes: Attributes = ()) -> Cell:
    return (None if reading.over == "customer" else application_id), attributes


def cells_of(
    reading: Reading, buckets: Iterable[tuple[BucketUsage, Attributes]], intervals: int
) -> dict[Cell, CellUsage]:
    """What each cell used, by the reading; a period of so many intervals is looked at. Usage in a
    role whose factor is 0 counts nowhere."""
    billed = [
        (cell_of(reading, bucket.application_id, attributes), bucket)
        for bucket, attributes in buckets
        if factor_of(reading.factors, bucket.role) and bucket.quantity is not None
    ]
    if reading.aggregation in ("percentile", "peak"):
        return _by_interval(reading, billed, intervals)
    by_role: defaultdict[Cell, dict[str, Raw]] = defaultdict(dict)
    for cell, bucket in billed:
        before = by_role[cell].get(bucket.role, 0)
        by_role[cell][bucket.role] = combined_quantities(
            reading.meter, [int(before), bucket.quantity or 0]
        )
    return {
        cell: CellUsage(weighed_together(reading, roles), roles) for cell, roles in by_role.items()
    }


def _by_interval(
    reading: Reading, billed: Iterable[tuple[Cell, BucketUsage]], intervals: int
) -> dict[Cell, CellUsage]:
    """An instance's buckets of an interval are taken together first, then the instances."""
    parts: dict[tuple[Cell, datetime, UUID, str], int] = {}
    maximum = kind_of(reading.meter) == "maximum"
    for cell, bucket in billed:
        start = interval_of(bucket.bucket_start, reading.interval_minutes)
        key, quantity = (cell, start, bucket.instance_id, bucket.role), bucket.quantity or 0
        before = parts.get(key, 0)
        parts[key] = max(before, quantity) if maximum else before + quantity
    values: defaultdict[Cell, dict[datetime, Raw]] = defaultdict(dict)
    for (cell, start, _, role), quantity in parts.items():
        share = weighed(quantity, factor_of(reading.factors, role))
        values[cell][start] = plus(values[cell].get(start, 0), share)
    return {cell: _chosen(reading, own, intervals) for cell, own in values.items()}


def _chosen(reading: Reading, values: Mapping[datetime, Raw], intervals: int) -> CellUsage:
    if reading.aggregation == "peak":
        chosen = peak(values, intervals)
    else:
        chosen = percentile(values, intervals, reading.percentile)
    return CellUsage(chosen.quantity, {}, chosen)
