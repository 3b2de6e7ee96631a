"""Issued invoices and notes with given amounts, for the tests of what is done with them."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from billing.models import (
    CreditGrant,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    JournalEntry,
    Payment,
    Plan,
    Subscription,
    Wallet,
)
from billing.operations import Offer, publish_plan_version, subscribe
from billing.operations.credit import NewGrant, apply_credit, grant_credit
from billing.operations.ledger import post_issued, post_payment
from billing.operations.wallets import record_top_up_paid, request_top_up
from tenants.models import Customer
from tests.billing.timeline import JANUARY, NOVEMBER, OCTOBER, cpu_price

EURO = "EUR"


def postings(*, of: Invoice | None = None) -> list[str]:
    """Every entry in the order in which it was made, as people write it; or those that change what
    is open of one invoice."""
    entries = JournalEntry.objects.order_by("recorded_at").prefetch_related("postings")
    if of is not None:
        entries = entries.filter(invoice=of)
    return [f"{entry.kind}: {_amounts(entry)}" for entry in entries]


def _amounts(entry: JournalEntry) -> str:
    return ", ".join(f"{posting.account} {posting.amount:.2f}" for posting in entry.postings.all())


def subscribed(reference: str = "shop-ltd") -> Subscription:
    customer = Customer.objects.create(name=reference.title(), reference=reference)
    plan, made = Plan.objects.get_or_create(name="Hosting", defaults={"currency": EURO})
    if made:
        publish_plan_version(plan, Offer([cpu_price()], JANUARY))
    return subscribe(customer, plan, starts_at=OCTOBER)


def draft(
    subscription: Subscription,
    *amounts: str,
    tax_percent: str = "0",
    codes: tuple[str, ...] = (),
    **fields: Any,
) -> Invoice:
    """A draft with a line of each amount, before any credit; `codes` name the lines' prices."""
    count = Invoice.objects.count()
    start = datetime(2026 + count // 12, count % 12 + 1, 1, tzinfo=UTC)
    total = sum(map(Decimal, amounts), Decimal(0))
    tax = (total * Decimal(tax_percent) / 100).quantize(Decimal("0.01"))
    invoice = Invoice.objects.create(
        **{
            "customer": subscription.customer,
            "subscription": subscription,
            "plan_version": subscription.plan.versions.get(),
            "period_start": start,
            "period_end": start.replace(day=28),
            "currency": EURO,
            "total": total,
            "tax_total": tax,
            **fields,
        }
    )
    prices = {price.code: price for price in invoice.plan_version.prices.all()}
    for position, (amount, code) in enumerate(zip_longest(amounts, codes), start=1):
        InvoiceLine.objects.create(
            invoice=invoice,
            position=position,
            label="CPU time",
            price=prices.get(code or ""),
            amount=Decimal(amount),
            tax_percent=Decimal(tax_percent),
            raw_quantity=0,
            quantity=0,
            unrounded=Decimal(amount),
            steps=[],
        )
    InvoiceTax.objects.create(
        invoice=invoice, category="S", percent=Decimal(tax_percent), taxable=total, tax=tax
    )
    return invoice


def issue(invoice: Invoice, as_of: datetime = NOVEMBER) -> Invoice:
    """What finalizing does with money: credit, a number, the ledger."""
    apply_credit(invoice, as_of=as_of)
    invoice.number = 1 + Invoice.objects.filter(number__isnull=False).count()
    invoice.status, invoice.finalized_at = Invoice.Status.FINALIZED, as_of
    invoice.save()
    post_issued(invoice)
    return invoice


def credit_note(invoice: Invoice, *amounts: str, **fields: Any) -> Invoice:
    note = draft(
        invoice.subscription,
        *amounts,
        kind=Invoice.Kind.CREDIT_NOTE,
        refers_to=invoice,
        reason="late usage",
        **fields,
    )
    return issue(note)


def pay(invoice: Invoice, amount: str, reference: str = "bank-1") -> Payment:
    invoice.refresh_from_db()
    payment = Payment.objects.create(
        invoice=invoice,
        amount=Decimal(amount),
        to_credit=max(Decimal(amount) - invoice.open_amount, Decimal(0)),
        received_on=NOVEMBER.date(),
        reference=reference,
    )
    post_payment(payment)
    return payment


def grant(
    customer: Customer, amount: str, kind: str = "paid", as_of: datetime = OCTOBER, **fields: Any
) -> CreditGrant:
    new = NewGrant(customer, kind, EURO, Decimal(amount), **fields)
    return grant_credit(new, as_of=as_of)


def wallet_of(customer: Customer, balance: str, threshold: str = "0") -> Wallet:
    """A wallet that holds `balance`, and from then on is topped up by as much."""
    wallet = Wallet.objects.create(
        customer=customer, currency=EURO, threshold=Decimal("0.01"), top_up_amount=Decimal(balance)
    )
    asked = request_top_up(wallet, as_of=OCTOBER)
    assert asked is not None
    record_top_up_paid(asked, as_of=OCTOBER)
    wallet.threshold = Decimal(threshold)
    wallet.save()
    return wallet
