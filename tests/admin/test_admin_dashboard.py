"""The admin's first page: figures of the tenant's own with the lists behind them, few queries, and
the first-run guide."""

import re
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.accruing import count_accrued
from billing.admin_dashboard import Card
from billing.first_steps import first_steps
from billing.models import AccruedRevenue, BillingSettings
from billing.operations import close_due, finalize_invoice
from billing.tasks import count_accrued_revenue
from metering.models import Host
from metering.watch_models import HostNotice
from tenants.mail_models import MailMessage
from tenants.models import Environment, Policy, Tenant
from tenants.scope import installation_scope, tenant_scope
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEndpoint
from tests.admin.filling import fill
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

INDEX = reverse("admin:index")
HOSTS = reverse("admin:metering_host_changelist")
GUIDE = reverse("admin-first-steps")
DAY = timedelta(days=1)


def counted(tenant: Tenant, as_of: object) -> AccruedRevenue:
    assert count_accrued(tenant.pk, as_of=as_of, counted_before=as_of) == 1  # type: ignore[arg-type]
    with tenant_scope(tenant.pk):
        return AccruedRevenue.objects.get()


class TestAccrued:
    def test_tells_today_from_the_month_and_sums_to_the_upcoming_invoice(
        self, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3, 10), cpu_us=100 * HOUR_US)
            use(story.shop, at(10, 4, 10), cpu_us=50 * HOUR_US)
        found = counted(tenant, at(10, 4, 12))
        assert (str(found.today), str(found.month), found.currency) == ("0.5000", "1.5000", "EUR")
        found = counted(tenant, at(10, 5, 12))
        assert (str(found.today), str(found.month)) == ("0.0000", "1.5000")

    def test_counts_the_oldest_first_and_each_once(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            begin_story()
        assert count_accrued_revenue() == 1
        assert count_accrued_revenue() == 0

    def test_one_that_cannot_be_rated_says_so_and_holds_nobody_up(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            begin_story()
        with patch("billing.accruing.month_to_date", side_effect=ValueError("no such zone")):
            assert counted(tenant, at(10, 4)).failure == "no such zone"
        page = signed_in(tenant).get(INDEX).content.decode()
        assert "1 customers could not be counted" in page


class TestTheDashboard:
    def test_shows_the_tenants_own_alone(self, tenant: Tenant, other_tenant: Tenant) -> None:
        fill(other_tenant, "theirs")
        client = signed_in(tenant)
        empty = client.get(INDEX).content.decode()
        assert "theirs" not in empty
        assert "Hosts in service" in empty
        fill(tenant, "ours")
        with tenant_scope(tenant.pk):
            close_due(as_of=at(12, 1))
        cards = {card.title: card for card in client.get(INDEX).context["cards"]}
        assert cards["Hosts in service"].figure == "2"
        assert cards["Drafts"].figure == "1"

    def test_leads_to_the_list_behind_each_card(self, tenant: Tenant) -> None:
        fill(tenant, "ours")
        client = signed_in(tenant)
        cards = client.get(INDEX).context["cards"]
        assert len(cards) == 10
        for card in cards:
            assert client.get(card.link[1]).status_code == 200, card.title

    def test_needs_the_same_queries_however_much_there_is(
        self, tenant: Tenant, django_assert_max_num_queries: object
    ) -> None:
        fill(tenant, "ours")
        with tenant_scope(tenant.pk):
            environment = Host.objects.all()[0].environment
            Host.objects.bulk_create(
                Host(name=f"web-{number}", environment=environment, last_seen_at=timezone.now())
                for number in range(200)
            )
        client = signed_in(tenant)
        with django_assert_max_num_queries(46):  # type: ignore[operator]
            client.get(INDEX)

    def test_says_which_hosts_are_behind(self, tenant: Tenant) -> None:
        now = timezone.now()
        with tenant_scope(tenant.pk):
            environment = begin_story().shop.environment
            for seconds, skew in ((10, 0), (90, 5_000), (7_200, 0)):
                seen = now - timedelta(seconds=seconds)
                Host.objects.create(
                    name=f"web-{seconds}", environment=environment, clock_skew_ms=skew,
                    last_seen_at=seen, last_window_end=seen, enrolled_at=seen,
                )  # fmt: skip
        cards = signed_in(tenant).get(INDEX).context["cards"]
        (card,) = (card for card in cards if card.title == "Hosts in service")
        assert (card.state, card.says) == ("bad", "1 silent")
        assert [column.text.rpartition(" ")[2] for column in card.plot.columns] == list("101010")
        assert "clocks: 1 off by more than 2 s, at most 5000 ms" in card.facts

    def test_says_what_of_the_policies_does_not_hold(self, tenant: Tenant) -> None:
        fill(tenant, "ours")
        with tenant_scope(tenant.pk):
            host = Host.objects.all()[0]
            HostNotice.objects.create(
                host=host, kind="outdated", since=timezone.now(), noticed_at=timezone.now()
            )
            Environment.objects.update(version="")
        client = signed_in(tenant)
        card = self.card(client, "Policies")
        assert (card.state, card.figure) == ("bad", "1 over a limit")
        assert card.facts[0] == "1 agents are too old by now"
        assert card.link[1] == f"{HOSTS}?noticed=outdated"
        listed = client.get(f"{HOSTS}?noticed=outdated").content.decode()
        assert host.name in listed
        assert host.name not in client.get(f"{HOSTS}?noticed=silent").content.decode()

    def test_says_what_was_not_sent(self, tenant: Tenant) -> None:
        now = timezone.now()
        with tenant_scope(tenant.pk):
            MailMessage.objects.create(
                kind="receipt", key="k", recipient="a@b.example", language="en", context={},
                time_zone="UTC", state="failed", settled_at=now, created_at=now,
            )  # fmt: skip
            add_endpoint("https://hooks.example/", as_of=now)
            WebhookEndpoint.objects.update(failing_since=now)
        client = signed_in(tenant)
        card = self.card(client, "E-mail")
        assert (card.state, card.figure) == ("bad", "1 not sent")
        assert "a@b.example" in client.get(card.link[1]).content.decode()
        assert "1 endpoints fail, 0 are disabled" in self.card(client, "Webhooks").facts
        page = reverse("admin:tenants_webhookendpoint_changelist")
        for status, shown in (("failing", True), ("enabled", False), ("disabled", False)):
            listed = client.get(f"{page}?status={status}").content.decode()
            assert ("hooks.example" in listed) is shown

    def card(self, client: Client, title: str) -> Card:
        cards: list[Card] = client.get(INDEX).context["cards"]
        (card,) = (each for each in cards if each.title == title)
        return card

    @pytest.mark.parametrize(("role", "shown"), [("viewer", 10), ("operator", 10)])
    def test_is_for_every_role(self, tenant: Tenant, role: str, shown: int) -> None:
        assert len(signed_in(tenant, role).get(INDEX).context["cards"]) == shown

    def test_shows_the_installations_owner_sums_alone(self, tenant: Tenant) -> None:
        fill(tenant, "theirs")
        page = signed_in(None).get(INDEX).content.decode()
        assert "theirs" not in page
        assert "0 suspended" in page
        # Nobody has counted yet: that is not none.
        assert "counted within ten minutes" in page
        assert "0 hosts" not in page


class TestFirstSteps:
    def test_are_ticked_off_by_the_tenants_own_alone(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        fill(other_tenant, "theirs")
        with tenant_scope(tenant.pk):
            done = [step.name for step in first_steps().steps if step.is_done]
        # Every tenant of the tests has its environment.
        assert done == ["Add an environment"]
        page = signed_in(tenant).get(GUIDE).content.decode()
        assert "1 of 9 are done" in page
        assert "theirs" not in page

    def test_lead_to_pages_that_there_are(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        page = client.get(GUIDE).content.decode()
        links = re.findall(r'<p><a href="([^"]+)"', page)
        assert len(links) == 9
        for link in links:
            assert client.get(link).status_code == 200, link

    def test_are_done_in_one_sitting(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(legal_name="First Host", country="DE")
            story = begin_story()
            story.shop.environment.policy = Policy.objects.create(name="Standard")
            story.shop.environment.save()
            use(story.shop, at(10, 3), cpu_us=HOUR_US)
            Host.objects.update(last_seen_at=NOVEMBER)
            assert first_steps().next.name == "Issue the first invoice"  # type: ignore[union-attr]
            (draft,) = close_due(as_of=NOVEMBER)
            with patch("billing.operations.taxing.require_taxes"):
                finalize_invoice(draft, as_of=NOVEMBER + DAY)
            assert first_steps().is_complete
        assert "First steps:" not in signed_in(tenant).get(INDEX).content.decode()

    def test_stand_in_the_sidebar_until_they_are_put_away(self, tenant: Tenant) -> None:
        client, plans = signed_in(tenant), reverse("admin:billing_plan_changelist")
        page = client.get(plans).content.decode()
        assert f'href="{GUIDE}"' in page
        assert "1/9" in page
        client.post(GUIDE, {"dismiss": "1"})
        assert f'href="{GUIDE}"' not in client.get(plans).content.decode()

    def test_can_be_put_away_and_brought_back(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        assert "First steps: 1 of 9 done" in client.get(INDEX).content.decode()
        page = client.post(GUIDE, {"dismiss": "1"}, follow=True).content.decode()
        assert "First steps:" not in page
        page = client.post(GUIDE, {"show": "1"}, follow=True).content.decode()
        assert "First steps:" in page

    def test_are_no_page_for_a_stranger_or_the_installations_owner(self, tenant: Tenant) -> None:
        assert signed_in(None).get(GUIDE).status_code == 302
        with installation_scope():
            assert Tenant.objects.get().guide_dismissed_at is None


class TestContentSecurityPolicy:
    def test_of_the_admin_runs_nothing_that_is_written_into_a_page(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        for page in (INDEX, GUIDE, reverse("admin:billing_invoice_changelist"), "/admin/none/"):
            said = client.get(page)["Content-Security-Policy"]
            scripts = next(part for part in said.split("; ") if part.startswith("script-src"))
            assert scripts == "script-src 'self' 'unsafe-eval'"

    def test_of_its_sign_in_is_the_portals(self, db: None) -> None:
        client = signed_in(None)
        client.logout()
        said = client.get("/admin/login/", follow=True)["Content-Security-Policy"]
        assert "unsafe" not in said
