"""A draft of a plan's next version: what it would change is seen before it is published."""

import html
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from billing import admin_backtest
from billing.models import Invoice, PlanVersion
from billing.operations import Offer, draft_plan_version, subscribe
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, Story, at, begin_story, cpu_price, use

OCTOBER_DAYS = {"first": "2026-10-01", "last": "2026-10-31"}
AS_DRAFTED = {
    "effective_from_0": "2026-12-01", "effective_from_1": "00:00", "takes_effect": "period",
}  # fmt: skip


def read(page: Any) -> str:
    """Its text, which comes in pieces where figures are computed meanwhile."""
    return str(page.getvalue().decode())


@pytest.fixture
def story(tenant: Tenant) -> Story:
    """120 CPU-hours in October, in Berlin: 1.20 as they were billed."""
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        use(story.mail, at(10, 4), cpu_us=20 * HOUR_US)
        story.customer.time_zone = "UTC"
        story.customer.save()
        return story


@pytest.fixture
def draft(tenant: Tenant, story: Story) -> PlanVersion:
    """At four times the price."""
    with tenant_scope(tenant.pk):
        return draft_plan_version(story.plan, Offer([cpu_price("0.04")], at(12, 1)))


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


def page_of(version: PlanVersion) -> str:
    return reverse("admin:billing_planversion_backtest", args=[version.pk])


