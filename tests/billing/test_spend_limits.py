"""Who spends more in a month than a policy allows is listed and told once, and billed."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from billing.accruing import count_accrued
from billing.core.spend_limits import passed_on
from billing.models import Subscription
from billing.operations.spend_limits import watch_spend
from billing.queries import upcoming_invoice
from metering.breach_models import PolicyBreach
from metering.rollup_models import Rollup
from metering.spend_simulation import SpendSimulation, spend_against
from tenants.models import Environment, Policy
from tenants.policies import change_draft, draft_of, publish
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEvent
from tests.billing.timeline import HOUR_US, NOVEMBER, OCTOBER, Story, at, begin_story, use

pytestmark = pytest.mark.django_db

MIDDAY = at(10, 10, 12)
NEXT_MONTH = at(11, 20)


@pytest.fixture
def story(inside: UUID) -> Story:
    story = begin_story()
    add_endpoint("https://example.com/", as_of=OCTOBER)
    return story


def limit(since: datetime = OCTOBER, **terms: Any) -> None:
    policy, _ = Policy.objects.get_or_create(name="calm")
    Environment.objects.update(policy=policy)
    draft = change_draft(draft_of(policy), {"spend_currency": "EUR"} | terms)
    publish(draft, effective_from=since, by="a", as_of=since)


def spend(app: Any, when: datetime, euros: int) -> None:
    """At 0.01 a CPU-hour."""
    use(app, when, cpu_us=euros * 100 * HOUR_US)


def against_spend(as_of: datetime = NEXT_MONTH, after: str = "", **terms: Any) -> SpendSimulation:
    """A draft with these limits, and none that is published, held against the month before."""
    policy, _ = Policy.objects.get_or_create(name="calm")
    Environment.objects.update(policy=policy)
    draft = change_draft(draft_of(policy), {"spend_currency": "EUR"} | terms)
    found = spend_against(draft, after=after, as_of=as_of)
    assert found is not None
    return found


def told() -> list[str]:
    return [each.type for each in WebhookEvent.objects.order_by("occurred_at")]


class TestALimitOfSpend:
    def test_names_the_customer_and_the_application_with_the_amounts(self, story: Story) -> None:
        limit(application_spend_max="10", customer_spend_max="25")
        spend(story.shop, at(10, 3), 16)
        spend(story.mail, at(10, 4), 10)
        assert watch_spend(story.customer, as_of=MIDDAY) == 2
        rows = {each.term: each for each in PolicyBreach.objects.all()}
        whole, one = rows["customer_spend_max"], rows["application_spend_max"]
        assert (whole.customer, whole.application) == (story.customer, None)
        assert (whole.measured, whole.limit, str(whole.day)) == (
            Decimal(26),
            Decimal(25),
            "2026-10-01",
        )
        assert (one.application, one.measured, one.standing) == (story.shop, Decimal(16), True)
        # It is billed all the same.
        upcoming = upcoming_invoice(story.customer, as_of=MIDDAY)
        assert upcoming is not None
        assert sum(line.amount for line in upcoming.lines) == 26

    def test_may_be_used_up_to_the_cent(self, story: Story) -> None:
        limit(application_spend_max="16")
        spend(story.shop, at(10, 3), 16)
        assert watch_spend(story.customer, as_of=MIDDAY) == 0

    def test_is_told_once_and_is_over_with_the_month(self, story: Story) -> None:
        limit(customer_spend_max="5")
        spend(story.shop, at(10, 3), 6)
        for hours in range(3):
            watch_spend(story.customer, as_of=MIDDAY + timedelta(hours=hours))
        assert told() == ["fault.raised"]
        data = WebhookEvent.objects.get().data
        assert (data["kind"], data["term"]) == ("limit", "customer_spend_max")
        assert (data["measured"], data["limit"], data["currency"]) == ("6", "5", "EUR")
        assert data["customer_reference"] == "shop-ltd"
        watch_spend(story.customer, as_of=at(11, 2))
        assert told() == ["fault.raised", "fault.cleared"]
        assert not PolicyBreach.objects.get().standing

    def test_follows_a_correction_and_a_higher_limit(self, story: Story) -> None:
        limit(customer_spend_max="5")
        spend(story.shop, at(10, 3), 6)
        watch_spend(story.customer, as_of=MIDDAY)
        limit(customer_spend_max="50", since=MIDDAY)
        watch_spend(story.customer, as_of=MIDDAY + timedelta(hours=1))
        # What the version before has found stays.
        assert not PolicyBreach.objects.get().standing
        limit(customer_spend_max="4", since=MIDDAY + timedelta(hours=2))
        watch_spend(story.customer, as_of=MIDDAY + timedelta(hours=3))
        assert PolicyBreach.objects.count() == 2
        Rollup.objects.update(cpu_time=1)
        watch_spend(story.customer, as_of=MIDDAY + timedelta(hours=4))
        assert PolicyBreach.objects.get().limit == 5

    def test_of_another_currency_judges_nobody(self, story: Story) -> None:
        limit(customer_spend_max="5", spend_currency="USD")
        spend(story.shop, at(10, 3), 6)
        assert watch_spend(story.customer, as_of=MIDDAY) == 0

    def test_is_looked_at_with_what_has_accrued(self, inside: UUID, story: Story) -> None:
        limit(customer_spend_max="5")
        spend(story.shop, at(10, 3), 6)
        count_accrued(inside, as_of=MIDDAY, counted_before=MIDDAY)
        assert PolicyBreach.objects.get().measured == Decimal(6)


class TestADraftsLimitOfSpend:
    def test_names_who_would_have_passed_it_last_month_by_how_much_and_when(
        self, story: Story
    ) -> None:
        spend(story.shop, at(10, 3), 6)
        # In the customer's time zone it is the 5th by then.
        spend(story.shop, at(10, 4, 23), 10)
        spend(story.mail, at(10, 20), 10)
        spend(story.mail, at(11, 2), 900)
        found = against_spend(application_spend_max="9.5", customer_spend_max="25")
        rows = [
            (each.application, each.spent, each.over_by, str(each.passed_on)) for each in found.over
        ]
        assert rows == [
            ("shop-ltd-shop", Decimal(16), Decimal("6.5"), "2026-10-05"),
            ("", Decimal(26), Decimal(1), "2026-10-20"),
            ("shop-ltd-mail", Decimal(10), Decimal("0.5"), "2026-10-20"),
        ]
        assert {(each.reference, each.currency) for each in found.over} == {("shop-ltd", "EUR")}
        assert (found.judged, found.left_out, found.more_after) == (1, (), "")
        # It is what the running month was found over when it ended, and nothing is written.
        assert not PolicyBreach.objects.exists()
        limit(application_spend_max="9.5", customer_spend_max="25")
        watch_spend(story.customer, as_of=NOVEMBER - timedelta(hours=3))
        kept = PolicyBreach.objects.values_list("term", "measured")
        assert sorted(kept) == sorted((each.term, each.spent) for each in found.over)

    def test_may_be_used_up_to_the_cent_and_is_none_of_another_policys(self, story: Story) -> None:
        spend(story.shop, at(10, 3), 16)
        assert against_spend(application_spend_max="16").over == ()
        assert len(against_spend(application_spend_max="15.99").over) == 1
        other = change_draft(
            draft_of(Policy.objects.create(name="other")),
            {"spend_currency": "EUR", "customer_spend_max": "1"},
        )
        found = spend_against(other, as_of=NEXT_MONTH)
        assert found is not None
        assert (found.over, found.judged) == ((), 0)
        assert spend_against(draft_of(Policy.objects.create(name="free")), as_of=NOVEMBER) is None

    def test_says_whom_it_does_not_judge_and_goes_on_where_it_stopped(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        oak = begin_story("oak", "Other plan")
        ended = begin_story("ash", "Third plan")
        Subscription.objects.filter(pk=ended.subscription.pk).update(ends_at=at(10, 20))
        for each in (story, oak, ended):
            spend(each.shop, at(10, 3), 6)
        oak.subscription.delete()
        monkeypatch.setattr("billing.queries.spend_limits.CUSTOMERS_AT_ONCE", 2)
        found = against_spend(customer_spend_max="5")
        assert [each.reference for each in found.over] == ["ash"]
        assert found.left_out == (("oak", "no subscription with prices in the month"),)
        assert found.more_after == "oak"
        rest = against_spend(customer_spend_max="5", after="oak")
        assert [each.reference for each in rest.over] == ["shop-ltd"]
        assert rest.more_after == ""
        dollars = against_spend(customer_spend_max="5", spend_currency="USD", after="oak")
        assert dollars.left_out == (("shop-ltd", "billed in EUR"),)


def test_a_limit_is_passed_on_the_day_by_whose_end_more_was_spent() -> None:
    days = [(date(2026, 10, 2), Decimal("0.1"))] * 3 + [(date(2026, 10, 1), Decimal("0.1"))]
    assert passed_on(days, Decimal("0.3")) == date(2026, 10, 2)
    assert passed_on(days, Decimal("0.4")) is None
