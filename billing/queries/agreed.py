"""What subscriptions are rated by, read for many of them in as many queries as for one: versions of
their plans, prices, customers' own prices and discounts. A query for each plan version in use is
made when its prices are asked for."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db.models import Q

from billing.core.exact import ZERO
from billing.core.periods import Period
from billing.core.spans import PriceInForce
from billing.models import Discount, PlanTerms, PlanVersion, Price, PriceOverride, Subscription
from billing.overrides import overridden_spec
from billing.prices import price_spec
from billing.queries.periods import PlanHasNoVersion

_Row = TypeVar("_Row")
# A plan version in a currency.
_Quote = tuple[UUID, str]


class NotQuotedInCurrency(Exception):
    """A plan version has no price in the subscription's currency."""


class Agreed:
    """What is agreed with the customers of some subscriptions."""

    def __init__(self, subscriptions: Collection[Subscription]) -> None:
        plan_ids = {each.plan_id for each in subscriptions}
        customer_ids = {each.customer_id for each in subscriptions}
        versions = PlanVersion.objects.filter(plan__in=plan_ids, published_at__isnull=False)
        self._versions = _by(versions.select_related("plan"), "plan_id")
        overrides = PriceOverride.objects.filter(customer__in=customer_ids)
        self._overrides = _by(overrides, "customer_id")
        self._discounts = list(
            Discount.objects.filter(
                Q(customer__in=customer_ids)
                | Q(subscription__in=[each.pk for each in subscriptions])
                | Q(plan__in=plan_ids)
            )
        )
        self._prices: dict[_Quote, list[Price]] = {}
        self._minimums: dict[_Quote, Decimal] = {}
        self._in_force: dict[tuple[UUID, UUID | None], PriceInForce] = {}

    def versions(self, subscription: Subscription) -> Sequence[PlanVersion]:
        """The published versions of its plan."""
        return self._versions.get(subscription.plan_id, ())

    def version_at(self, subscription: Subscription, instant: datetime) -> PlanVersion:
        """The version that a period begins with at `instant`: the newest in effect. Raises
        PlanHasNoVersion."""
        in_effect = [each for each in self.versions(subscription) if each.effective_from <= instant]
        if not in_effect:
            raise PlanHasNoVersion(f"{subscription.plan} has no prices for {instant:%Y-%m-%d}")
        return max(in_effect, key=lambda each: (each.effective_from, each.number))

    def overrides(self, subscription: Subscription) -> Sequence[PriceOverride]:
        """Its customer's own prices."""
        every = self._overrides.get(subscription.customer_id, ())
        return [each for each in every if each.currency == subscription.paid_in]

    def discounts(self, subscription: Subscription, period: Period) -> list[Discount]:
        """Those that run in the period, used up or not."""
        return [
            each
            for each in self._discounts
            if (
                each.customer_id == subscription.customer_id
                or each.subscription_id == subscription.pk
                or each.plan_id == subscription.plan_id
            )
            and each.starts_at < period.end
            and (each.ends_at is None or each.ends_at > period.start)
            and each.currency in ("", subscription.paid_in)
        ]

    def prices(self, version: PlanVersion, subscription: Subscription) -> Sequence[Price]:
        """The version's prices in the subscription's currency, in their order. Raises
        NotQuotedInCurrency."""
        quote = self._quote(version, subscription)
        if not self._prices[quote]:
            raise NotQuotedInCurrency(f"{version} has no price in {subscription.paid_in}")
        return self._prices[quote]

    def minimum(self, version: PlanVersion, subscription: Subscription) -> Decimal:
        """What the version comes to at least in a whole period; 0 without a minimum."""
        return self._minimums[self._quote(version, subscription)]

    def in_force(
        self, price: Price, version: PlanVersion, override: PriceOverride | None
    ) -> PriceInForce:
        """The price as the rating core takes it, or what a customer has in its place."""
        key = (price.pk, None if override is None else override.pk)
        if key not in self._in_force:
            self._in_force[key] = _in_force(price, version, override)
        return self._in_force[key]

    def _quote(self, version: PlanVersion, subscription: Subscription) -> _Quote:
        currency = subscription.paid_in
        quote = (version.pk, currency)
        if quote not in self._prices:
            plans_own = currency == subscription.plan.currency
            quoted = Q(currency=currency) | (Q(currency="") if plans_own else Q(pk__in=()))
            prices = Price.objects.filter(quoted, plan_version=version).order_by("position")
            self._prices[quote] = list(prices)
            terms = PlanTerms.objects.filter(plan_version=version, currency=currency).first()
            self._minimums[quote] = ZERO if terms is None else terms.minimum
        return quote


def _by(rows: Collection[_Row], name: str) -> Mapping[UUID, list[_Row]]:
    found: defaultdict[UUID, list[_Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


def _in_force(price: Price, version: PlanVersion, override: PriceOverride | None) -> PriceInForce:
    if override is None:
        return PriceInForce(price_spec(price, version))
    since = f"since {override.starts_at:%Y-%m-%d}"
    named = f"{override.reason}, {since}" if override.reason else since
    return PriceInForce(overridden_spec(price, version, override.definition), named)
