"""Money goes back against a payment, through a credit note, and once."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from billing.core.money import sum_amounts
from billing.models import (
    CreditGrant,
    CreditMovement,
    Invoice,
    JournalEntry,
    Payment,
    Posting,
    Refund,
)
from billing.operations import CreditNotLeft, void_invoice
from billing.operations.collecting import collect
from billing.operations.refunds import NotRefundable, begin_refund, refundable_payments
from billing.payment_tasks import reconcile_tenant
from billing.queries.credit import credit_left
from billing.refunding import reconcile_refund, submit_refund
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.payments.conftest import Billed, Fake

pytestmark = pytest.mark.django_db
AUTHOR = "billing@first.example"


@pytest.fixture
def note(billed: Billed, fake: Fake) -> Invoice:
    """The credit note that took back an invoice which had been paid."""
    billed.card()
    with tenant_scope(billed.tenant_id):
        collect(billed.invoice, as_of=billed.as_of)
    reconcile_tenant(billed.tenant_id, as_of=billed.as_of + timedelta(minutes=3))
    with tenant_scope(billed.tenant_id):
        return void_invoice(billed.invoice, "billed by mistake", as_of=billed.as_of)


def begun(billed: Billed, note: Invoice, amount: str = "12") -> Refund:
    with tenant_scope(billed.tenant_id):
        payment = Payment.objects.get()
        return begin_refund(note, payment, Decimal(amount), author=AUTHOR, as_of=billed.as_of)


def read(billed: Billed, refund: Refund) -> Refund:
    with tenant_scope(billed.tenant_id):
        return Refund.objects.get(pk=refund.pk)


class TestRefunding:
    def test_pays_out_the_credit_that_the_note_left(
        self, billed: Billed, fake: Fake, note: Invoice
    ) -> None:
        refund = begun(billed, note)
        submit_refund(billed.tenant_id, refund.pk, as_of=billed.as_of)
        assert read(billed, refund).state == "succeeded"
        (charge,) = fake.charges()
        assert charge["amount_refunded"] == 1_200
        with tenant_scope(billed.tenant_id):
            assert credit_left(billed.customer, as_of=billed.as_of) == []
            assert JournalEntry.objects.filter(kind="refunded").count() == 1
            assert sum_amounts(list(Posting.objects.values_list("amount", flat=True))) == 0

    def test_in_parts_never_exceeds_the_payment(self, billed: Billed, note: Invoice) -> None:
        begun(billed, note, "7")
        with pytest.raises(NotRefundable, match="between nothing and 5 EUR"):
            begun(billed, note, "6")
        begun(billed, note, "5")
        with tenant_scope(billed.tenant_id):
            assert refundable_payments(note) == []

    def test_needs_a_payment_that_came_through_the_processor(
        self, billed: Billed, note: Invoice
    ) -> None:
        with tenant_scope(billed.tenant_id):
            payment = Payment(invoice=billed.invoice, amount=12, reference="transfer")
            with pytest.raises(NotRefundable):
                begin_refund(note, payment, Decimal(1), author=AUTHOR, as_of=billed.as_of)

    def test_gives_out_no_credit_that_was_spent(self, billed: Billed, note: Invoice) -> None:
        with tenant_scope(billed.tenant_id):
            grant = CreditGrant.objects.get(source_id=note.pk)
            CreditMovement.objects.create(
                grant=grant, kind="lapsed", amount=Decimal(10), occurred_at=billed.as_of
            )
        with pytest.raises(CreditNotLeft):
            begun(billed, note)

    def test_that_is_lost_on_the_way_is_found(
        self, billed: Billed, fake: Fake, note: Invoice
    ) -> None:
        refund = begun(billed, note)
        fake.fail(answer_lost_percent=100)
        submit_refund(billed.tenant_id, refund.pk, as_of=billed.as_of)
        assert read(billed, refund).state == "unknown"
        fake.fail()
        for _ in range(2):
            reconcile_refund(billed.tenant_id, refund.pk, as_of=billed.as_of + timedelta(hours=1))
        assert read(billed, refund).state == "succeeded"
        assert fake.charges()[0]["amount_refunded"] == 1_200

    def test_that_never_arrived_is_credit_again_after_a_day(
        self, billed: Billed, fake: Fake, note: Invoice
    ) -> None:
        refund = begun(billed, note)
        fake.fail(request_lost_percent=100)
        submit_refund(billed.tenant_id, refund.pk, as_of=billed.as_of)
        fake.forward(timedelta(hours=26))
        reconcile_refund(billed.tenant_id, refund.pk, as_of=billed.as_of + timedelta(hours=26))
        assert read(billed, refund).state == "failed"
        with tenant_scope(billed.tenant_id):
            (left,) = credit_left(billed.customer, as_of=billed.as_of)
            assert left.total == Decimal(12)

    def test_that_has_ended_never_changes(self, billed: Billed, note: Invoice) -> None:
        refund = begun(billed, note)
        submit_refund(billed.tenant_id, refund.pk, as_of=billed.as_of)
        with tenant_scope(billed.tenant_id), pytest.raises(IntegrityError), transaction.atomic():
            Refund.objects.update(state="failed")


class TestInTheAdmin:
    """The page that a credit note offers."""

    def page(self, note: Invoice) -> str:
        return reverse("admin:billing_invoice_refund_one", args=[note.pk])

    def test_gives_money_back_once_however_often_it_is_sent(
        self, billed: Billed, fake: Fake, note: Invoice
    ) -> None:
        operator = signed_in(billed.tenant, "billing")
        assert "Give money back" in operator.get(self.of(note)).content.decode()
        assert 'value="12.00"' in operator.get(self.page(note)).content.decode()
        with tenant_scope(billed.tenant_id):
            payment = Payment.objects.get()
        form = {"payment": str(payment.pk), "amount": "7", "number": "1"}
        for _ in range(2):
            operator.post(self.page(note), form)
        with tenant_scope(billed.tenant_id):
            refund = Refund.objects.get()
        assert (refund.amount, refund.author) == (Decimal(7), "billing0@demo.example")
        again = operator.post(self.page(note), form).content.decode()
        assert "was made already" in again
        reconcile_tenant(billed.tenant_id, as_of=timezone.now() + timedelta(minutes=3))
        assert fake.charges()[0]["amount_refunded"] == 700
        listed = operator.get(reverse("admin:billing_refund_changelist")).content.decode()
        assert "7.00 EUR" in listed

    @pytest.mark.parametrize(
        ("amount", "said"),
        [
            ("0", "greater than or equal"),
            ("12.01", "etween nothing and 12 EUR"),
            ("7.005", "no whole number of minor units"),
            ("x", "a number"),
        ],
    )
    def test_says_what_cannot_be(
        self, billed: Billed, note: Invoice, amount: str, said: str
    ) -> None:
        operator = signed_in(billed.tenant, "billing")
        with tenant_scope(billed.tenant_id):
            payment = Payment.objects.get()
        form = {"payment": str(payment.pk), "amount": amount, "number": "1"}
        assert said in operator.post(self.page(note), form).content.decode()
        with tenant_scope(billed.tenant_id):
            assert not Refund.objects.exists()

    def test_is_for_those_who_bill(
        self, billed: Billed, note: Invoice, other_tenant: Tenant
    ) -> None:
        for role in ("operator", "viewer"):
            client = signed_in(billed.tenant, role)
            assert client.get(self.page(note)).status_code == 403
            assert "Give money back" not in client.get(self.of(note)).content.decode()
        elsewhere = signed_in(other_tenant, "owner").get(self.page(note), follow=True)
        assert "Give money back" not in elsewhere.content.decode()

    def test_is_not_offered_of_an_invoice(self, billed: Billed, note: Invoice) -> None:
        operator = signed_in(billed.tenant, "billing")
        assert "Give money back" not in operator.get(self.of(billed.invoice)).content.decode()
        answer = operator.get(self.page(billed.invoice), follow=True)
        assert "no payment by card" in answer.content.decode()

    def of(self, invoice: Invoice) -> str:
        return reverse("admin:billing_invoice_change", args=[invoice.pk])
