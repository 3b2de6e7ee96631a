"""What a rollup is: one instance's samples of one bucket, taken together.

This defines the result; sql/recompute_rollups.sql computes the same in the database, and a test
holds the two against each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hostmeter_agent.wire import kind_of

from metering.core.buckets import bucket_of

_MICROSECOND = timedelta(microseconds=1)
_WHOLE_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class MeasuredWindow:
    """One sample, as far as a rollup looks at it. Quantities are in the meters' wire units."""

    application_id: UUID
    instance_id: UUID
    role: str
    start: datetime
    end: datetime
    coverage_ppm: int
    usage: Mapping[str, int]
    measurement: UUID | None = None


@dataclass(frozen=True, slots=True, order=True)
class RollupKey:
    application_id: UUID
    bucket_start: datetime
    instance_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`covered_us` of `window_us` microseconds were measured (rounded down). A meter is in `usage`
    when at least one sample has it: what was not measured is absent, never 0. `measurements` are
    the samples' profiles, None among them for samples that name none."""

    samples: int
    window_us: int
    covered_us: int
    usage: Mapping[str, int]
    measurements: frozenset[UUID | None] = frozenset({None})


def aggregates(windows: Iterable[MeasuredWindow]) -> dict[RollupKey, Aggregate]:
    """Each bucket's rollups, by instance and role."""
    groups: dict[RollupKey, list[MeasuredWindow]] = {}
    for window in windows:
        key = RollupKey(
            window.application_id, bucket_of(window.start), window.instance_id, window.role
        )
        groups.setdefault(key, []).append(window)
    return {key: _aggregate(group) for key, group in groups.items()}


def _aggregate(windows: list[MeasuredWindow]) -> Aggregate:
    lengths_us = [(window.end - window.start) // _MICROSECOND for window in windows]
    covered = sum(
        length_us * window.coverage_ppm
        for length_us, window in zip(lengths_us, windows, strict=True)
    )
    meters = {meter for window in windows for meter in window.usage}
    return Aggregate(
        samples=len(windows),
        window_us=sum(lengths_us),
        covered_us=covered // _WHOLE_PPM,
        usage={
            meter: combined_quantities(
                meter, [window.usage[meter] for window in windows if meter in window.usage]
            )
            for meter in meters
        },
        measurements=frozenset(window.measurement for window in windows),
    )


def combined_quantities(meter: str, quantities: list[int]) -> int:
    """What several quantities of one meter come to: the largest of maxima, else the sum (counters
    and gauges' integrals both add up)."""
    return max(quantities) if kind_of(meter) == "maximum" else sum(quantities)
