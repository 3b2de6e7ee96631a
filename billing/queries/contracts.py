"""What a subscription's period is rated by: versions, customers' own prices, trials, discounts,
minimums and commitments, loaded with a number of queries that does not grow with them."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import cast

from billing.core.allowance import carried_over
from billing.core.commitment import CommitmentPart
from billing.core.contract import Contract
from billing.core.currencies import currency_of
from billing.core.discounts import DiscountTerm
from billing.core.exact import EXACT, ZERO
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
from billing.core.spans import Terms
from billing.models import Invoice, InvoiceLine, PlanVersion, Subscription
from billing.queries.agreed import Agreed
from billing.queries.charged import charged_between, used_by_period
from billing.queries.periods import PlanHasNoVersion, cycle_of

_TICK = timedelta(microseconds=1)


def contract_of(
    subscription: Subscription,
    period: Period,
    *,
    version: PlanVersion | None = None,
    agreed: Agreed | None = None,
) -> Contract:
    """What the period is rated by. A `version` that is given holds in place of the plan's own, for
    all of the period: a draft in a backtest. What is `agreed` is read unless it is given.

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
        discounts=_discounts(subscription, period, agreed),
        commitment=_commitment(subscription, period),
        carried=_carried(subscription, period, terms[0]),
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
    subscription: Subscription, period: Period, agreed: Agreed
) -> tuple[DiscountTerm, ...]:
    found = agreed.discounts(subscription, period)
    limited = {str(each.pk): each.periods_max for each in found if each.periods_max is not None}
    used = _uses_before(subscription, period, limited)
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
        if each.periods_max is None or used.get(str(each.pk), 0) < each.periods_max
    )


def _uses_before(
    subscription: Subscription, period: Period, discount_ids: Collection[str]
) -> dict[str, int]:
    """On how many of the customer's invoices of earlier periods each discount stands: counted
    again each time, so that rating a period twice comes to the same."""
    if not discount_ids:
        return {}
    stands = (
        InvoiceLine.objects.filter(
            kind=InvoiceLine.Kind.DISCOUNT,
            facts__discount__in=list(discount_ids),
            invoice__customer=subscription.customer_id,
            invoice__kind=Invoice.Kind.INVOICE,
            invoice__period_start__lt=period.start,
        )
        .exclude(invoice__status=Invoice.Status.VOID)
        .order_by()
        .values_list("facts__discount", "invoice_id")
        .distinct()
    )
    used: dict[str, int] = {}
    for discount_id, _ in stands:
        used[discount_id] = used.get(discount_id, 0) + 1
    return used


def _commitment(subscription: Subscription, period: Period) -> CommitmentPart | None:
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
        charged_before=charged_between(subscription, whole.start, period.start),
        time_zone=cycle.time_zone,
    )


def _carried(subscription: Subscription, period: Period, first: Terms) -> dict[str, Decimal]:
    """What earlier periods left of allowances that roll over, by the prices' codes; as their
    invoices show what was used. A period without the price had nothing to leave."""
    rolling = [
        each.spec for each in first.prices if each.spec.rollover_periods and each.spec.reading
    ]
    if not rolling:
        return {}
    used = used_by_period(subscription, period, [each.code for each in rolling])
    carried = {}
    for spec in rolling:
        reading = spec.reading
        if reading is None:
            continue
        unit = unit_of(reading, spec.unit)
        included = EXACT.multiply(spec.allowance, Decimal(unit.raw_per_unit))
        left = carried_over(included, used.get(spec.code, []), spec.rollover_periods)
        carried[spec.code] = sum(left, ZERO)
    return carried
