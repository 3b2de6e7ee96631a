"""The books of both sides after a campaign: what the processor took, and what we say of it."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.bench.owed import Owed
from billing.bench.processor import Fake
from billing.core.collecting import in_minor_units
from billing.core.currencies import currency_of
from billing.models import PayingCustomer, Payment, PaymentAttempt, ProcessorEvent
from billing.queries.reconciliation import Reconciliation
from metering.bench.together import BenchFailed
from tenants.scope import tenant_scope


@dataclass(frozen=True, slots=True)
class Books:
    charged: int
    declined: int
    attempts: int
    events: int
    deliveries: dict[str, dict[str, int]]


def compare_books(tenant_id: UUID, owed: Sequence[Owed], fake: Fake, declined: Set[UUID]) -> Books:
    """Raises BenchFailed with the first thing that is wrong."""
    charges, deliveries = fake.charges(), fake.deliveries()
    with tenant_scope(tenant_id):
        payers = dict(PayingCustomer.objects.values_list("processor_id", "customer_id"))
        payments = list(Payment.objects.select_related("invoice"))
        states = Counter(PaymentAttempt.objects.values_list("state", flat=True))
        events = ProcessorEvent.objects.count()
    expected = {each.customer_id: each.amount for each in owed if each.customer_id not in declined}
    check_charges(charges, payers, expected)
    _check_payments(payments, charges, expected)
    open_attempts = states.total() - states["succeeded"] - states["failed"]
    if open_attempts:
        raise BenchFailed(f"{open_attempts} attempts have no end")
    check_deliveries(deliveries, events)
    _check_ledger(tenant_id)
    return Books(len(charges), len(declined), states.total(), events, deliveries)


def check_charges(
    charges: list[dict[str, Any]], payers: dict[str, UUID], expected: dict[UUID, Decimal]
) -> None:
    taken = Counter(payers[charge["customer"]] for charge in charges)
    for customer, count in taken.items():
        if customer not in expected:
            raise BenchFailed(f"customer {customer}, whose card is declined, was charged")
        if count != 1:
            raise BenchFailed(f"customer {customer} was charged {count} times")
    if len(taken) != len(expected):
        raise BenchFailed(f"{len(expected) - len(taken)} customers were not charged")
    for charge in charges:
        amount = in_minor_units(expected[payers[charge["customer"]]], currency_of("EUR"))
        if charge["amount"] != amount.units:
            raise BenchFailed(f"{charge['id']} took {charge['amount']}, not {amount.units}")


def _check_payments(
    payments: list[Payment], charges: list[dict[str, Any]], expected: dict[UUID, Decimal]
) -> None:
    recorded = {each.reference: each for each in payments}
    if len(recorded) != len(payments) or recorded.keys() != {
        charge["payment_intent"] for charge in charges
    }:
        raise BenchFailed(f"{len(payments)} payments are recorded of {len(charges)} charges")
    for payment in payments:
        if payment.amount != expected[payment.invoice.customer_id] or payment.to_credit:
            raise BenchFailed(f"payment {payment.reference} is of {payment.amount}")


def check_deliveries(deliveries: dict[str, dict[str, int]], events: int) -> None:
    for kind, states in deliveries.items():
        accepted = states.get("delivered", 0)
        if kind.startswith("forged") and accepted:
            raise BenchFailed(f"{accepted} webhooks were accepted that were {kind}")
        if not kind.startswith("forged") and accepted != sum(states.values()):
            raise BenchFailed(f"of the webhooks that are {kind} not all were accepted: {states}")
    genuine = sum(deliveries.get("true", {}).values())
    if events != genuine:
        raise BenchFailed(f"{events} events are stored of {genuine}")


def _check_ledger(tenant_id: UUID) -> None:
    with tenant_scope(tenant_id):
        difference = next(iter(Reconciliation.begin().differences()), None)
    if difference is not None:
        raise BenchFailed(f"the ledger: {difference}")
