"""The running month beside the last, and what it will come to."""

from decimal import Decimal

import pytest

from billing.core.changes import Change
from billing.queries import current_period, month_to_date
from billing.queries.comparison import Comparison, comparison_with_last
from billing.queries.foreseen import foreseen_total
from metering.models import Application
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    Story,
    application,
    assign,
    at,
    begin_story,
    cpu_price,
    publish,
    use,
)

pytestmark = pytest.mark.usefixtures("inside")


def compared(story: Story, *, day: int = 11) -> Comparison | None:
    as_of = at(11, day, 14)
    period = current_period(story.subscription, as_of=as_of)
    return comparison_with_last(story.subscription, period, as_of=as_of)


def told(story: Story) -> list[tuple[str, Decimal, Decimal, str]]:
    comparison = compared(story)
    assert comparison is not None
    return [(each.application_name, each.before, each.now, each.cause) for each in
            comparison.changes]  # fmt: skip


def hours(app: Application, month: int, day: int, count: int) -> None:
    use(app, at(month, day, 12), cpu_us=count * HOUR_US)


class TestTheComparison:
    def test_holds_as_many_whole_days_against_each_other(self) -> None:
        story = begin_story()
        hours(story.shop, 10, 10, 100)
        hours(story.shop, 10, 11, 5_000)
        hours(story.shop, 11, 10, 300)
        hours(story.shop, 11, 11, 7_000)
        comparison = compared(story)
        assert comparison is not None
        assert (comparison.before, comparison.now) == (Decimal(1), Decimal(3))
        assert comparison.whole_before == Decimal(51)
        assert comparison.span.end == at(11, 10, 23)
        # Clocks went back in October: as many local days are an hour longer in UTC.
        assert comparison.span_before.end == at(10, 10, 22)

    def test_says_that_more_and_less_was_used_largest_first(self) -> None:
        story = begin_story()
        hours(story.shop, 10, 3, 100)
        hours(story.shop, 11, 3, 150)
        hours(story.mail, 10, 3, 300)
        hours(story.mail, 11, 3, 200)
        assert told(story) == [
            ("shop-ltd-mail", Decimal(3), Decimal(2), "less"),
            ("shop-ltd-shop", Decimal(1), Decimal("1.5"), "more"),
        ]

    def test_says_what_is_new_and_what_is_gone(self) -> None:
        story = begin_story()
        hours(story.shop, 10, 3, 100)
        fresh = application("fresh")
        assign(fresh, story.customer, NOVEMBER)
        hours(fresh, 11, 3, 400)
        assert told(story) == [
            ("fresh", Decimal(0), Decimal(4), "new"),
            ("shop-ltd-shop", Decimal(1), Decimal(0), "gone"),
        ]

    def test_tells_a_price_from_what_was_used(self) -> None:
        story = begin_story()
        publish(story.plan, cpu_price("0.03"), effective_from=at(10, 31, 23))
        hours(story.shop, 10, 3, 100)
        hours(story.shop, 11, 3, 110)
        hours(story.mail, 10, 3, 100)
        hours(story.mail, 11, 3, 900)
        assert told(story) == [
            ("shop-ltd-mail", Decimal(1), Decimal(27), "more"),
            ("shop-ltd-shop", Decimal(1), Decimal("3.3"), "price"),
        ]

    def test_leaves_out_what_stayed_the_same(self) -> None:
        story = begin_story()
        hours(story.shop, 10, 3, 100)
        hours(story.shop, 11, 3, 100)
        assert told(story) == []

    def test_waits_for_a_whole_day_and_for_a_period_before(self) -> None:
        story = begin_story()
        assert compared(story, day=1) is None
        first = current_period(story.subscription, as_of=at(10, 9))
        assert comparison_with_last(story.subscription, first, as_of=at(10, 9)) is None

    def test_does_not_count_another_customers_usage(self) -> None:
        story, other = begin_story(), begin_story("other", "Other")
        hours(other.shop, 11, 3, 900)
        comparison = compared(story)
        assert comparison is not None
        assert comparison.changes == ()


class TestAChange:
    def test_is_what_is_now_less_what_was(self) -> None:
        change = Change(
            None, "", "Fee", "", Decimal("5.00"), Decimal("4.25"), 1, 1, "price"
        )  # fmt: skip
        assert change.difference == Decimal("-0.75")


class TestTheForeseenTotal:
    def test_carries_usage_on_to_the_end_of_the_month(self) -> None:
        story = begin_story()
        for day in range(1, 11):
            hours(story.shop, 11, day, 100)
        month = month_to_date(story.customer, as_of=at(11, 10, 23))
        assert month is not None
        assert foreseen_total(month) == (Decimal(30), Decimal(30), Decimal(30))

    def test_is_unknown_in_the_first_days(self) -> None:
        story = begin_story()
        hours(story.shop, 11, 1, 100)
        month = month_to_date(story.customer, as_of=at(11, 2, 12))
        assert month is not None
        assert foreseen_total(month) is None

    def test_is_in_payable_amounts_however_days_differ(self) -> None:
        story = begin_story()
        for day in range(1, 12):
            hours(story.shop, 11, day, day * day * 7 + 1)
        month = month_to_date(story.customer, as_of=at(11, 11, 22))
        assert month is not None
        known = foreseen_total(month)
        assert known is not None
        assert month.upcoming.total < known.low < known.middle < known.high
        assert all(each == each.quantize(Decimal("0.01")) for each in known)
