"""An invoice that is not paid is dunned by the tenant's schedule, each step once."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from billing.dunning_tasks import dun_tenant
from billing.models import (
    BillingDetails,
    DunningStep,
    DunningTaken,
    Invoice,
    PayingCustomer,
    PaymentAttempt,
    Suspension,
)
from billing.operations import (
    Saying,
    close_due,
    finalize_invoice,
    open_dispute,
    record_payment,
    void_invoice,
    withdraw_dispute,
)
from billing.operations.dunning import dun, hold_dunning, resume_dunning
from billing.queries.dunning import is_suspended
from tenants.mail_models import MailMessage
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEvent
from tests.billing.timeline import NOVEMBER, begin_story, use

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def invoice(inside: UUID) -> Invoice:
    """Of 10 €, issued on 1 November and due on the 15th."""
    story = begin_story()
    use(story.shop, NOVEMBER - 20 * DAY, cpu_us=3_600_000_000_000)
    BillingDetails.objects.create(customer=story.customer, email="books@shop.example")
    for action, number, days in (
        ("remind", 1, 3), ("collect", 1, 3), ("remind", 2, 10), ("suspend", 1, 30),
    ):  # fmt: skip
        DunningStep.objects.create(action=action, number=number, days_after_due=days)
    (draft,) = close_due(as_of=NOVEMBER)
    return finalize_invoice(draft, as_of=NOVEMBER)


def dunned(invoice: Invoice, day: int) -> list[str]:
    """The steps that a look so many days after the due date takes."""
    assert invoice.due_at is not None
    return [
        f"{taken.action} {taken.number}: {taken.outcome}"
        for taken in dun(invoice, as_of=invoice.due_at + day * DAY)
    ]


def pay(invoice: Invoice, amount: str, day: int) -> None:
    assert invoice.due_at is not None
    paid_at = invoice.due_at + day * DAY
    record_payment(
        invoice, Decimal(amount), received_on=paid_at.date(), reference=f"bank {amount}",
        as_of=paid_at,
    )  # fmt: skip


class TestSteps:
    def test_are_taken_on_their_days_and_once(self, invoice: Invoice) -> None:
        assert not dunned(invoice, 2)
        nothing_saved = "Shop-Ltd has saved no payment method"
        assert dunned(invoice, 3) == [f"collect 1: {nothing_saved}", "remind 1: sent to 1"]
        assert not dunned(invoice, 3)
        assert dunned(invoice, 10) == ["remind 2: sent to 1"]
        assert dunned(invoice, 30) == ["suspend 1: suspended; sent to 1"]
        assert not dunned(invoice, 99)
        kinds = MailMessage.objects.order_by("created_at").values_list("kind", flat=True)
        assert list(kinds) == ["invoice_issued", "reminder", "reminder", "suspension"]

    def test_leave_what_is_paid(self, invoice: Invoice) -> None:
        pay(invoice, "10", 1)
        assert not dunned(invoice, 30)

    def test_ask_for_what_is_left_after_a_part_was_paid(self, invoice: Invoice) -> None:
        pay(invoice, "4", 1)
        dunned(invoice, 3)
        assert MailMessage.objects.get(kind="reminder").context["open"] == "6"

    def test_collect_by_what_the_customer_has_saved(self, invoice: Invoice) -> None:
        PayingCustomer.objects.create(
            customer=invoice.customer, processor_id="cus_1", method_id="pm_1"
        )
        assert "collect 1: attempt 1 began" in dunned(invoice, 3)
        assert PaymentAttempt.objects.get().amount == 10
        # Nobody is reminded while the money may be on its way.
        assert not dunned(invoice, 10)

    def test_say_where_nobody_could_be_told(self, invoice: Invoice) -> None:
        BillingDetails.objects.update(email="")
        assert "nobody was told" in dunned(invoice, 3)[1]

    def test_are_not_taken_without_a_schedule(self, invoice: Invoice, inside: UUID) -> None:
        DunningStep.objects.all().delete()
        assert invoice.due_at is not None
        assert dun_tenant(inside, as_of=invoice.due_at + 99 * DAY) == 0


class TestAHold:
    def test_by_hand_moves_what_follows(self, invoice: Invoice) -> None:
        assert invoice.due_at is not None
        hold_dunning(invoice, "asked us to wait", author="a@b.example", as_of=invoice.due_at + DAY)
        assert not dunned(invoice, 40)
        assert resume_dunning(invoice, as_of=invoice.due_at + 41 * DAY)
        assert not dunned(invoice, 42)
        assert len(dunned(invoice, 43)) == 2

    def test_of_a_dispute_lasts_as_long_as_it(self, invoice: Invoice) -> None:
        saying = Saying(uuid4(), "ann@shop.example", "We did not use that.")
        line = invoice.lines.all()[0]
        dispute = open_dispute(line, "quantity", saying, as_of=NOVEMBER + DAY)
        assert not dunned(invoice, 1)
        assert not dunned(invoice, 30)
        withdraw_dispute(dispute, by="ann@shop.example", as_of=NOVEMBER + 45 * DAY)
        assert not dunned(invoice, 31)
        assert len(dunned(invoice, 34)) == 2


class TestASuspension:
    @pytest.fixture
    def suspended(self, invoice: Invoice) -> Invoice:
        add_endpoint("https://example.com/", as_of=NOVEMBER)
        for day in (3, 10, 30):
            dunned(invoice, day)
        assert is_suspended(invoice.customer)
        return invoice

    def test_is_told_and_lifted_when_it_is_paid(self, suspended: Invoice) -> None:
        pay(suspended, "4", 31)
        assert is_suspended(suspended.customer)
        pay(suspended, "6", 32)
        assert not is_suspended(suspended.customer)
        assert Suspension.objects.get().ended_because == "it is paid"
        told = WebhookEvent.objects.filter(type__startswith="customer.").order_by("occurred_at")
        assert [event.type for event in told] == ["customer.suspended", "customer.resumed"]

    def test_ends_with_an_invoice_that_is_taken_back(
        self, suspended: Invoice, inside: UUID
    ) -> None:
        void_invoice(suspended, "wrong plan", as_of=timezone.now())
        dun_tenant(inside, as_of=timezone.now())
        assert not is_suspended(suspended.customer)


def test_each_tenant_is_dunned_by_its_own_schedule(tenant: Tenant, other_tenant: Tenant) -> None:
    for each, days in ((tenant, 1), (other_tenant, 365)):
        with tenant_scope(each.pk):
            story = begin_story()
            use(story.shop, NOVEMBER - 20 * DAY, cpu_us=3_600_000_000_000)
            (draft,) = close_due(as_of=NOVEMBER)
            finalize_invoice(draft, as_of=NOVEMBER)
            DunningStep.objects.create(action="remind", days_after_due=days)
    later = NOVEMBER + 20 * DAY
    assert [dun_tenant(each.pk, as_of=later) for each in (tenant, other_tenant)] == [1, 0]
    with tenant_scope(tenant.pk):
        assert DunningTaken.objects.count() == 1
