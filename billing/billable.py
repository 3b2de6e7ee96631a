"""Which usage a customer pays for, as the rating core takes it. Every query runs inside a tenant's
scope and only reads.

Usage counts inside the customer's assignments and the billing period alone, and as far as the price
accepts how it was measured. What could not be attributed to a program is never billed.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from billing.core.cells import Cell, CellUsage
from billing.core.charges import readings_of
from billing.core.explanation import Json
from billing.core.gap_credit import ExpectedTime
from billing.core.intervals import Raw
from billing.core.periods import Period
from billing.core.provenance import Provenance
from billing.core.rating import NO_PROVENANCE, PriceSpec, UsageQuantity
from billing.core.readings import Reading
from billing.usage_basis import Basis, basis_of, facts_of, overlap_facts
from billing.usage_buckets import BucketReading, Buckets
from billing.usage_totals import (
    GROWING,
    is_told_by_hours,
    is_total,
    refused_totals,
    totals,
    totals_by_day,
)
from metering.coverage import silences_in
from metering.measured_time import measured_time
from metering.models import UNATTRIBUTED, Assignment
from metering.usage import measured_usage
from metering.usage_rows import UsagePeriod
from tenants.models import Customer

# An application's id, and from when to when it is assigned; without an end as yet None. Values, not
# models: a customer can have thousands.
_ASSIGNED: Final = ("application_id", "starts_at", "ends_at")
_Assigned = tuple[UUID, datetime, datetime | None]

UsageByDay = Mapping[date, Sequence[UsageQuantity]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a customer used in a period, by the readings of these prices."""

    customer_id: UUID
    period: Period
    prices: Sequence[PriceSpec]


def assigned_periods(customer: Customer, period: Period) -> list[UsagePeriod]:
    """Which applications' usage is the customer's in the period, and from when to when."""
    assigned = _overlapping(Assignment.objects.filter(customer=customer), period)
    return _periods(assigned.values_list(*_ASSIGNED), period)


def billable_periods(customer: Customer, period: Period) -> list[UsagePeriod]:
    """Which applications' usage the customer pays for in the period, and from when to when."""
    return _periods(_billable([customer.pk], period).values_list(*_ASSIGNED), period)


def billable_periods_of_many(asked: Sequence[tuple[UUID, Period]]) -> list[list[UsagePeriod]]:
    """As billable_periods, of customers by their ids, each in a period."""
    if not asked:
        return []
    around = Period(
        min(period.start for _, period in asked), max(period.end for _, period in asked)
    )
    assigned: defaultdict[UUID, list[_Assigned]] = defaultdict(list)
    billable = _billable([customer_id for customer_id, _ in asked], around)
    for customer_id, *which in billable.values_list("customer_id", *_ASSIGNED):
        assigned[customer_id].append(tuple(which))
    return [_periods(assigned[customer_id], period) for customer_id, period in asked]


def _billable(customer_ids: Collection[UUID], period: Period) -> "QuerySet[Assignment]":
    assignments = Assignment.objects.filter(customer__in=customer_ids)
    return _overlapping(assignments.exclude(application__name=UNATTRIBUTED), period)


def _overlapping(assignments: "QuerySet[Assignment]", period: Period) -> "QuerySet[Assignment]":
    return assignments.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=period.start), starts_at__lt=period.end
    )


def _periods(assigned: Iterable[_Assigned], period: Period) -> list[UsagePeriod]:
    return [
        UsagePeriod(
            application_id, max(starts_at, period.start), min(ends_at or period.end, period.end)
        )
        for application_id, starts_at, ends_at in assigned
        if starts_at < period.end and (ends_at is None or ends_at > period.start)
    ]


def billable_usage(wanted: Sequence[Wanted]) -> list[list[UsageQuantity]]:
    """What each asks for. What hours tell is read for many customers together, in as many queries
    as for one; what needs each 5 minutes is read customer by customer, so that no more than one
    customer's are in memory."""
    found: list[list[UsageQuantity]] = [[] for _ in wanted]
    if not wanted:
        return found
    own = billable_periods_of_many([(each.customer_id, each.period) for each in wanted])
    batches: defaultdict[Hashable, list[_Batch]] = defaultdict(list)
    for place, (each, periods) in enumerate(zip(wanted, own, strict=True)):
        told, rest = _by_hours(readings_of(each.prices))
        if told:
            _take(batches, place, each.period, told, periods)
        if rest:
            found[place] += usage_of(periods, rest, each.period)
    for batch in (batch for own in batches.values() for batch in own):
        for used in usage_of(batch.periods, batch.readings, batch.period):
            found[batch.places[str(used.application_id)]].append(used)
    return found


def expected_time_of_many(asked: Sequence[tuple[UUID, Period]]) -> list[ExpectedTime]:
    """For how long usage of the customers' applications was expected in a period each, and for how
    long of that it was measured: as the coverage of their lines says, over all applications."""
    found = [ExpectedTime()] * len(asked)
    batches: defaultdict[Hashable, list[_Batch]] = defaultdict(list)
    for place, periods in enumerate(billable_periods_of_many(asked)):
        _take(batches, place, asked[place][1], (), periods)
    for batch in (batch for own in batches.values() for batch in own):
        for application_id, time in _expected_time(batch.periods).items():
            place = batch.places[str(application_id)]
            found[place] = found[place].plus(time)
    return found


def _expected_time(periods: Sequence[UsagePeriod]) -> dict[UUID, ExpectedTime]:
    found: defaultdict[UUID, ExpectedTime] = defaultdict(ExpectedTime)
    for application_id, time in measured_time(measured_usage(periods, ())).items():
        found[application_id] = ExpectedTime(time.covered_us, time.window_us)
    for silence in silences_in(periods):
        silent = ExpectedTime(0, silence.length_us)
        found[silence.application_id] = found[silence.application_id].plus(silent)
    return found


def _by_hours(readings: Sequence[Reading]) -> tuple[list[Reading], list[Reading]]:
    """Those that hours tell application by application, and the others."""
    told = [each for each in readings if is_told_by_hours(each) and each.over == "application"]
    known = set(told)
    return told, [each for each in readings if each not in known]


@dataclass(slots=True)
class _Batch:
    """Applications to be read together; `places` says who asked for which."""

    period: Period
    readings: Sequence[Reading]
    periods: list[UsagePeriod] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)


def _take(
    batches: defaultdict[Hashable, list[_Batch]],
    place: int,
    period: Period,
    readings: Sequence[Reading],
    periods: Sequence[UsagePeriod],
) -> None:
    """Add a customer's applications to a batch of the same readings. One that had another customer
    in the same period is read apart, and so is what was not theirs all the time: that takes the
    database a harder question."""
    whole = all((each.start, each.end) == (period.start, period.end) for each in periods)
    own = {str(each.application_id) for each in periods}
    alike = batches[period, tuple(readings), whole]
    batch = next((each for each in alike if own.isdisjoint(each.places)), None)
    if batch is None:
        batch = _Batch(period, readings)
        alike.append(batch)
    batch.periods += periods
    batch.places |= dict.fromkeys(own, place)


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
