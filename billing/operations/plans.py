"""Publishing plan versions."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from django.db import transaction
from django.db.models import Max

from billing.core.charges import require_plan
from billing.core.currencies import currency_of
from billing.models import Invoice, Plan, PlanVersion, Price
from billing.prices import price_spec


class VersionNotUsable(Exception):
    """A plan version has no price, or takes effect before the version it follows."""


@dataclass(frozen=True, slots=True)
class Counting:
    """Which usage a version counts, by the names of PlanVersion's fields."""

    primary_factor: Decimal = Decimal(1)
    replica_factor: Decimal = Decimal(1)
    standby_factor: Decimal = Decimal(1)
    transactions_on: str = PlanVersion.TransactionsOn.PRIMARY
    primaries: str = PlanVersion.Primaries.EVERY
    gaps: str = PlanVersion.Gaps.NOT_BILLED


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan version to publish: unsaved prices, in their order on the invoice."""

    prices: Sequence[Price]
    effective_from: datetime
    counting: Counting = Counting()
    takes_effect: str = PlanVersion.TakesEffect.PERIOD


def publish_plan_version(plan: Plan, offer: Offer) -> PlanVersion:
    """The plan's next version; it rates periods that start at or after `effective_from`.

    Prices without a code get one from their label. Raises VersionNotUsable, what
    billing.prices.price_spec refuses a price with, and DuplicatePrice and UnknownCode.
    """
    if not offer.prices:
        raise VersionNotUsable("a version without prices would bill nothing")
    currency_of(plan.currency)
    version = version_of(plan, offer)
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=plan.pk)
        require_place(version)
        return save_version(version, offer.prices)


def version_of(plan: Plan, offer: Offer) -> PlanVersion:
    """An unsaved version, whose prices have codes and can be rated, in each currency that they
    are quoted in."""
    version = PlanVersion(
        plan=plan,
        effective_from=offer.effective_from,
        takes_effect=offer.takes_effect,
        **_fields(offer.counting),
    )
    give_codes(offer.prices)
    require_prices(version, offer.prices)
    return version


def require_prices(version: PlanVersion, prices: Sequence[Price]) -> None:
    """Raises what price_spec refuses a price with, UnknownCurrency, DuplicatePrice and
    UnknownCode."""
    own = version.plan.currency
    for currency in dict.fromkeys(price.currency or own for price in prices):
        currency_of(currency)
        quoted = [price for price in prices if (price.currency or own) == currency]
        require_plan([price_spec(price, version) for price in quoted])


def require_place(version: PlanVersion) -> None:
    """A version follows those that are published and changes no period that is issued nor, where it
    takes effect at once, one that has an invoice at all. Raises VersionNotUsable."""
    published = version.plan.versions.filter(published_at__isnull=False).exclude(pk=version.pk)
    last = published.aggregate(start=Max("effective_from"))["start"]
    if last is not None and version.effective_from < last:
        raise VersionNotUsable(f"the version before takes effect on {last:%Y-%m-%d}")
    changed = Invoice.objects.filter(plan_version__plan=version.plan)
    if version.takes_effect == PlanVersion.TakesEffect.AT_ONCE:
        changed = changed.filter(period_end__gt=version.effective_from)
    else:
        changed = changed.filter(
            period_start__gte=version.effective_from, finalized_at__isnull=False
        )
    end = changed.aggregate(end=Max("period_end"))["end"]
    if end is not None:
        raise VersionNotUsable(f"periods are invoiced up to {end:%Y-%m-%d %H:%M} UTC")


def save_version(version: PlanVersion, prices: Sequence[Price]) -> PlanVersion:
    """Store a new version under the plan's next number; the plan is locked."""
    last = version.plan.versions.aggregate(number=Max("number"))["number"]
    version.number = (last or 0) + 1
    version.save(force_insert=True)
    save_prices(version, prices)
    return version


def save_prices(version: PlanVersion, prices: Sequence[Price]) -> None:
    """Store a version's new prices in their order."""
    for position, price in enumerate(prices, start=1):
        price.plan_version, price.position = version, position
        price.save(force_insert=True)


def copied_offer(plan: Plan, *, effective_from: datetime) -> Offer:
    """What the newest published version offers, from another moment on."""
    newest = plan.versions.filter(published_at__isnull=False).order_by("number").last()
    prices = list(newest.prices.order_by("position")) if newest else []
    for price in prices:
        price.pk = uuid4()
    return Offer(prices, effective_from, Counting() if newest is None else _counting_of(newest))


def give_codes(prices: Sequence[Price]) -> None:
    """Name those that have no code after their label, each differently."""
    taken = {price.code for price in prices}
    for price in prices:
        if not price.code:
            price.code = code_from(price.label, taken)
            taken.add(price.code)


def code_from(label: str, taken: Collection[str]) -> str:
    """A code that is not taken: "CPU time" becomes cpu-time, the next one cpu-time-2."""
    base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:30] or "price"
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return next(code for code in (base, *numbered) if code not in taken)


def _fields(counting: Counting) -> dict[str, Decimal | str]:
    return {name: getattr(counting, name) for name in Counting.__dataclass_fields__}


def _counting_of(version: PlanVersion) -> Counting:
    return Counting(**{name: getattr(version, name) for name in Counting.__dataclass_fields__})
