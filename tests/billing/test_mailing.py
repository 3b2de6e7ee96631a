"""Customers are sent their invoices and receipts, in their language, once."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core import mail as outbox
from django.utils import timezone

from billing.models import BillingDetails, BillingSettings, Invoice
from billing.operations import close_due, finalize_invoice, record_payment, void_invoice
from tenants.mail_delivery import send_due
from tenants.mail_models import MailMessage
from tenants.models import Member, User
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(inside: UUID) -> Story:
    story = begin_story()
    use(story.shop, at(10, 5), cpu_us=3_600_000_000_000)
    BillingDetails.objects.create(
        customer=story.customer, email="books@shop.example", language="de", country="DE"
    )
    return story


def issued() -> Invoice:
    (draft,) = close_due(as_of=NOVEMBER)
    return finalize_invoice(draft, as_of=NOVEMBER)


def pay(invoice: Invoice, amount: str) -> None:
    record_payment(
        invoice, Decimal(amount), received_on=at(11, 3).date(), reference=f"bank {amount}",
        as_of=at(11, 3), excess_to_credit=True,
    )  # fmt: skip


def sent(tenant_id: UUID) -> list[Any]:
    outbox.outbox.clear()
    send_due([tenant_id], as_of=timezone.now())
    return list(outbox.outbox)


class TestAnInvoice:
    def test_is_sent_with_its_pdf_and_noted_as_sent(self, story: Story, inside: UUID) -> None:
        invoice = issued()
        (message,) = sent(inside)
        assert message.to == ["books@shop.example"]
        assert message.subject == f"Rechnung {invoice.reference}"
        assert "Zu zahlen: 10,00\N{NO-BREAK SPACE}€" in message.body
        assert "1. Okt. 2026 – 31. Okt. 2026" in message.body  # noqa: RUF001
        (name, content, content_type) = message.attachments[0]
        assert (name, content_type) == (f"{invoice.reference}.pdf", "application/pdf")
        assert content.startswith(b"%PDF")
        invoice.refresh_from_db()
        assert invoice.status == "sent"

    def test_goes_to_the_customers_people_where_no_address_is_known(
        self, story: Story, inside: UUID
    ) -> None:
        BillingDetails.objects.update(email="")
        for name, invitation in (("ann", None), ("bob", b"x" * 32)):
            Member.objects.create(
                user=User.objects.create_user(f"{name}@shop.example"), role="viewer",
                customer=story.customer, invitation_digest=invitation,
            )  # fmt: skip
        issued()
        assert [message.to for message in sent(inside)] == [["ann@shop.example"]]

    def test_is_not_sent_where_the_tenant_sends_none(self, story: Story, inside: UUID) -> None:
        BillingSettings.objects.create(country="DE", mails_documents=False)
        issued()
        assert not sent(inside)

    def test_of_the_demo_is_sent_to_nobody(self, story: Story, inside: UUID) -> None:
        story.customer.generated = True
        story.customer.save()
        issued()
        assert not sent(inside)

    def test_that_was_taken_back_meanwhile_is_sent_with_its_note(
        self, story: Story, inside: UUID
    ) -> None:
        invoice = issued()
        void_invoice(invoice, "wrong plan", as_of=at(11, 2))
        assert {message.subject.split()[0] for message in sent(inside)} == {
            "Rechnung",
            "Gutschrift",
        }
        assert set(MailMessage.objects.values_list("state", flat=True)) == {"sent"}


class TestAReceipt:
    def test_says_what_came_and_what_is_left(self, story: Story, inside: UUID) -> None:
        invoice = issued()
        sent(inside)
        pay(invoice, "4")
        pay(invoice, "4")
        (message,) = sent(inside)
        assert message.subject == "Zahlung eingegangen: 4,00 €"
        assert "Noch zu zahlen: 6,00" in message.body

    def test_says_what_becomes_credit(self, story: Story, inside: UUID) -> None:
        invoice = issued()
        sent(inside)
        pay(invoice, "12")
        (message,) = sent(inside)
        assert "Als Guthaben behalten: 2,00" in message.body
        assert "Noch zu zahlen" not in message.body
