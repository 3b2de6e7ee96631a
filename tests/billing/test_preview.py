"""The upcoming invoice: what the customer sees before the period has ended."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from billing.models import Plan, Price
from billing.queries import (
    month_to_date,
    subscription_of,
    upcoming_invoice,
)
from tenants.models import Customer
from tests.billing.timeline import (
    HOUR_US,
    Story,
    at,
    begin_story,
    cpu_price,
    disk_price,
    publish,
    use,
)

pytestmark = pytest.mark.usefixtures("inside")


def busy_story() -> Story:
    """Usage that crosses the allowance, both disk tiers and a cent's fractions."""
    story = begin_story()
    memory = Price(
        label="Memory", meter="memory.used.max", aggregation="maximum", unit="GB",
        unit_price=Decimal("0.001"),
    )  # fmt: skip
    publish(story.plan, cpu_price("0.0123", "50"), disk_price(), memory, effective_from=at(9, 1))
    for day in range(1, 20):
        use(story.shop, at(10, day, 21), cpu_us=day**4 * 10**6 + 7, disk_bytes=day * 10**8 + 3)
        use(story.shop, at(10, day, 22), cpu_us=day**5 * 10**5 + 1, disk_bytes=day * 10**8 + 1)
        use(story.mail, at(10, day, 9), cpu_us=day**6 * 10**4 + 3, disk_bytes=day * 10**7 + 9)
    return story


class TestTheUpcomingInvoice:
    def test_prices_the_running_period(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        upcoming = upcoming_invoice(story.customer, as_of=at(10, 4))
        assert upcoming is not None
        assert (upcoming.period.start, upcoming.period.end) == (at(10, 1), at(10, 31, 23))
        assert [(line.application_name, line.amount) for line in upcoming.lines] == [
            ("shop-ltd-shop", Decimal("1.00"))
        ]
        assert (upcoming.total, upcoming.currency.code) == (Decimal("1.00"), "EUR")

    def test_does_not_count_another_customers_usage(self) -> None:
        story, other = begin_story(), begin_story("other", "Other")
        use(other.shop, at(10, 3), cpu_us=100 * HOUR_US)
        upcoming = upcoming_invoice(story.customer, as_of=at(10, 4))
        assert upcoming is not None
        assert upcoming.lines == ()

    def test_is_none_without_a_subscription(self) -> None:
        nobody = Customer.objects.create(name="New", reference="new")
        assert upcoming_invoice(nobody, as_of=at(10, 4)) is None
        assert month_to_date(nobody, as_of=at(10, 4)) is None

    def test_is_none_while_the_plan_has_no_prices(self) -> None:
        story = begin_story()
        story.plan.versions.update(effective_from=at(12, 1))
        assert upcoming_invoice(story.customer, as_of=at(10, 4)) is None

    def test_follows_the_subscription_that_runs_now(self) -> None:
        story = begin_story()
        story.subscription.ends_at = at(10, 10)
        story.subscription.save()
        assert subscription_of(story.customer, as_of=at(10, 9, 23)) == story.subscription
        assert subscription_of(story.customer, as_of=at(10, 10)) is None


class TestChargesByApplication:
    def test_sum_to_the_invoice(self) -> None:
        story = busy_story()
        upcoming = upcoming_invoice(story.customer, as_of=at(10, 20))
        assert upcoming is not None
        charges = upcoming.by_application()
        assert sum(charge.amount for charge in charges) == upcoming.total
        assert [charge.amount for charge in charges] == sorted(
            (charge.amount for charge in charges), reverse=True
        )


class TestDailyCharges:
    def test_sum_to_the_invoice_in_total_and_for_each_application(self) -> None:
        story = busy_story()
        month = month_to_date(story.customer, as_of=at(10, 20))
        assert month is not None
        by_application: defaultdict[UUID | None, Decimal] = defaultdict(Decimal)
        for charge in month.days:
            by_application[charge.application_id] += charge.amount
        assert month.upcoming.total > 0
        assert by_application == {
            charge.application_id: charge.amount for charge in month.upcoming.by_application()
        }
        assert sum(by_application.values()) == month.upcoming.total

    def test_agree_with_the_preview_made_for_the_whole_period(self) -> None:
        story = busy_story()
        month = month_to_date(story.customer, as_of=at(10, 20))
        assert month is not None
        assert month.upcoming == upcoming_invoice(story.customer, as_of=at(10, 20))

    def test_fall_on_the_customers_own_days(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3, 21, 55), cpu_us=100 * HOUR_US)
        use(story.shop, at(10, 3, 22, 0), cpu_us=200 * HOUR_US)
        month = month_to_date(story.customer, as_of=at(10, 5))
        assert month is not None
        # Berlin is two hours ahead in early October.
        assert [(charge.day, charge.amount) for charge in month.days] == [
            (date(2026, 10, 3), Decimal("1.00")),
            (date(2026, 10, 4), Decimal("2.00")),
        ]

    def test_take_a_constant_number_of_queries(
        self, django_assert_max_num_queries: pytest.FixtureRequest
    ) -> None:
        story = busy_story()
        with django_assert_max_num_queries(19):  # type: ignore[operator]
            month_to_date(story.customer, as_of=at(10, 20))


def test_a_plan_version_in_effect_later_does_not_touch_the_running_period() -> None:
    story = begin_story()
    publish(Plan.objects.get(), cpu_price("0.09"), effective_from=at(10, 2))
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    upcoming = upcoming_invoice(story.customer, as_of=at(10, 4))
    assert upcoming is not None
    assert upcoming.total == Decimal("1.00")
