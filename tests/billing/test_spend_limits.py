"""Who spends more in a month than a policy allows is listed and told once, and billed."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from billing.accruing import count_accrued
from billing.operations.spend_limits import watch_spend
from billing.queries import upcoming_invoice
from metering.breach_models import PolicyBreach
from metering.rollup_models import Rollup
from tenants.models import Environment, Policy
from tenants.policies import change_draft, draft_of, publish
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEvent
from tests.billing.timeline import HOUR_US, OCTOBER, Story, at, begin_story, use

pytestmark = pytest.mark.django_db

MIDDAY = at(10, 10, 12)


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
