"""A tenant whose customers owe an invoice each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from billing.closing import close_tenant
from billing.models import BillingSettings, Invoice, Plan, Price, Subscription
from billing.operations import Offer, finalize_invoice, publish_plan_version
from metering.bench.together import BenchFailed
from tenants.models import Customer, Tenant
from tenants.scope import installation_scope, tenant_scope

SLUG: Final = "payments"
_START: Final = datetime(2026, 10, 1, tzinfo=UTC)
_CLOSED_AT: Final = datetime(2026, 11, 2, tzinfo=UTC)
# Amounts differ, so that money which went to the wrong invoice is seen.
_FEES: Final = ("0.50", "7.00", "12.34", "99.99", "1234.56", "20000.01", "3.33")
_TOLD_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Owed:
    """An issued invoice of a customer who has no other."""

    invoice_id: UUID
    customer_id: UUID
    amount: Decimal


def make_owed(count: int, progress: Callable[[str], None]) -> tuple[UUID, list[Owed]]:
    """The tenant and what is owed to it. Raises BenchFailed."""
    with installation_scope():
        tenant = Tenant.objects.create(slug=SLUG, name="Payments")
    with tenant_scope(tenant.pk):
        # The campaign collects by itself: what the product began too would hide what it misses.
        BillingSettings.objects.create(collects_automatically=False)
        plans = [_plan(fee) for fee in _FEES]
        customers = Customer.objects.bulk_create(
            Customer(name=f"Customer {n}", reference=f"c{n}") for n in range(count)
        )
        Subscription.objects.bulk_create(
            Subscription(
                customer=customer, plan=plans[n % len(plans)], starts_at=_START, cycle="calendar"
            )
            for n, customer in enumerate(customers)
        )
    outcome = close_tenant(tenant.pk, as_of=_CLOSED_AT)
    if outcome.failures:
        raise BenchFailed(f"{outcome.failures[0]}")
    return tenant.pk, [
        _issued(tenant.pk, invoice, n, progress) for n, invoice in enumerate(outcome.invoices)
    ]


def _plan(fee: str) -> Plan:
    plan = Plan.objects.create(name=f"Hosting for {fee}", currency="EUR")
    price = Price(label="Hosting", kind=Price.Kind.FLAT, unit_price=Decimal(fee))
    publish_plan_version(plan, Offer([price], _START))
    return plan


def _issued(tenant_id: UUID, draft: Invoice, number: int, progress: Callable[[str], None]) -> Owed:
    with tenant_scope(tenant_id):
        invoice = finalize_invoice(draft, as_of=_CLOSED_AT)
    if number % _TOLD_EVERY == _TOLD_EVERY - 1:
        progress(f"issued {number + 1} invoices")
    return Owed(invoice.pk, invoice.customer_id, invoice.open_amount)
