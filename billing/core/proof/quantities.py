"""From rollups to the quantities that rating is given: what billing.billable asks the database,
said in plain Python. A test holds the two against each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.core.proof.records import RollupRecord
from billing.core.provenance import Provenance
from billing.core.rating import UsageQuantity
from billing.core.readings import Reading
from metering.core.aggregation import combined_quantities
from metering.core.quality import NOT_STATED, Profile, in_order, refused_qualities


class RollupNotBilled(ValueError):
    """A rollup lies outside every stretch of time in which its application is the customer's."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """An application's usage is the customer's over [start, end)."""

    application: str
    start: datetime
    end: datetime


@dataclass(slots=True)
class _Totals:
    billed: dict[Reading, int] = field(default_factory=dict)
    refused: dict[Reading, int] = field(default_factory=dict)
    profiles: set[str | None] = field(default_factory=set)


def billable_quantities(
    readings: Collection[Reading],
    rollups: Iterable[RollupRecord],
    *,
    profiles: Mapping[str, Profile],
    assigned: Collection[Assigned],
    names: Mapping[str, str],
) -> list[UsageQuantity]:
    """The customer's usage by each reading, in no order.

    A rollup is billed whole or not at all: not where any of its profiles says that the meter was
    measured in a quality that the reading does not accept. Raises RollupNotBilled, and KeyError
    for a profile or an application that is not given.
    """
    refusing = {
        each: frozenset(
            known
            for known, profile in profiles.items()
            if profile.is_refused(each.meter, each.accepts)
        )
        for each in readings
    }
    stretches = _stretches(assigned)
    totals: defaultdict[str, _Totals] = defaultdict(_Totals)
    for rollup in rollups:
        _require_assigned(rollup, stretches)
        own = totals[rollup.application]
        own.profiles |= rollup.measured
        for each in readings:
            if each.meter in rollup.usage:
                accepted = refusing[each].isdisjoint(rollup.measured)
                _add(own.billed if accepted else own.refused, each, rollup.usage[each.meter])
    return [
        _quantity(application, names[application], each, own, profiles)
        for application, own in totals.items()
        for each in readings
        if own.billed.get(each) or own.refused.get(each)
    ]


def _stretches(assigned: Iterable[Assigned]) -> Mapping[str, Sequence[Assigned]]:
    stretches: defaultdict[str, list[Assigned]] = defaultdict(list)
    for each in assigned:
        stretches[each.application].append(each)
    return stretches


def _require_assigned(rollup: RollupRecord, stretches: Mapping[str, Sequence[Assigned]]) -> None:
    own = stretches.get(rollup.application, ())
    if not any(each.start <= rollup.start < each.end for each in own):
        raise RollupNotBilled(
            f"usage of application {rollup.application} at {rollup.start:%Y-%m-%d %H:%M} UTC is "
            "not the customer's"
        )


def _add(totals: dict[Reading, int], reading: Reading, quantity: int) -> None:
    before = [totals[reading]] if reading in totals else []
    totals[reading] = combined_quantities(reading.meter, [*before, quantity])


def _quantity(
    application: str,
    name: str,
    reading: Reading,
    own: _Totals,
    profiles: Mapping[str, Profile],
) -> UsageQuantity:
    named = (
        NOT_STATED if each is None else profiles[each].of(reading.meter) for each in own.profiles
    )
    measured = in_order(each for each in named if each is not None) or (NOT_STATED,)
    refused = own.refused.get(reading, 0)
    reasons = refused_qualities(reading.accepts) if refused else frozenset[str]()
    found = dict.fromkeys(how.quality for how in measured if how.quality in reasons)
    provenance = Provenance(refused, tuple(found), measured)
    quantity = own.billed.get(reading, 0)
    return UsageQuantity(application, name, reading, quantity, provenance=provenance)
