"""Which price holds from when to when, without a break."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.core.exact import ZERO
from billing.core.periods import Period
from billing.core.prices import Percentage
from billing.core.prices.proration import Proration
from billing.core.proration import ProratedBy, part_between, share_of
from billing.core.rating import PriceSpec

_NONE_YET: Final = Proration(0, 1)


@dataclass(frozen=True, slots=True)
class PriceInForce:
    """A plan's price, or what a customer has in its place: then `override` names that."""

    spec: PriceSpec
    override: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds in a part of a period: prices in their order, a version's minimum for a whole
    period, whether a trial runs. `version` is the version's name; `credits_gaps` says
    whether its flat fees are given back for time that was not measured."""

    span: Period
    version: str
    prices: tuple[PriceInForce, ...]
    minimum: Decimal = ZERO
    trial: bool = False
    credits_gaps: bool = False


@dataclass(slots=True)
class Run:
    """A price and the terms one after the other in which it holds."""

    position: int
    price: PriceInForce
    held: list[Terms] = field(default_factory=list)

    @property
    def starts_at(self) -> datetime:
        return self.held[0].span.start

    @property
    def ends_at(self) -> datetime:
        return self.held[-1].span.end

    @property
    def trial(self) -> bool:
        return self.held[0].trial


_Key = tuple[str, str, bool, tuple[tuple[str, str], ...]]


def runs(terms: Sequence[Terms]) -> list[Run]:
    """The runs of all prices over terms that follow each other, in the order of the prices and
    then of time. A price that a percentage is taken of is cut where the percentage is."""
    found: list[Run] = []
    running: dict[_Key, Run] = {}
    for each in terms:
        held: dict[_Key, Run] = {}
        percentages = [
            ((other.spec.id, other.override), other.spec.model.of)
            for other in each.prices
            if isinstance(other.spec.model, Percentage)
        ]
        for position, price in enumerate(each.prices):
            taken = tuple(which for which, of in percentages if price.spec.code in of)
            key = (price.spec.id, price.override, each.trial, taken)
            run = running.get(key)
            if run is None:
                run = Run(position, price)
                found.append(run)
            run.held.append(each)
            held[key] = run
        running = held
    return sorted(found, key=lambda run: (run.position, run.starts_at))


@dataclass(frozen=True, slots=True)
class PricedSpan:
    """A price and the part of the period in which it holds without a break.

    Tiers and packages start anew with it. `price` has the share of allowance and maximum that is
    the part's; `full` is the price as it is agreed.
    """

    price: PriceSpec
    full: PriceSpec
    span: Period
    version: str
    override: str = ""
    trial: bool = False


def priced_span(run: Run, period: Period, by: ProratedBy, time_zone: str) -> PricedSpan:
    """The run as the part of `period` that it is."""
    span, spec = Period(run.starts_at, run.ends_at), run.price.spec
    price = spec
    if span != period:
        until = share_of(Period(period.start, span.end), period, by=by, time_zone=time_zone)
        before = _NONE_YET
        if span.start > period.start:
            earlier = Period(period.start, span.start)
            before = share_of(earlier, period, by=by, time_zone=time_zone)
        price = _for_part(spec, before, until)
    return PricedSpan(price, spec, span, run.held[0].version, run.price.override, run.trial)


def _for_part(spec: PriceSpec, before: Proration, until: Proration) -> PriceSpec:
    maximum, model = spec.maximum, spec.model
    if maximum is not None:
        maximum = part_between(maximum, before, until)
    if isinstance(model, Percentage):
        model = replace(model, allowance=part_between(model.allowance, before, until))
    allowance = part_between(spec.allowance, before, until)
    # What is left of an allowance is carried from period to period, not within one.
    rollover = spec.rollover_periods if allowance else 0
    return replace(
        spec, allowance=allowance, maximum=maximum, model=model, rollover_periods=rollover
    )
