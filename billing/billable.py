"""Which usage a customer pays for, as the rating core takes it. Every query runs inside a tenant's
scope and only reads.

Usage counts inside the customer's assignments and the billing period alone, and as far as the price
accepts how it was measured. What could not be attributed to a program is never billed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db.models import Q, QuerySet

from billing.core.charges import readings_of
from billing.core.periods import Period
from billing.core.provenance import Provenance
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading
from metering.core.aggregation import combined_quantities
from metering.core.quality import refused_qualities
from metering.measurements import Wanted, measured_by, profiles, refused_profiles
from metering.models import UNATTRIBUTED, Application, Assignment
from metering.usage import (
    UsagePeriod,
    profiles_behind,
    usage_by_application,
    usage_by_day,
    usage_with,
)
from tenants.models import Customer

UsageByDay = Mapping[date, Sequence[UsageQuantity]]
# What one application used, as far as it was measured as is wanted.
_Key = tuple[UUID, Wanted]


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
    basis = _basis(customer, prices, period)
    billed: dict[_Key, int] = {}
    for refused, wanted in basis.by_refused.items():
        used = usage_by_application(basis.periods, _meters_of(wanted), without=refused)
        billed |= _by_key(used, wanted)
    return basis.quantities(billed)


def billable_usage_by_day(
    customer: Customer, prices: Sequence[PriceSpec], period: Period
) -> tuple[UsageByDay, list[UsageQuantity]]:
    """The usage of each day in the customer's time zone, and of the whole period."""
    basis = _basis(customer, prices, period)
    days: defaultdict[date, dict[_Key, int]] = defaultdict(dict)
    for refused, wanted in basis.by_refused.items():
        meters, zone = _meters_of(wanted), customer.time_zone
        used = usage_by_day(basis.periods, meters, zone, without=refused)
        for day, by_application in used.items():
            days[day] |= _by_key(by_application, wanted)
    whole: dict[_Key, int] = {}
    for used_that_day in days.values():
        for key, quantity in used_that_day.items():
            whole[key] = combined_quantities(key[1].meter, [whole.get(key, 0), quantity])
    by_day = {day: basis.quantities(used_then, bare=True) for day, used_then in days.items()}
    return by_day, basis.quantities(whole)


@dataclass(frozen=True, slots=True)
class _Basis:
    """What the usage of a period is read with. `by_refused` gathers what is wanted by the profiles
    that it leaves out; mostly there are none."""

    periods: list[UsagePeriod]
    readings: Mapping[Wanted, Sequence[Reading]]
    names: Mapping[UUID, str]
    by_refused: Mapping[frozenset[UUID], Sequence[Wanted]]
    refused: Mapping[_Key, int]
    provenances: Mapping[_Key, Provenance]

    def quantities(self, billed: Mapping[_Key, int], *, bare: bool = False) -> list[UsageQuantity]:
        """Rated usage. Those of a day are `bare`: what was refused is told of the period alone."""
        # A meter that stood still all period makes no line: 0 of it costs nothing.
        keys = {key for key, quantity in billed.items() if quantity}
        if not bare:
            keys |= {key for key, quantity in self.refused.items() if quantity}
        return [
            UsageQuantity(
                str(application_id),
                self.names[application_id],
                reading,
                billed.get((application_id, wanted), 0),
                provenance=Provenance() if bare else self.provenances[application_id, wanted],
            )
            for application_id, wanted in keys
            for reading in self.readings[wanted]
        ]


def _basis(customer: Customer, prices: Sequence[PriceSpec], period: Period) -> _Basis:
    periods = billable_periods(customer, period)
    readings: defaultdict[Wanted, list[Reading]] = defaultdict(list)
    for reading in readings_of(prices):
        readings[Wanted(reading.meter, reading.accepts)].append(reading)
    every = set(readings)
    without = refused_profiles(every)
    by_refused: defaultdict[frozenset[UUID], list[Wanted]] = defaultdict(list)
    for wanted in sorted(every, key=lambda each: (each.meter, sorted(each.accepts))):
        by_refused[without.get(wanted, frozenset())].append(wanted)
    refused: dict[_Key, int] = {}
    for ids, wanted_so in by_refused.items():
        refused |= _by_key(usage_with(periods, _meters_of(wanted_so), ids), wanted_so)
    return _Basis(
        periods=periods,
        readings=readings,
        names=_names_of({each.application_id for each in periods}),
        by_refused=by_refused,
        refused=refused,
        provenances=_provenances(periods, every, refused),
    )


def _provenances(
    periods: Sequence[UsagePeriod], wanted: Collection[Wanted], refused: Mapping[_Key, int]
) -> dict[_Key, Provenance]:
    behind = profiles_behind(periods)
    known = profiles(frozenset[UUID | None]().union(*behind.values()))
    provenances = {}
    for application_id, ids in behind.items():
        for each in wanted:
            measured, key = measured_by(ids, known, each.meter), (application_id, each)
            unbilled = refused.get(key, 0)
            reasons = refused_qualities(each.accepts) if unbilled else frozenset[str]()
            found = dict.fromkeys(how.quality for how in measured if how.quality in reasons)
            provenances[key] = Provenance(unbilled, tuple(found), measured)
    return provenances


def _by_key(used: Mapping[UUID, Mapping[str, int]], wanted: Sequence[Wanted]) -> dict[_Key, int]:
    return {
        (application_id, each): by_meter[each.meter]
        for application_id, by_meter in used.items()
        for each in wanted
        if each.meter in by_meter
    }


def _meters_of(wanted: Iterable[Wanted]) -> list[str]:
    return sorted({each.meter for each in wanted})


def _names_of(application_ids: Collection[UUID]) -> dict[UUID, str]:
    known = Application.objects.filter(pk__in=list(application_ids))
    return dict(known.values_list("pk", "name"))
