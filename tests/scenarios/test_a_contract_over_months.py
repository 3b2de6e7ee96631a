"""One customer's contract over several months: a trial, a discount, a price of their own, a plan
change at once, and a commitment that they fall short of."""

from datetime import datetime
from decimal import Decimal

import pytest

from billing.models import Invoice, Price
from billing.operations import (
    OwnPrice,
    Rebate,
    finalize_invoice,
    grant_discount,
    grant_price,
    recompute_draft,
)
from billing.queries import changes_since_finalized, upcoming_invoice
from tests.billing.agreements import begin_contract, close_next, cpu, lines_of, offer
from tests.billing.timeline import HOUR_US, Story, at, use

pytestmark = pytest.mark.usefixtures("inside")


def basic_fee(amount: str) -> Price:
    return Price(label="Basic fee", code="fee", kind="flat", unit_price=Decimal(amount))


def support() -> Price:
    return Price(
        label="Support",
        code="support",
        kind="percentage",
        definition={"percent": "10", "of": ["cpu"]},
    )


def signed() -> Story:
    """Billed monthly in Kathmandu from 1 July: CPU time at 1 with 10 hours included, a fee of 31
    and 10 % for support. July is a trial, three invoices are at half price, and by the end of the
    year 600 are committed."""
    story = begin_contract(
        cpu("1", allowance="10"),
        basic_fee("31"),
        support(),
        starts_at=at(6, 30, 18, 15),
        zone="Asia/Kathmandu",
        trial_ends_at=at(7, 31, 18, 15),
        commitment=Decimal(600),
        commitment_interval="half_yearly",
    )
    grant_discount(story.customer, Rebate("Welcome", at(6, 30), percent=Decimal(50), periods=3))
    return story


def close_month(story: Story, after: datetime) -> Invoice:
    draft = close_next(story.subscription, as_of=after)
    assert recompute_draft(draft).total == draft.total
    return finalize_invoice(draft, as_of=after)


def trial_in_july(story: Story) -> Invoice:
    use(story.shop, at(7, 10), cpu_us=500 * HOUR_US)
    july = close_month(story, at(8, 2))
    assert lines_of(july) == [("usage", "CPU time", "0.00")]
    assert july.lines.get().quantity == 500
    return july


def half_price_in_august(story: Story) -> Invoice:
    use(story.shop, at(8, 10), cpu_us=30 * HOUR_US)
    august = close_month(story, at(9, 2))
    assert lines_of(august) == [
        ("usage", "CPU time", "20.00"),
        ("recurring", "Basic fee", "31.00"),
        ("percentage", "Support", "2.00"),
        ("discount", "Welcome: CPU time", "-10.00"),
        ("discount", "Welcome: Basic fee", "-15.50"),
        ("discount", "Welcome: Support", "-1.00"),
    ]
    return august


def other_prices_from_the_middle_of_september(story: Story) -> Invoice:
    """From the midnight that begins 16 September on, halfway through."""
    offer(
        story.plan,
        cpu("2", allowance="20"),
        basic_fee("61"),
        effective_from=at(9, 15, 18, 15),
        at_once=True,
    )
    use(story.shop, at(9, 10), cpu_us=10 * HOUR_US)
    use(story.mail, at(9, 20), cpu_us=20 * HOUR_US)
    september = close_month(story, at(10, 2))
    assert lines_of(september)[:5] == [
        ("usage", "CPU time", "5.00"),
        ("usage", "CPU time", "20.00"),
        ("recurring", "Basic fee", "15.50"),
        ("recurring", "Basic fee", "30.50"),
        ("percentage", "Support", "0.50"),
    ]
    assert september.total == Decimal("35.75")
    return september


def a_price_of_their_own_in_october(story: Story) -> Invoice:
    """20 of October's 31 days at the plan's price, with that share of 20 hours included: 54.1935,
    which is rounded up as the invoice's largest remainder."""
    own = {"unit_price": "0.5", "allowance": "0"}
    grant_price(
        story.customer,
        OwnPrice("cpu", "EUR", own, at(10, 20, 18, 15), at(11, 30, 18, 15), "offer 7"),
    )
    use(story.shop, at(10, 10), cpu_us=40 * HOUR_US)
    use(story.shop, at(10, 25), cpu_us=40 * HOUR_US)
    october = close_month(story, at(11, 2))
    assert lines_of(october)[:3] == [
        ("usage", "CPU time", "54.20"),
        ("usage", "CPU time", "20.00"),
        ("recurring", "Basic fee", "61.00"),
    ]
    assert october.total == Decimal("67.60")
    return october


def their_price_alone_in_november(story: Story) -> Invoice:
    use(story.shop, at(11, 10), cpu_us=100 * HOUR_US)
    november = close_month(story, at(12, 2))
    assert lines_of(november) == [
        ("usage", "CPU time", "50.00"),
        ("recurring", "Basic fee", "61.00"),
    ]
    return november


def shortfall_in_december(story: Story) -> Invoice:
    preview = upcoming_invoice(story.customer, as_of=at(12, 20))
    december = close_month(story, datetime.fromisoformat("2027-01-02T00:00Z"))
    assert preview is not None
    assert preview.total == december.total
    assert lines_of(december)[-1][:2] == ("true_up", "Commitment, shortfall")
    return december


class TestAContract:
    def test_is_billed_month_by_month_as_it_was_agreed(self) -> None:
        story = signed()
        months = (
            trial_in_july,
            half_price_in_august,
            other_prices_from_the_middle_of_september,
            a_price_of_their_own_in_october,
            their_price_alone_in_november,
            shortfall_in_december,
        )
        invoices = [bill(story) for bill in months]

        # 600 for the half-year, of which July was a trial: 153 of 184 days.
        assert sum(each.total for each in invoices) == Decimal("498.91")
        assert all(changes_since_finalized(each) is None for each in invoices)
