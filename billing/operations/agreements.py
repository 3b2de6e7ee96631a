"""What a customer gets beside a plan: prices of their own, and discounts."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.core.currencies import currency_of
from billing.core.periods import bucket_start
from billing.models import Discount, Plan, Price, PriceOverride, Subscription
from billing.overrides import OverrideNotUsable, overridden_spec, require_effect
from billing.price_codes import named, require_price_codes
from tenants.models import Customer
from tenants.refusals import constraint_of


class OverrideIsInvoiced(Exception):
    """A customer's own price would change what is invoiced and finalized."""


class DiscountNotUsable(Exception):
    """A discount that no invoice could have."""


class DiscountIsInvoiced(Exception):
    """A discount that issued invoices have would end, or go on, within what is invoiced."""


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price of a customer's own: in place of `code` in a currency, [starts_at, ends_at)."""

    code: str
    currency: str
    definition: dict[str, Any]
    starts_at: datetime
    ends_at: datetime | None = None
    reason: str = ""


def grant_price(customer: Customer, own: OwnPrice) -> PriceOverride:
    """Rate the customer's usage by a price of their own, from a 5-minute bucket on.

    Raises OverrideNotUsable, UnknownCurrency and OverrideIsInvoiced.
    """
    currency_of(own.currency)
    require_override(own.code, own.currency, own.definition)
    override = PriceOverride(
        customer=customer,
        code=own.code,
        currency=own.currency,
        definition=own.definition,
        starts_at=bucket_start(own.starts_at),
        ends_at=own.ends_at and bucket_start(own.ends_at),
        reason=own.reason,
    )
    return _saved_override(override)


def end_price(override: PriceOverride, *, ends_at: datetime) -> PriceOverride:
    """Go back to the plan's price. Raises OverrideNotUsable and OverrideIsInvoiced."""
    with transaction.atomic():
        locked = PriceOverride.objects.select_for_update().get(pk=override.pk)
        locked.ends_at = bucket_start(ends_at)
        return _saved_override(locked)


def require_override(code: str, currency: str, definition: Any) -> None:
    """Refuse what no price with the code, of those there are in the currency, can become, or what
    would change nothing of it.

    Raises OverrideNotUsable.
    """
    quoted = _quoted(currency, code=code)
    if not quoted:
        there_are = named(each.code for each in _quoted(currency) if each.code)
        raise OverrideNotUsable(f"no price has the code {code[:40]!r} in {currency}; {there_are}")
    refusal: Exception | None = None
    for price in quoted:
        try:
            overridden_spec(price, price.plan_version, definition)
            require_effect(price, definition)
        except (ValueError, TypeError) as error:
            refusal = error
        else:
            return
    raise OverrideNotUsable(str(refusal)) from refusal


def _quoted(currency: str, **wanted: str) -> list[Price]:
    prices = Price.objects.filter(**wanted).select_related("plan_version__plan")
    return [
        each for each in prices if (each.currency or each.plan_version.plan.currency) == currency
    ]


def _saved_override(override: PriceOverride) -> PriceOverride:
    try:
        with transaction.atomic():
            override.save()
    except IntegrityError as error:
        if constraint_of(error) == "override_is_invoiced":
            raise OverrideIsInvoiced("that time is invoiced and finalized") from error
        if constraint_of(error) == "price_override_ends_after_start":
            raise OverrideNotUsable("it ends after its start") from error
        raise
    return override


@dataclass(frozen=True, slots=True)
class Rebate:
    """A discount: a percentage, or an amount in a currency, off prices with `price_codes` or off
    the whole invoice; on the first `periods` invoices, or (None) on all."""

    name: str
    starts_at: datetime
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    price_codes: tuple[str, ...] = ()
    position: int = 1
    periods: int | None = None
    ends_at: datetime | None = None


def grant_discount(subject: Customer | Subscription | Plan, rebate: Rebate) -> Discount:
    """Take something off a customer's, a subscription's or a plan's invoices.

    Raises DiscountNotUsable, UnknownPriceCode and UnknownCurrency.
    """
    require_price_codes(rebate.price_codes)
    if rebate.currency:
        currency_of(rebate.currency)
    discount = Discount(
        name=rebate.name,
        percent=rebate.percent,
        amount=rebate.amount,
        currency=rebate.currency,
        price_codes=list(rebate.price_codes),
        position=rebate.position,
        starts_at=rebate.starts_at,
        ends_at=rebate.ends_at,
        **_duration(rebate.periods),
        **_subject(subject),
    )
    try:
        discount.full_clean()
    except ValidationError as refusal:
        raise DiscountNotUsable("; ".join(refusal.messages)) from refusal
    discount.save(force_insert=True)
    return discount


def end_discount(discount: Discount, *, ends_at: datetime) -> Discount:
    """Leave it off the invoices of periods that start from then on. Raises DiscountNotUsable and
    DiscountIsInvoiced."""
    with transaction.atomic():
        locked = Discount.objects.select_for_update().get(pk=discount.pk)
        if ends_at <= locked.starts_at:
            raise DiscountNotUsable("it ends after its start")
        locked.ends_at = ends_at
        try:
            with transaction.atomic():
                locked.save(update_fields=["ends_at"])
        except IntegrityError as error:
            if constraint_of(error) == "discount_is_invoiced":
                raise DiscountIsInvoiced(
                    "periods from then on are invoiced and finalized"
                ) from error
            raise
        return locked


def _duration(periods: int | None) -> dict[str, Any]:
    if periods is None:
        return {"duration": Discount.Duration.FOREVER}
    if periods == 1:
        return {"duration": Discount.Duration.ONCE}
    return {"duration": Discount.Duration.PERIODS, "periods": periods}


def _subject(subject: Customer | Subscription | Plan) -> dict[str, Any]:
    if isinstance(subject, Customer):
        return {"customer": subject}
    return {"plan" if isinstance(subject, Plan) else "subscription": subject}
