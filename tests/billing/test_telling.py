"""Webhooks are told what becomes of invoices, in the order in which it does."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from billing.models import Invoice
from billing.operations import (
    close_due,
    finalize_invoice,
    mark_overdue,
    mark_sent,
    record_payment,
    void_invoice,
    write_off,
)
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookDelivery, WebhookEvent
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(inside: UUID) -> Story:
    story = begin_story()
    use(story.shop, at(10, 5), cpu_us=36_000_000_000)
    add_endpoint("https://example.com/", as_of=NOVEMBER)
    return story


def issued() -> Invoice:
    (draft,) = close_due(as_of=NOVEMBER)
    return finalize_invoice(draft, as_of=NOVEMBER)


def told() -> list[str]:
    """In the order in which it was written."""
    return [each.type for each in WebhookEvent.objects.order_by("occurred_at", "key")]


def pay(invoice: Invoice, amount: str) -> None:
    record_payment(
        invoice,
        Decimal(amount),
        received_on=at(11, 3).date(),
        reference=f"bank {amount}",
        as_of=at(11, 3),
    )


class TestAnInvoice:
    def test_is_told_when_it_is_made_issued_sent_and_paid(self, story: Story) -> None:
        invoice = issued()
        mark_sent(invoice, as_of=at(11, 2))
        pay(invoice, "0.04")
        pay(invoice, "0.06")
        assert told() == [
            "invoice.created",
            "invoice.finalized",
            "invoice.sent",
            "invoice.paid",
            "payment.succeeded",
            "payment.succeeded",
        ]

    def test_says_what_it_comes_to_in_text(self, story: Story) -> None:
        invoice = issued()
        data = WebhookEvent.objects.get(type="invoice.finalized").data
        assert data == {
            "invoice_id": str(invoice.pk),
            "kind": "invoice",
            "issued_as": "invoice",
            "number": "1",
            "status": "finalized",
            "customer_id": str(story.customer.pk),
            "customer_reference": "shop-ltd",
            "subscription_id": str(story.subscription.pk),
            "refers_to": None,
            "period_start": "2026-10-01T00:00:00Z",
            "period_end": "2026-10-31T23:00:00Z",
            "currency": "EUR",
            "total": "0.1",
            "tax_total": "0",
            "gross": "0.1",
            "open_amount": "0.1",
            "due_at": "2026-11-15T00:00:00Z",
        }

    def test_is_told_overdue_and_given_up_once(self, story: Story) -> None:
        invoice = issued()
        late = NOVEMBER + timedelta(days=60)
        mark_overdue(as_of=late)
        mark_overdue(as_of=late)
        write_off(invoice, as_of=late)
        write_off(invoice, as_of=late)
        assert told()[2:] == ["invoice.overdue", "invoice.written_off"]

    def test_is_told_void_beside_the_note_that_made_it_so(self, story: Story) -> None:
        invoice = issued()
        note = void_invoice(invoice, "a mistake", as_of=at(11, 4))
        assert sorted(told()[2:]) == ["invoice.finalized", "invoice.paid", "invoice.voided"]
        issued_note = WebhookEvent.objects.get(key=f"invoice.finalized:{note.pk}").data
        assert issued_note["refers_to"] == str(invoice.pk)
        assert issued_note["issued_as"] == "credit_note"

    def test_is_told_to_its_customer_but_for_drafts(self, story: Story) -> None:
        own, _ = add_endpoint("https://pine.example/", customer=story.customer, as_of=NOVEMBER)
        issued()
        assert [each.event.type for each in WebhookDelivery.objects.filter(endpoint=own)] == [
            "invoice.finalized"
        ]


def test_what_fails_is_not_told(story: Story) -> None:
    (draft,) = close_due(as_of=NOVEMBER)
    with pytest.raises(ValueError, match="no amount"):
        pay(finalize_invoice(draft, as_of=NOVEMBER), "0.001")
    assert told() == ["invoice.created", "invoice.finalized"]
