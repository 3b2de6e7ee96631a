"""Which usage a customer pays for, as the rating core takes it. Every query runs inside a tenant's
scope and only reads.

Usage counts inside the customer's assignments and the billing period alone, and as far as the price
accepts how it was measured. What could not be attributed to a program is never billed.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from django.db.models import Q, QuerySet

from billing.core.cells import Cell, CellUsage
from billing.core.charges import readings_of
from billing.core.explanation import Json
from billing.core.intervals import Raw
from billing.core.periods import Period
from billing.core.provenance import Provenance
from billing.core.rating import NO_PROVENANCE, PriceSpec, UsageQuantity
from billing.core.readings import Reading
from billing.usage_basis import Basis, basis_of, facts_of, overlap_facts
from billing.usage_buckets import BucketReading, Buckets
from billing.usage_totals import GROWING, is_total, refused_totals, totals, totals_by_day
from metering.models import UNATTRIBUTED, Assignment
from metering.usage import UsagePeriod
from tenants.models import Customer

UsageByDay = Mapping[date, Sequence[UsageQuantity]]


def assigned_periods(customer: Customer, period: Period) -> list[UsagePeriod]:
    """Which applications' usage is the customer's in the period, and from when to when."""
    return _periods(Assignment.objects.filter(customer=customer), period)


def billable_periods(customer: Customer, period: Period) -> list[UsagePeriod]:
    """Which applications' usage the customer pays for in the period, and from when to when."""
    assignments = Assignment.objects.filter(customer=customer)
    return _periods(assignments.exclude(application__name=UNATTRIBUTED), period)


def _periods(assignments: "QuerySet[Assignment]", period: Period) -> list[UsagePeriod]:
    overlapping = Q(starts_at__lt=period.end) & (
        Q(ends_at__isnull=True) | Q(ends_at__gt=period.start)
    )
    return [
        UsagePeriod(
            assignment.application_id,
            max(assignment.starts_at, period.start),
            min(assignment.ends_at or period.end, period.end),
        )
        for assignment in assignments.filter(overlapping)
    ]


def billable_usage(
    customer: Customer, prices: Sequence[PriceSpec], period: Period
) -> list[UsageQuantity]:
    """The period's usage."""
    return usage_of(billable_periods(customer, period), readings_of(prices), period)


def usage_of(
    periods: Sequence[UsagePeriod], readings: Sequence[Reading], period: Period
) -> list[UsageQuantity]:
    """What applications used in their periods, all within `period`, by each reading. They may be
    many, in as many queries as for one; a reading over the customer takes them for one customer's.
    """
    basis = basis_of(periods, readings, period)
    total, by_bucket = _told_apart(basis, readings)
    return [*_of_totals(basis, total), *_of_buckets(basis, Buckets(basis, by_bucket), by_bucket)]


def billable_usage_by_day(
    customer: Customer, prices: Sequence[PriceSpec], period: Period
) -> tuple[UsageByDay, list[UsageQuantity]]:
    """The usage of each day in the customer's time zone, and of the whole period. What looks at
    the period's intervals, and what counts different values, is of no day."""
    periods, readings = billable_periods(customer, period), readings_of(prices)
    basis = basis_of(periods, readings, period)
    total, by_bucket = _told_apart(basis, readings)
    buckets = Buckets(basis, by_bucket)
    days: defaultdict[date, list[UsageQuantity]] = defaultdict(list)
    for day, by_reading in totals_by_day(basis, total, customer.time_zone).items():
        for reading, cells in by_reading.items():
            days[day] += _bare(basis, reading, cells)
    for reading in by_bucket:
        if reading.aggregation in GROWING:
            for day, cells in buckets.read_by_day(reading, customer.time_zone).items():
                days[day] += _bare(basis, reading, cells)
    whole = [*_of_totals(basis, total), *_of_buckets(basis, buckets, by_bucket)]
    return days, whole


def _told_apart(basis: Basis, readings: Sequence[Reading]) -> tuple[list[Reading], list[Reading]]:
    """Those that hours tell, and those that need buckets."""
    total = [each for each in readings if is_total(each, basis)]
    known = set(total)
    return total, [each for each in readings if each not in known]


def _bare(
    basis: Basis, reading: Reading, cells: Mapping[Cell, CellUsage]
) -> Iterator[UsageQuantity]:
    """Of a day: what was refused, and all facts, are told of the period alone."""
    for cell, used in cells.items():
        if used.quantity:
            yield _quantity(basis, reading, cell, used.quantity, NO_PROVENANCE, {})


def _of_totals(basis: Basis, readings: Sequence[Reading]) -> Iterator[UsageQuantity]:
    refused = refused_totals(basis, readings)
    for reading, cells in totals(basis, readings).items():
        yield from _quantities(basis, reading, BucketReading(cells, refused[reading], {}))


def _of_buckets(
    basis: Basis, buckets: Buckets, readings: Sequence[Reading]
) -> Iterator[UsageQuantity]:
    for reading in readings:
        yield from _quantities(basis, reading, buckets.read(reading))


def _quantities(basis: Basis, reading: Reading, read: BucketReading) -> Iterator[UsageQuantity]:
    # A meter that stood still all period makes no line: 0 of it costs nothing.
    cells = {cell for cell, used in read.cells.items() if used.quantity or used.chosen}
    cells |= {cell for cell, quantity in read.refused.items() if quantity}
    overlaps = overlap_facts(reading, basis)
    for cell in cells:
        used = read.cells.get(cell, CellUsage(0))
        facts = facts_of(reading, used, overlaps.get(cell[0]), read.gaps.get(cell))
        coverage = basis.coverage(cell)
        if coverage is not None:
            facts["coverage"] = coverage
        provenance = basis.provenance(reading, cell, read.refused.get(cell, 0))
        yield _quantity(basis, reading, cell, used.quantity, provenance, facts)


def _quantity(
    basis: Basis,
    reading: Reading,
    cell: Cell,
    quantity: Raw,
    provenance: Provenance,
    facts: Mapping[str, Json],
) -> UsageQuantity:
    application_id, attributes = cell
    return UsageQuantity(
        None if application_id is None else str(application_id),
        basis.name_of(cell),
        reading,
        quantity,
        attributes,
        provenance,
        facts,
    )
