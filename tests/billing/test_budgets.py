"""Budgets have the figures of the upcoming invoice, and each threshold is told once."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from celery import current_app
from django.utils import timezone

from billing.models import BillingSettings, Budget, BudgetAlert, BudgetRequest
from billing.operations import Agreement, subscribe
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import (
    BUDGETS_MAX,
    BudgetNotUsable,
    BudgetTerms,
    RequestDecided,
    TooManyBudgets,
    add_budget,
    change_budget,
    decide_request,
    remove_budget,
    terms_of,
)
from billing.queries import upcoming_invoice
from billing.queries.spending import spending_of
from billing.tasks import look_at_budgets_of, watch_budgets
from metering.models import Application
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookDelivery, WebhookEvent
from tests.billing.timeline import HOUR_US, OCTOBER, Story, at, begin_story, cpu_price, publish, use

pytestmark = pytest.mark.django_db

MIDDAY = at(10, 10, 12)


@pytest.fixture
def story(inside: UUID) -> Story:
    return begin_story()


def spend(app: Application, when: datetime, euros: int) -> None:
    """At 0.01 a CPU-hour."""
    use(app, when, cpu_us=euros * 100 * HOUR_US)


def budget(story: Story, limit: str = "10", **more: Any) -> Budget:
    terms = BudgetTerms("Hosting", Decimal(limit), more.pop("measure", "EUR"), **more)
    return add_budget(story.customer, terms, as_of=OCTOBER)


def look(story: Story, when: datetime = MIDDAY) -> list[str]:
    """Which thresholds are told."""
    return [each.threshold for each in look_at_budgets(story.customer, as_of=when)]


def figures(kept: Budget) -> tuple[Decimal | None, str]:
    kept.refresh_from_db()
    return kept.spent, kept.waits_for


class TestABudget:
    def test_counts_what_the_upcoming_invoice_comes_to(self, story: Story) -> None:
        kept = budget(story)
        spend(story.shop, at(10, 3), 4)
        spend(story.mail, at(10, 4), 1)
        look(story)
        upcoming = upcoming_invoice(story.customer, as_of=MIDDAY)
        assert upcoming is not None
        assert figures(kept) == (upcoming.total, "") == (Decimal(5), "")

    def test_of_an_application_counts_that_alone(self, story: Story) -> None:
        kept = budget(story, application=story.mail)
        spend(story.shop, at(10, 3), 4)
        spend(story.mail, at(10, 4), 1)
        look(story)
        assert figures(kept)[0] == 1

    def test_of_an_environment_counts_its_applications(self, story: Story) -> None:
        kept = budget(story, environment=Environment.objects.get())
        spend(story.shop, at(10, 3), 4)
        spend(story.mail, at(10, 4), 1)
        look(story)
        assert figures(kept)[0] == 5

    def test_of_a_meter_counts_its_quantity(self, story: Story) -> None:
        kept = budget(
            story, "1000", measure="CPU-hour", meter="cpu.time", thresholds=["50", "80", "100"]
        )
        spend(story.shop, at(10, 3), 4)
        spend(story.mail, at(10, 4), 1)
        assert look(story) == ["50"]
        assert figures(kept)[0] == 500

    def test_begins_anew_each_month_of_the_customers(self, story: Story) -> None:
        kept = budget(story)
        spend(story.shop, at(10, 31, 22, 55), 9)
        assert look(story, at(10, 31, 22, 58)) == ["80"]
        assert look(story, at(10, 31, 23, 1)) == []
        assert figures(kept)[0] == 0

    def test_in_another_currency_than_the_invoices_says_what_it_waits_for(
        self, story: Story
    ) -> None:
        kept = budget(story, measure="USD")
        look(story)
        assert figures(kept) == (None, "the customer is billed in EUR")

    def test_of_a_customer_without_a_subscription_waits_for_one(self, inside: UUID) -> None:
        pine = Customer.objects.create(name="Pine", reference="pine")
        kept = add_budget(pine, BudgetTerms("All", Decimal(1), "EUR"), as_of=OCTOBER)
        assert look_at_budgets(pine, as_of=MIDDAY) == []
        assert figures(kept) == (None, "there is no subscription with prices")

    def test_that_is_removed_is_looked_at_no_more(self, story: Story) -> None:
        kept = budget(story)
        spend(story.shop, at(10, 3), 12)
        remove_budget(kept, as_of=MIDDAY)
        assert look(story) == []


class TestAThreshold:
    def test_is_told_once_a_month(self, story: Story) -> None:
        budget(story)
        spend(story.shop, at(10, 9), 5)
        assert look(story, at(10, 9, 1)) == ["50"]
        assert look(story, at(10, 9, 2)) == []
        spend(story.shop, at(10, 9, 2), 3)
        assert look(story, at(10, 9, 3)) == ["80"]

    def test_is_noted_with_those_below_it_and_told_by_itself(self, story: Story) -> None:
        budget(story)
        spend(story.shop, at(10, 3), 11)
        assert look(story) == ["100"]
        noted = set(BudgetAlert.objects.values_list("threshold", "told"))
        assert noted == {("50", False), ("80", False), ("100", True)}

    def test_is_reached_by_late_usage_and_taken_back_by_no_correction(self, story: Story) -> None:
        budget(story)
        spend(story.shop, at(10, 3), 5)
        look(story)
        Rollup.objects.all().delete()
        assert look(story, MIDDAY + timedelta(hours=1)) == []
        assert BudgetAlert.objects.filter(threshold="50").exists()
        spend(story.shop, at(10, 3), 8)
        assert look(story, MIDDAY + timedelta(hours=2))[-1:] == ["80"]

    def test_is_told_anew_under_another_limit(self, story: Story) -> None:
        kept = budget(story, thresholds=["80"])
        spend(story.shop, at(10, 3), 8)
        assert look(story) == ["80"]
        terms = BudgetTerms("Hosting", Decimal(100), "EUR", thresholds=["80"])
        change_budget(kept, terms, as_of=timezone.now())
        assert look(story) == []
        change_budget(
            kept, BudgetTerms("Hosting", Decimal(9), "EUR", thresholds=["80"]), as_of=timezone.now()
        )
        assert look(story) == ["80"]

    def test_that_is_foreseen_is_told_before_it_is_reached(self, story: Story) -> None:
        kept = budget(story, "10", thresholds=["100", "forecast"])
        for day in range(1, 10):
            spend(story.shop, at(10, day, 1), 1)
        assert look(story, at(10, 3, 12)) == []
        assert look(story, at(10, 9, 12)) == ["forecast"]
        kept.refresh_from_db()
        assert kept.foreseen is not None
        assert kept.foreseen > 25

    def test_tells_whoever_listens_for_that_customer(self, story: Story) -> None:
        kept = budget(story, application=story.shop)
        own, _ = add_endpoint("https://pine.example/", customer=story.customer, as_of=OCTOBER)
        spend(story.shop, at(10, 9), 5)
        look(story, at(10, 9, 1))
        assert WebhookDelivery.objects.get().endpoint_id == own.pk
        data = WebhookEvent.objects.get(type="usage.threshold").data
        assert data["budget_id"] == str(kept.pk)
        assert data["application_id"] == str(story.shop.pk)
        assert (data["threshold"], data["limit"], data["spent"]) == ("50", "10", "5")
        assert data["period_start"] == "2026-09-30T22:00:00Z"

    def test_tells_no_webhook_where_the_budget_does_not_want_it(self, story: Story) -> None:
        budget(story, by_webhook=False)
        add_endpoint("https://example.com/", as_of=OCTOBER)
        spend(story.shop, at(10, 9), 5)
        assert look(story) != []
        assert not WebhookEvent.objects.exists()


class TestTheLimit:
    def allow(self) -> None:
        BillingSettings.objects.create(customers_may_stop_applications=True)

    def test_asks_the_operator_once(self, story: Story) -> None:
        budget(story, at_limit="ask")
        spend(story.shop, at(10, 3), 11)
        look(story)
        look(story, MIDDAY + timedelta(hours=1))
        assert BudgetRequest.objects.get().kind == "ask"

    def test_only_tells_unless_more_was_chosen(self, story: Story) -> None:
        budget(story)
        spend(story.shop, at(10, 3), 11)
        look(story)
        assert not BudgetRequest.objects.exists()

    def test_asks_to_stop_an_application_where_the_provider_allows_it(self, story: Story) -> None:
        self.allow()
        budget(story, application=story.shop, at_limit="stop")
        spend(story.shop, at(10, 3), 11)
        look(story)
        assert BudgetRequest.objects.get().kind == "stop"

    def test_asks_what_to_do_where_stopping_was_withdrawn(self, story: Story) -> None:
        self.allow()
        budget(story, application=story.shop, at_limit="stop")
        BillingSettings.objects.update(customers_may_stop_applications=False)
        spend(story.shop, at(10, 3), 11)
        look(story)
        assert BudgetRequest.objects.get().kind == "ask"

    def test_is_decided_once(self, story: Story) -> None:
        budget(story, at_limit="ask")
        spend(story.shop, at(10, 3), 11)
        look(story)
        asked = BudgetRequest.objects.get()
        decide_request(asked, "done", note="Raised.", decided_by="a@b.example", as_of=MIDDAY)
        with pytest.raises(RequestDecided):
            decide_request(asked, "declined", note="", decided_by="a@b.example", as_of=MIDDAY)


class TestABudgetThatIsNone:
    @pytest.mark.parametrize(
        ("limit", "measure", "more", "field"),
        [
            ("0", "EUR", {}, "limit"),
            ("-1", "EUR", {}, "limit"),
            ("1.001", "EUR", {}, "limit"),
            ("1", "XXQ", {}, "currency"),
            ("1", "EUR", {"thresholds": ["90"]}, "thresholds"),
            ("1", "EUR", {"thresholds": []}, "thresholds"),
            ("1", "EUR", {"at_limit": "stop"}, "at_limit"),
            ("1", "EUR", {"at_limit": "eat"}, "at_limit"),
            ("1", "GB-hour", {"meter": "cpu.time"}, "unit"),
            ("1", "GB", {"meter": "memory.used.max"}, "meter"),
        ],
    )
    def test_is_refused_with_the_field(
        self, story: Story, limit: str, measure: str, more: Any, field: str
    ) -> None:
        with pytest.raises(BudgetNotUsable) as refusal:
            budget(story, limit, measure=measure, **more)
        assert refusal.value.field == field

    def test_is_of_nothing_that_is_anothers(self, story: Story) -> None:
        other = begin_story("oak", "Other plan")
        with pytest.raises(BudgetNotUsable, match="no such application"):
            budget(story, application=other.shop)

    def test_stops_nothing_that_the_provider_keeps_running(self, story: Story) -> None:
        with pytest.raises(BudgetNotUsable, match="does not let customers"):
            budget(story, application=story.shop, at_limit="stop")

    def test_is_one_too_many(self, story: Story) -> None:
        for _ in range(BUDGETS_MAX):
            budget(story)
        with pytest.raises(TooManyBudgets):
            budget(story)


def test_a_month_is_put_together_of_billing_periods_that_begin_within_it(inside: UUID) -> None:
    story = begin_story("weekly", "Weekly plan")
    publish(story.plan, cpu_price("0.01"), effective_from=at(9, 1))
    story.subscription.delete()
    subscribe(story.customer, story.plan, starts_at=at(9, 20), agreed=Agreement(interval="weekly"))
    for day in (2, 6, 13):
        spend(story.shop, at(10, day), 2)
    spending = spending_of(story.customer, as_of=at(10, 15, 12))
    assert spending is not None
    assert sum(day.amount for day in spending.days) == 6


def test_a_budget_says_the_terms_it_was_made_of(story: Story) -> None:
    kept = budget(story, "12.5", application=story.shop, thresholds=["80"], by_email=False)
    assert terms_of(kept) == terms_of(change_budget(kept, terms_of(kept), as_of=timezone.now()))


def test_setting_a_budget_asks_for_its_figures_at_once(
    story: Story, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(current_app, "send_task", lambda *given: asked.append(given))
    with django_capture_on_commit_callbacks(execute=True):
        kept = budget(story)
        change_budget(kept, terms_of(kept), as_of=timezone.now())
    name, arguments = asked[0]
    assert (name, len(asked)) == (look_at_budgets_of.name, 2)
    assert arguments == [str(story.customer.tenant_id), str(story.customer.pk)]
    look_at_budgets_of(*arguments)
    kept.refresh_from_db()
    assert kept.evaluated_at is not None


@pytest.mark.django_db(transaction=True)
def test_the_task_looks_at_every_tenants_budgets(tenant: Tenant, other_tenant: Tenant) -> None:
    now = timezone.now()
    for each in (tenant, other_tenant):
        with tenant_scope(each.pk):
            story = begin_story()
            budget(story)
            spend(story.shop, now, 20)
    assert watch_budgets() == 2
    assert watch_budgets() == 0
