"""What a subscription's period is rated by: versions, customers' own prices, trials, discounts,
minimums and commitments, loaded with a number of queries that does not grow with them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import cast

from billing.core.allowance import PeriodUse, carried_over
from billing.core.commitment import CommitmentPart
from billing.core.contract import Contract
from billing.core.currencies import currency_of
from billing.core.discounts import DiscountTerm
from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.periods import (
    BillingCycle,
    Interval,
    Period,
    billing_periods,
    bucket_start,
    is_longer,
    whole_period_containing,
)
from billing.core.prices import Flat
from billing.core.proration import ProratedBy, share_of
from billing.core.quantity import unit_of
from billing.core.segments import (
    NoVersionInForce,
    OverrideTerm,
    Segment,
    VersionTerm,
    segments,
)
from billing.core.spans import Terms, priced_span, runs
from billing.line_copy import Line
from billing.models import PlanVersion, Subscription
from billing.queries.agreed import Agreed
from billing.queries.charged import charged_between, discounted_periods, used_by_period
from billing.queries.periods import PlanHasNoVersion, cycle_of

_TICK = timedelta(microseconds=1)


def contract_of(
    subscription: Subscription,
    period: Period,
    *,
    version: PlanVersion | None = None,
    agreed: Agreed | None = None,
    late: Sequence[Line] = (),
) -> Contract:
    """What the period is rated by. A `version` that is given holds in place of the plan's own, for
    all of the period: a draft in a backtest. What is `agreed` is read unless it is given. `late` is
    late usage of earlier periods that is billed by what is being made, as if it were billed before.

    Raises PlanHasNoVersion, NotQuotedInCurrency, and what billing.prices and billing.overrides
    refuse a price with.
    """
    agreed = agreed or Agreed([subscription])
    composed = _Terms(subscription, agreed, version)
    terms = composed.of(period)
    following = composed.following(period)
    return Contract(
        period=period,
        cycle=composed.cycle,
        currency=currency_of(subscription.paid_in),
        terms=terms,
        before=composed.before(period, [*terms, *([following] if following else [])]),
        following=following,
        proration=cast(ProratedBy, subscription.proration),
        discounts=_discounts(subscription, period, agreed, late),
        commitment=_commitment(subscription, period, late),
        carried=_carried(subscription, period, terms[0], composed, late),
    )


class _Terms:
    """The terms of a subscription's periods; of a fixed version, if one is given."""

    def __init__(
        self, subscription: Subscription, agreed: Agreed, fixed: PlanVersion | None
    ) -> None:
        self.subscription = subscription
        self.cycle = cycle_of(subscription)
        self._agreed = agreed
        self._fixed = fixed is not None
        versions = agreed.versions(subscription) if fixed is None else [fixed]
        self._versions = {str(each.pk): each for each in versions}
        self._overrides = {str(each.pk): each for each in agreed.overrides(subscription)}

    def of(self, period: Period) -> tuple[Terms, ...]:
        """The terms that tile the period."""
        return tuple(self._terms(each) for each in self._segments(period))

    def following(self, period: Period) -> Terms | None:
        """What holds when the period has ended; None if the subscription has as well."""
        ends_at = self.subscription.ends_at
        if ends_at is not None and ends_at <= period.end:
            return None
        return self.of(Period(period.end, period.end + _TICK))[0]

    def before(self, period: Period, terms: Iterable[Terms]) -> tuple[Terms, ...]:
        """The terms of the earlier periods, back to where the longest fee period began that the
        period touches."""
        models = [price.spec.model for each in terms for price in each.prices]
        longer = {
            model.interval
            for model in models
            if isinstance(model, Flat)
            and model.interval
            and is_longer(model.interval, self.cycle.interval)
        }
        wholes = (
            whole_period_containing(period.start, replace(self.cycle, interval=each))
            for each in longer
        )
        reached = max(min((each.start for each in wholes), default=period.start), self.cycle.start)
        found: list[Terms] = []
        for earlier in _periods_between(self.cycle, reached, period.start):
            try:
                found += self.of(earlier)
            except PlanHasNoVersion:
                # Nothing was owed before the plan had prices.
                found.clear()
        return tuple(found)

    def allowances(self, period: Period) -> dict[str, tuple[Decimal, int]]:
        """What was included in an earlier period, in raw units, and for how many more it counts, by
        the prices' codes: of a price that held in parts of it, their sum and the last one's."""
        by = cast(ProratedBy, self.subscription.proration)
        found: dict[str, tuple[Decimal, int]] = {}
        for run in runs(self.of(period)):
            spec = run.price.spec
            if spec.reading is None:
                continue
            part = priced_span(run, period, by, self.cycle.time_zone).price
            raw_per_unit = Decimal(unit_of(spec.reading, spec.unit).raw_per_unit)
            before, _ = found.get(spec.code, (ZERO, 0))
            raw = EXACT.add(before, EXACT.multiply(part.allowance, raw_per_unit))
            found[spec.code] = raw, spec.rollover_periods
        return found

    def _segments(self, period: Period) -> tuple[Segment, ...]:
        versions = [
            VersionTerm(
                id=version_id,
                number=each.number,
                effective_from=period.start if self._fixed else each.effective_from,
                at_once=each.takes_effect == PlanVersion.TakesEffect.AT_ONCE,
            )
            for version_id, each in self._versions.items()
        ]
        overrides = [
            OverrideTerm(override_id, each.code, each.starts_at, each.ends_at)
            for override_id, each in self._overrides.items()
        ]
        trial = self.subscription.trial_ends_at
        try:
            return segments(period, versions, trial_ends_at=trial, overrides=overrides)
        except NoVersionInForce as absent:
            raise PlanHasNoVersion(
                f"{self.subscription.plan} has no prices for {period.start:%Y-%m-%d}"
            ) from absent

    def _terms(self, segment: Segment) -> Terms:
        version = self._versions[segment.version_id]
        overriding = {
            each.code: each
            for each in (self._overrides[override_id] for override_id in segment.overrides)
        }
        return Terms(
            span=segment.span,
            version=str(version),
            prices=tuple(
                self._agreed.in_force(
                    price, version, overriding.get(price.code) if price.code else None
                )
                for price in self._agreed.prices(version, self.subscription)
            ),
            minimum=self._agreed.minimum(version, self.subscription),
            trial=segment.trial,
            credits_gaps=version.gaps == PlanVersion.Gaps.CREDITED,
        )