class TestTheBacktestPage:
    def test_shows_what_each_customer_would_pay(self, owner: Client, draft: PlanVersion) -> None:
        page = read(owner.get(page_of(draft), OCTOBER_DAYS))
        assert "Shop-Ltd" in page
        for figure in ("1.20 EUR", "4.80 EUR", "+3.60 EUR (+300.0 %)"):
            assert figure in page

    def test_writes_nothing(self, tenant: Tenant, owner: Client, draft: PlanVersion) -> None:
        read(owner.get(page_of(draft), OCTOBER_DAYS))
        with tenant_scope(tenant.pk):
            draft.refresh_from_db()
            assert draft.published_at is None
            assert not Invoice.objects.exists()

    def test_says_what_to_do_where_nothing_was_billed(
        self, owner: Client, draft: PlanVersion
    ) -> None:
        page = owner.get(page_of(draft), {"first": "2026-01-01", "last": "2026-01-31"})
        assert "Choose earlier days, or subscribe a customer" in read(page)

    def test_refuses_days_in_the_wrong_order(self, owner: Client, draft: PlanVersion) -> None:
        page = owner.get(page_of(draft), {"first": "2026-10-31", "last": "2026-10-01"})
        assert "the first one first" in read(page)

    def test_names_who_cannot_be_rated(
        self, tenant: Tenant, owner: Client, draft: PlanVersion, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            story.subscription.currency = "USD"
            story.subscription.save()
        page = read(owner.get(page_of(draft), OCTOBER_DAYS))
        assert "has no price in USD" in page

    def test_rates_everybody_before_it_names_the_largest(
        self, tenant: Tenant, owner: Client, draft: PlanVersion, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            for number in range(110):
                small = Customer.objects.create(name=f"Small {number}", reference=f"s-{number}")
                subscribe(small, story.plan, starts_at=at(10, 1))
        page = read(owner.get(page_of(draft), OCTOBER_DAYS))
        assert "0 of 111 subscriptions rated." in page
        assert "111 of 111 subscriptions rated." in page
        assert "(100 of 111 shown)" in page
        assert page.index("Shop-Ltd") < page.index("Small")
        assert "EUR, 111 periods" in page

    def test_begins_with_the_last_month_that_had_a_subscription(
        self, tenant: Tenant, owner: Client, draft: PlanVersion, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            story.subscription.ends_at = at(10, 20)
            story.subscription.save()
        page = read(owner.get(page_of(draft)))
        assert 'value="2026-10-01"' in page
        assert 'value="2026-10-31"' in page
        assert "4.80 EUR" in page

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_is_for_those_who_may_publish(
        self, tenant: Tenant, draft: PlanVersion, role: str
    ) -> None:
        assert signed_in(tenant, role).get(page_of(draft)).status_code == 403

    def test_compares_a_published_version_that_it_does_not_offer_again(
        self, tenant: Tenant, owner: Client, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            first = story.plan.versions.get()
        page = read(owner.get(page_of(first), OCTOBER_DAYS))
        assert "0.00 EUR (0.0 %)" in page
        assert "Publish version" not in page


class TestPublishing:
    def test_asks_from_when_and_how(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        later = {"effective_from_0": "2027-02-03", "takes_effect": "at_once"}
        owner.post(page_of(draft), AS_DRAFTED | later)
        with tenant_scope(tenant.pk):
            draft.refresh_from_db()
        assert (draft.effective_from.year, draft.takes_effect) == (2027, "at_once")
        assert draft.published_at is not None

    def test_needs_a_date(self, tenant: Tenant, owner: Client, draft: PlanVersion) -> None:
        page = read(owner.post(page_of(draft), AS_DRAFTED | {"effective_from_0": "soon"}))
        assert "Enter a valid date" in page
        with tenant_scope(tenant.pk):
            draft.refresh_from_db()
        assert draft.published_at is None

    def test_a_new_version_is_a_draft_first(
        self, tenant: Tenant, owner: Client, story: Story
    ) -> None:
        page = reverse("admin:billing_plan_new_version", args=[story.plan.pk])
        owner.post(page, {"effective_from_0": "2027-01-01", "effective_from_1": "00:00"})
        with tenant_scope(tenant.pk):
            assert PlanVersion.objects.get(number=2).published_at is None

    def test_is_offered_below_the_backtest(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        shown = read(owner.get(page_of(draft), OCTOBER_DAYS))
        assert shown.index("4.80 EUR") < shown.index("Publish version 2")
        assert 'value="2026-12-01"' in shown
        answer = owner.post(page_of(draft), AS_DRAFTED)
        assert answer.status_code == 302
        with tenant_scope(tenant.pk):
            draft.refresh_from_db()
            assert draft.published_at is not None

    def test_happens_once(self, owner: Client, draft: PlanVersion) -> None:
        owner.post(page_of(draft), AS_DRAFTED)
        again = read(owner.post(page_of(draft), AS_DRAFTED))
        assert "Publish version 2" not in again

    def test_says_why_it_cannot_be(self, tenant: Tenant, owner: Client, draft: PlanVersion) -> None:
        early = AS_DRAFTED | {"effective_from_0": "2025-01-01"}
        page = read(owner.post(page_of(draft), early))
        assert "The version before takes effect on 2026-01-01" in page

    def test_of_another_tenants_draft_finds_nothing(
        self, tenant: Tenant, other_tenant: Tenant, draft: PlanVersion
    ) -> None:
        signed_in(other_tenant).post(page_of(draft), AS_DRAFTED)
        with tenant_scope(tenant.pk):
            draft.refresh_from_db()
            assert draft.published_at is None


class TestMoreThanThePageTakes:
    def test_is_told_with_the_command_that_takes_all(
        self,
        tenant: Tenant,
        owner: Client,
        story: Story,
        draft: PlanVersion,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(admin_backtest, "PERIODS_MAX", 0)
        said = html.unescape(read(owner.get(page_of(draft), OCTOBER_DAYS)))
        assert "backtest Hosting 2 --tenant first-host --from 2026-10-01T00:00:00" in said


def test_a_backtest_that_is_broken_off_says_so(
    owner: Client, draft: PlanVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*_: object, **__: object) -> None:
        raise OperationalError("the connection was closed")

    monkeypatch.setattr(admin_backtest, "backtested_chunks", broken_off)
    page = read(owner.get(page_of(draft), OCTOBER_DAYS))
    assert "was broken off; nothing was changed" in page
    assert "the connection was closed" not in page
    assert page.rstrip().endswith("</html>")
