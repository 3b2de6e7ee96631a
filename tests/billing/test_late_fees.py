"""An invoice that stays unpaid costs a late fee, by the plan's price, on the next invoice."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from billing.models import BillingDetails, DunningStep, Invoice, Price
from billing.operations import close_due, finalize_invoice
from billing.operations.dunning import dun
from billing.operations.late_fees import LATE_FEE
from metering.models import Assignment
from metering.rollups import roll_up
from metering.stated_models import Event
from tenants.mail_models import MailMessage
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, cpu_price, publish, use

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
# November begins earlier in Berlin.
BEFORE = NOVEMBER - DAY


def fee_price() -> Price:
    """5 € for the first of a period, 15 € for each that follows."""
    return Price(
        label="Late fee", meter=LATE_FEE, aggregation="sum", unit="one", kind="graduated",
        tiers=[{"up_to": "1", "unit_price": "5"}, {"up_to": None, "unit_price": "15"}],
    )  # fmt: skip


@pytest.fixture
def story(inside: UUID) -> Story:
    story = begin_story()
    BillingDetails.objects.create(customer=story.customer, email="books@shop.example")
    for number, days in ((1, 5), (2, 10)):
        DunningStep.objects.create(action="fee", number=number, days_after_due=days)
    return story


@pytest.fixture
def overdue(story: Story) -> Invoice:
    """Of October, due on 15 November."""
    use(story.shop, NOVEMBER - 20 * DAY, cpu_us=3_600_000_000_000)
    (draft,) = close_due(as_of=NOVEMBER)
    return finalize_invoice(draft, as_of=NOVEMBER)


def outcomes(invoice: Invoice, day: int) -> list[str]:
    assert invoice.due_at is not None
    return [taken.outcome for taken in dun(invoice, as_of=invoice.due_at + day * DAY)]


def test_stands_on_the_next_invoice_once(story: Story, overdue: Invoice, inside: UUID) -> None:
    publish(story.plan, cpu_price(), fee_price(), effective_from=BEFORE)
    for day, expected in ((4, 0), (5, 1), (5, 0), (10, 1), (11, 0)):
        assert len(outcomes(overdue, day)) == expected
    assert Event.objects.count() == 2
    letters = MailMessage.objects.filter(kind="late_fee")
    assert {letter.context["open"] for letter in letters} == {"10"}
    assert letters.count() == 2
    roll_up(inside)
    (draft,) = close_due(as_of=at(12, 1))
    (line,) = draft.lines.filter(label__startswith="Late fee")
    assert (line.amount, line.quantity) == (Decimal(20), Decimal(2))
    # Both are the customer's since the same moment; the first by name.
    assert line.application_name == "shop-ltd-mail"
    assert not close_due(as_of=at(12, 1))[1:]


@pytest.mark.parametrize("why", ["price", "application"])
def test_says_why_none_is_charged(story: Story, overdue: Invoice, why: str) -> None:
    if why == "application":
        publish(story.plan, cpu_price(), fee_price(), effective_from=BEFORE)
        Assignment.objects.update(ends_at=NOVEMBER)
    (said,) = outcomes(overdue, 5)
    assert said.startswith("not charged: ")
    assert why in said
    assert not Event.objects.exists()
    assert not MailMessage.objects.filter(kind="late_fee").exists()


def test_is_none_of_what_was_paid_in_time(story: Story, overdue: Invoice) -> None:
    publish(story.plan, cpu_price(), fee_price(), effective_from=BEFORE)
    Invoice.objects.filter(pk=overdue.pk).update(status=Invoice.Status.PAID)
    assert outcomes(overdue, 5) == []
    assert not Event.objects.exists()
