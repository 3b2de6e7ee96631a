"""Operators set budgets for customers, and decide what customers ask for at their limits."""

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import BillingSettings, Budget, BudgetRequest
from billing.operations.budget_alerts import look_at_budgets
from metering.control_models import AgentSettings
from metering.models import Measurement
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, Story, at, begin_story, use

pytestmark = pytest.mark.django_db


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:billing_{name}", args=args)


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        BillingSettings.objects.create(customers_may_stop_applications=True)
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=1_200 * HOUR_US)
        return story


@pytest.fixture
def billing(tenant: Tenant) -> Client:
    return signed_in(tenant, "billing")


def form(story: Story, **more: Any) -> dict[str, Any]:
    return {
        "customer": story.customer.pk,
        "name": "Hosting",
        "limit": "10",
        "measure": "EUR",
        "thresholds": ["80", "100"],
        "by_webhook": "on",
        "at_limit": "tell",
        **more,
    }


def only(tenant: Tenant) -> Budget:
    with tenant_scope(tenant.pk):
        return Budget.objects.select_related("customer").get()


class TestABudget:
    def test_is_set_changed_and_removed(
        self, tenant: Tenant, story: Story, billing: Client
    ) -> None:
        billing.post(page("budget_add"), form(story))
        made = only(tenant)
        assert (made.thresholds, made.by_email, made.currency) == (["80", "100"], False, "EUR")
        changed = {**form(story, limit="20", name="All"), "alerts-TOTAL_FORMS": 0,
                   "alerts-INITIAL_FORMS": 0}  # fmt: skip
        answer = billing.post(page("budget_change", made.pk), changed)
        assert answer.status_code == 302, answer.content.decode()[:2000]
        assert (str(only(tenant).limit), only(tenant).name) == ("20.0000", "All")
        billing.post(page("budget_changelist"), {"action": "remove", "_selected_action": [made.pk]})
        with tenant_scope(tenant.pk):
            assert not Budget.objects.kept().exists()

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"limit": "0"}, "above zero"),
            ({"measure": "XXQ"}, "XXQ"),
            ({"meter": "cpu.time"}, "no unit is called"),
            ({"at_limit": "stop"}, "Only an application can be stopped"),
        ],
    )
    def test_that_is_none_is_refused_in_words(
        self, story: Story, billing: Client, more: dict[str, Any], said: str
    ) -> None:
        answer = billing.post(page("budget_add"), form(story, **more))
        assert answer.status_code == 200
        assert said.lower() in answer.content.decode().lower()

    def test_shows_what_was_spent(self, tenant: Tenant, story: Story, billing: Client) -> None:
        billing.post(page("budget_add"), form(story))
        with tenant_scope(tenant.pk):
            look_at_budgets(story.customer, as_of=at(10, 10))
        listed = billing.get(page("budget_changelist")).content.decode()
        assert "12.00" in listed


class TestARequest:
    def test_is_done_with_a_note_and_no_second_time(
        self, tenant: Tenant, story: Story, billing: Client
    ) -> None:
        billing.post(page("budget_add"), form(story, at_limit="stop", application=story.shop.pk))
        with tenant_scope(tenant.pk):
            look_at_budgets(story.customer, as_of=at(10, 10))
            asked = BudgetRequest.objects.get()
        operator = signed_in(tenant, "operator")
        again = {"action": "done", "_selected_action": [asked.pk]}
        asking = operator.post(page("budgetrequest_changelist"), again).content.decode()
        assert "stops nothing by itself" in asking
        confirmed = {**again, "confirmed": "1", "note": "Stopped at noon."}
        operator.post(page("budgetrequest_changelist"), confirmed)
        refused = operator.post(page("budgetrequest_changelist"), confirmed, follow=True)
        assert b"done already" in refused.content
        with tenant_scope(tenant.pk):
            asked.refresh_from_db()
        assert (asked.state, asked.note) == ("done", "Stopped at noon.")

    def test_says_what_to_run_on_which_host_and_is_ticked_off_there(
        self, tenant: Tenant, story: Story, billing: Client
    ) -> None:
        billing.post(page("budget_add"), form(story, at_limit="stop", application=story.shop.pk))
        name = story.shop.name
        now = timezone.now()
        with tenant_scope(tenant.pk):
            use(story.shop, now - timedelta(hours=1), cpu_us=1)
            look_at_budgets(story.customer, as_of=at(10, 10))
            asked = BudgetRequest.objects.get()
        operator = signed_in(tenant, "operator")
        card = page("budgetrequest_change", asked.pk)
        shown = unescape(operator.get(card).content.decode())
        assert "web-1" in shown
        assert f"pkill -f -- '(^|[/ ]){name}([.:][a-z]*)?( |$)'" in shown
        with tenant_scope(tenant.pk):
            counted = {"meters": {"cpu.time": ["exact", "cgroup-v2/1"]}}
            profile = Measurement.objects.create(digest=b"1", body=counted)
            Rollup.objects.filter(application=story.shop).update(measurements=[profile.pk, None])
        assert f"systemctl stop -- {name}.service" in operator.get(card).content.decode()
        with tenant_scope(tenant.pk):
            rule = {"name": name, "process": "shopd", "user": "shop"}
            AgentSettings.objects.create(rules=[rule])
        assert "pkill -u shop -x -- shopd" in operator.get(card).content.decode()
        tick = page("budgetrequest_done_one", asked.pk)
        assert tick in operator.get(card).content.decode()
        assert b"The customer reads it" in operator.get(tick).content
        done = operator.post(tick, {"confirmed": "1", "note": "Stopped."}, follow=True)
        assert "Stopped." in done.content.decode()
        assert "pkill" not in done.content.decode()
        again = operator.post(tick, {"confirmed": "1", "note": "Again."}, follow=True)
        assert b"done already" in again.content
        with tenant_scope(tenant.pk):
            Rollup.objects.filter(application=story.shop).delete()
            BudgetRequest.objects.update(state="open", decided_at=None)
        assert "on no host in the last" in operator.get(card).content.decode()

    @pytest.mark.parametrize("act", ["done_one", "decline_one"])
    def test_of_another_tenant_answers_as_if_there_were_none(
        self, tenant: Tenant, other_tenant: Tenant, story: Story, billing: Client, act: str
    ) -> None:
        billing.post(page("budget_add"), form(story, at_limit="ask"))
        with tenant_scope(tenant.pk):
            look_at_budgets(story.customer, as_of=at(10, 10))
            asked = BudgetRequest.objects.get()
        theirs = signed_in(other_tenant, "operator")
        answer = theirs.post(page(f"budgetrequest_{act}", asked.pk), {"confirmed": "1"})
        assert (answer.status_code, answer["Location"]) == (302, page("budgetrequest_changelist"))
        assert (
            signed_in(tenant, "viewer")
            .post(page(f"budgetrequest_{act}", asked.pk), {"confirmed": "1"})
            .status_code
            == 403
        )
        with tenant_scope(tenant.pk):
            assert BudgetRequest.objects.get().state == "open"

    def test_is_left_alone_by_a_viewer(self, tenant: Tenant, story: Story) -> None:
        viewer = signed_in(tenant, "viewer")
        assert b'value="done"' not in viewer.get(page("budgetrequest_changelist")).content