def _periods_between(cycle: BillingCycle, start: datetime, end: datetime) -> list[Period]:
    """The cycle's periods from `start` on; the last one is cut at `end`."""
    if start >= end:
        return []
    skip = max(cycle.intervals_before(start), 0)
    overlapping = (each for each in billing_periods(cycle, skip=skip) if each.end > start)
    return [
        Period(max(each.start, start), min(each.end, end))
        for each in takewhile(lambda each: each.start < end, overlapping)
    ]


def _discounts(
    subscription: Subscription, period: Period, agreed: Agreed, late: Sequence[Line]
) -> tuple[DiscountTerm, ...]:
    found = agreed.discounts(subscription, period)
    limited = {str(each.pk): each.periods_max for each in found if each.periods_max is not None}
    used = discounted_periods(subscription.customer, period.start, limited, late)
    return tuple(
        DiscountTerm(
            id=str(each.pk),
            name=each.name,
            position=each.position,
            percent=each.percent,
            amount=each.amount,
            codes=frozenset(each.price_codes),
        )
        for each in found
        if each.periods_max is None or used[str(each.pk)] < each.periods_max
    )


def _commitment(
    subscription: Subscription, period: Period, late: Sequence[Line]
) -> CommitmentPart | None:
    """The commitment period that ends with the period, or with the subscription in it."""
    if subscription.commitment is None:
        return None
    cycle = replace(
        cycle_of(subscription), interval=cast(Interval, subscription.commitment_interval)
    )
    whole = whole_period_containing(period.start, cycle)
    starts_at, ends_at = subscription.starts_at, whole.end
    if subscription.trial_ends_at is not None:
        starts_at = max(starts_at, bucket_start(subscription.trial_ends_at))
    if subscription.ends_at is not None:
        ends_at = min(ends_at, subscription.ends_at)
    starts_at = max(starts_at, whole.start)
    if ends_at > period.end or starts_at >= ends_at:
        return None
    span = Period(starts_at, ends_at)
    return CommitmentPart(
        amount=subscription.commitment,
        span=span,
        share=share_of(
            span,
            whole,
            by=cast(ProratedBy, subscription.proration),
            time_zone=cycle.time_zone,
        ),
        charged_before=charged_between(subscription, whole.start, period.start, late),
        time_zone=cycle.time_zone,
    )


def _carried(
    subscription: Subscription,
    period: Period,
    first: Terms,
    composed: _Terms,
    late: Sequence[Line],
) -> dict[str, Decimal]:
    """What earlier periods left of allowances that roll over, by the prices' codes: of what each
    had included by its own terms, less what it was billed as used. A period without the price, or
    whose invoice was taken back, had nothing to leave."""
    codes = [
        each.spec.code for each in first.prices if each.spec.rollover_periods and each.spec.reading
    ]
    if not codes:
        return {}
    earlier: dict[str, list[PeriodUse]] = {code: [] for code in codes}
    for past, used in used_by_period(subscription, period.start, codes, late):
        included = {} if used is None else composed.allowances(past)
        for code, uses in earlier.items():
            raw, rolls_over = included.get(code, (ZERO, 0))
            uses.append(PeriodUse(raw, (used or {}).get(code, ZERO), rolls_over))
    return {code: sum_amounts(carried_over(uses)) for code, uses in earlier.items()}
