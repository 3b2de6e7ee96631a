"""From rollups to the quantities that rating is given: what billing.billable asks the database,
said in plain Python. A test holds the two against each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.core.proof.records import RollupRecord
from billing.core.provenance import Provenance
from billing.core.rating import PriceSpec, UsageQuantity
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


# Usage of a meter, as far as it was measured in the qualities.
_Wanted = tuple[str, frozenset[str]]


@dataclass(slots=True)
class _Totals:
    billed: dict[_Wanted, int] = field(default_factory=dict)
    refused: dict[_Wanted, int] = field(default_factory=dict)
    profiles: set[str | None] = field(default_factory=set)


def billable_quantities(
    prices: Sequence[PriceSpec],
    rollups: Iterable[RollupRecord],
    *,
    profiles: Mapping[str, Profile],
    assigned: Collection[Assigned],
    names: Mapping[str, str],
) -> list[UsageQuantity]:
    """The customer's usage as the prices read it, in no order.

    A rollup is billed whole or not at all: not where any of its profiles says that the meter was
    measured in a quality that the price does not accept. Raises RollupNotBilled, and KeyError for
    a profile or an application that is not given.
    """
    wanted = {(price.meter, price.accepts) for price in prices}
    refusing = {
        each: frozenset(
            known for known, profile in profiles.items() if profile.is_refused(each[0], each[1])
        )
        for each in wanted
    }
    stretches = _stretches(assigned)
    totals: defaultdict[str, _Totals] = defaultdict(_Totals)
    for rollup in rollups:
        _require_assigned(rollup, stretches)
        own = totals[rollup.application]
        own.profiles |= rollup.measured
        for each in wanted:
            if each[0] in rollup.usage:
                accepted = refusing[each].isdisjoint(rollup.measured)
                _add(own.billed if accepted else own.refused, each, rollup.usage[each[0]])
    return [
        _quantity(application, names[application], each, own, profiles)
        for application, own in totals.items()
        for each in wanted
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


def _add(totals: dict[_Wanted, int], wanted: _Wanted, quantity: int) -> None:
    before = [totals[wanted]] if wanted in totals else []
    totals[wanted] = combined_quantities(wanted[0], [*before, quantity])


def _quantity(
    application: str,
    name: str,
    wanted: _Wanted,
    own: _Totals,
    profiles: Mapping[str, Profile],
) -> UsageQuantity:
    meter, accepts = wanted
    stated = (NOT_STATED if each is None else profiles[each].of(meter) for each in own.profiles)
    measured = in_order(each for each in stated if each is not None) or (NOT_STATED,)
    refused = own.refused.get(wanted, 0)
    reasons = refused_qualities(accepts) if refused else frozenset[str]()
    found = dict.fromkeys(how.quality for how in measured if how.quality in reasons)
    provenance = Provenance(refused, tuple(found), measured)
    return UsageQuantity(application, name, meter, own.billed.get(wanted, 0), accepts, provenance)
