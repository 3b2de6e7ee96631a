"""What is agreed with a customer of the timeline."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.models import Invoice, Plan, PlanTerms, PlanVersion, Price, Subscription
from billing.operations import (
    Agreement,
    Offer,
    Rebate,
    close_billing_period,
    finalize_invoice,
    publish_plan_version,
    subscribe,
)
from billing.queries import ended_periods
from tenants.models import Customer
from tests.billing.timeline import JANUARY, OCTOBER, Story, application, assign, cpu_price


def coded(price: Price, code: str, currency: str = "") -> Price:
    price.code, price.currency = code, currency
    return price


def cpu(unit_price: str = "1", allowance: str = "0", currency: str = "") -> Price:
    return coded(cpu_price(unit_price, allowance), "cpu", currency)


def offer(
    plan: Plan,
    *prices: Price,
    effective_from: datetime = JANUARY,
    at_once: bool = False,
    minimum: str | None = None,
) -> PlanVersion:
    version = publish_plan_version(
        plan, Offer(prices, effective_from, takes_effect="at_once" if at_once else "period")
    )
    if minimum is not None:
        PlanTerms.objects.create(
            plan_version=version, currency=plan.currency, minimum=Decimal(minimum)
        )
    return version


def begin_contract(
    *prices: Price,
    reference: str = "shop-ltd",
    starts_at: datetime = OCTOBER,
    zone: str = "UTC",
    minimum: str | None = None,
    plan_currency: str = "EUR",
    **agreed: Any,
) -> Story:
    """A customer in UTC with two applications on a plan of these prices, CPU time at 1 EUR."""
    customer = Customer.objects.create(name=reference.title(), reference=reference, time_zone=zone)
    plan = Plan.objects.create(name=f"Hosting of {reference}", currency=plan_currency)
    offer(plan, *(prices or (cpu(),)), minimum=minimum)
    shop, mail = application(f"{reference}-shop"), application(f"{reference}-mail")
    for app in (shop, mail):
        assign(app, customer, starts_at)
    subscription = subscribe(customer, plan, starts_at=starts_at, agreed=Agreement(**agreed))
    return Story(customer, plan, subscription, shop, mail)


def close_next(subscription: Subscription, *, as_of: datetime, finalize: bool = False) -> Invoice:
    """The invoice of the oldest period that has none."""
    period = next(ended_periods(subscription, as_of=as_of))
    invoice = close_billing_period(subscription, period, as_of=as_of)
    return finalize_invoice(invoice, as_of=as_of) if finalize else invoice


def lines_of(invoice: Invoice) -> list[tuple[str, str, str]]:
    """Kind, label and amount of each line."""
    return [(line.kind, line.label, f"{line.amount:.2f}") for line in invoice.lines.all()]


def rebate(percent: str = "50", **more: object) -> Rebate:
    return Rebate("Welcome", OCTOBER, percent=Decimal(percent), **more)  # type: ignore[arg-type]
