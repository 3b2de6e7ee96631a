"""October is invoiced; then a host that was cut off delivers, a figure turns out to be wrong, and
the customer pays in parts and late. What was issued stays as it was, and the books balance."""

from datetime import date
from decimal import Decimal

import pytest

from billing.closing import advance_drafts, close_tenant, restate_tenant
from billing.models import BillingDetails, BillingSettings, Invoice, TaxRate
from billing.operations import mark_overdue, mark_sent, record_payment, void_invoice
from billing.queries.credit import credit_left
from billing.queries.reconciliation import Reconciliation
from metering.models import Host
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.late import deliver, note_at, stored
from tests.billing.timeline import HOUR_US, Story, at, begin_story


@pytest.fixture
def story(tenant: Tenant) -> Story:
    """A German provider with 5 days of review, a customer in Berlin, and 2,000 CPU-hours."""
    with tenant_scope(tenant.pk):
        story = begin_story()
        BillingSettings.objects.create(
            legal_name="First Host GmbH", country="DE", review_days=5, invoice_series="INV-"
        )
        BillingDetails.objects.create(customer=story.customer, country="DE")
        TaxRate.objects.create(name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1))
        deliver(story.shop, at(10, 12), cpu_us=2000 * HOUR_US, received_at=at(10, 12, 0, 1))
        Host.objects.update(last_seen_at=at(11, 1), last_window_end=at(11, 1))
    return story


def invoiced(tenant: Tenant) -> Invoice:
    close_tenant(tenant.pk, as_of=at(11, 1))
    assert advance_drafts(tenant.pk, as_of=at(11, 1)).invoices == []
    (invoice,) = advance_drafts(tenant.pk, as_of=at(11, 6)).invoices
    return invoice


def notes(tenant: Tenant, month: int, day: int) -> list[tuple[str, Decimal]]:
    made = restate_tenant(tenant.pk, as_of=at(month, day)).invoices
    return [(note.reference, note.gross) for note in made]


def pay(invoice: Invoice, amount: str, day: int, reference: str) -> Invoice:
    record_payment(
        invoice,
        Decimal(amount),
        received_on=date(2026, 11, day),
        reference=reference,
        as_of=at(11, day),
    )
    return Invoice.objects.get(pk=invoice.pk)


def reconciled() -> bool:
    return list(Reconciliation.begin().differences()) == []


def test_late_usage_is_billed_once_and_the_invoice_stays(tenant: Tenant, story: Story) -> None:
    invoice = invoiced(tenant)
    with tenant_scope(tenant.pk):
        assert (invoice.reference, invoice.gross) == ("INV-1", Decimal("23.80"))
        before = stored(invoice)
        deliver(story.shop, at(10, 20, 7), cpu_us=500 * HOUR_US, received_at=at(11, 8))
    assert notes(tenant, 11, 9) == [("DN-1", Decimal("5.95"))]
    assert notes(tenant, 11, 10) == []
    with tenant_scope(tenant.pk):
        # The same figure turns out to have been counted twice, and is put right.
        Rollup.objects.filter(bucket_start=at(10, 20, 7)).update(cpu_time=250 * HOUR_US)
        note_at(at(11, 11))
    assert notes(tenant, 11, 12) == [("CN-1", Decimal("2.98"))]
    assert notes(tenant, 11, 13) == []
    with tenant_scope(tenant.pk):
        assert stored(invoice) == before
        assert Invoice.objects.filter(refers_to=invoice).count() == 2
        assert reconciled()


def test_what_comes_too_late_is_not_billed(tenant: Tenant, story: Story) -> None:
    invoice = invoiced(tenant)
    with tenant_scope(tenant.pk):
        BillingSettings.objects.update(late_usage_days=30)
        deliver(story.shop, at(10, 20, 7), cpu_us=500 * HOUR_US, received_at=at(12, 1))
    assert notes(tenant, 12, 2) == []
    with tenant_scope(tenant.pk):
        assert invoice.late_usage.filter(refused_at=at(12, 2)).count() == 1


def test_an_invoice_is_paid_in_parts_and_late(tenant: Tenant, story: Story) -> None:
    invoice = invoiced(tenant)
    with tenant_scope(tenant.pk):
        mark_sent(invoice, as_of=at(11, 6))
        assert pay(invoice, "10", 10, "bank 1").status == "partly_paid"
        assert mark_overdue(as_of=at(11, 20)) == []
        assert mark_overdue(as_of=at(11, 21)) == [invoice]
        assert pay(invoice, "10", 22, "bank 2").status == "overdue"
        assert pay(invoice, "3.80", 23, "bank 3").status == "paid"
        assert reconciled()


def test_a_paid_invoice_is_taken_back(tenant: Tenant, story: Story) -> None:
    invoice = invoiced(tenant)
    with tenant_scope(tenant.pk):
        pay(invoice, "23.80", 10, "bank 1")
        note = void_invoice(invoice, "billed to the wrong company", as_of=at(11, 12))
        assert (note.reference, note.gross) == ("CN-1", Decimal("23.80"))
        (left,) = credit_left(story.customer, as_of=at(11, 12))
        assert left.total == Decimal("23.80")
        assert reconciled()
    assert notes(tenant, 11, 20) == []
    assert close_tenant(tenant.pk, as_of=at(11, 20)).invoices == []
