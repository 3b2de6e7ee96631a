"""Operators draft a policy's version, hold it against usage, publish it, roll it out, take it back;
and they configure environments."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from lxml import html

from billing.models import Subscription
from metering.core.buckets import bucket_of
from metering.models import Application, Assignment, Host, HostKey, Instance
from metering.rollup_models import Rollup
from tenants.history import changes_of
from tenants.models import EnrolmentToken, Environment, Policy, Tenant
from tenants.operations import issue_enrolment_token
from tenants.policies import change_draft, draft_of, publish
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, JANUARY, begin_story, use


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:tenants_{name}", args=args)


@pytest.fixture
def client(tenant: Tenant) -> Client:
    return signed_in(tenant, "operator")


@pytest.fixture
def draft(tenant: Tenant) -> PolicyVersion:
    """A draft of the policy that production carries, with a CPU limit of half a core."""
    with tenant_scope(tenant.pk):
        policy = Policy.objects.create(name="calm")
        Environment.objects.update(policy=policy)
        return change_draft(draft_of(policy), {"cpu_millicores": 500})


def use_a_core(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        environment = Environment.objects.get()
        shop = Application.objects.create(name="shop", environment=environment)
        host = Host.objects.create(name="web-1", environment=environment)
        Rollup.objects.create(
            tenant=tenant, application=shop, role="primary", samples=1, window_us=1, covered_us=1,
            instance=Instance.objects.create(application=shop, host=host, name="shop"),
            bucket_start=bucket_of(timezone.now()) - timedelta(days=1), cpu_time=300_000_000,
        )  # fmt: skip


class TestADraft:
    def test_is_made_from_the_policys_page(self, client: Client, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            policy = Policy.objects.create(name="calm")
        make = page("policy_draft", policy.pk)
        assert b"Make the draft" in client.get(make).content
        made = client.post(make, follow=True)
        assert made.status_code == 200
        with tenant_scope(tenant.pk):
            version = PolicyVersion.objects.get()
        assert made.redirect_chain[0][0] == page("policyversion_change", version.pk)
        assert client.post(make).status_code == 302
        with tenant_scope(tenant.pk):
            assert PolicyVersion.objects.count() == 1

    def test_is_edited_until_it_is_published(
        self, client: Client, tenant: Tenant, draft: PolicyVersion
    ) -> None:
        change = page("policyversion_change", draft.pk)
        form = {
            "note": "calmer", "rules-1-effect": "deny", "rules-1-application": " miner* ",
            "cpu_millicores": "700", "memory_bytes": "1073741824", "reason": "too loud",
        }  # fmt: skip
        assert client.post(change, form).status_code == 302
        shown = client.get(change).content.decode()
        assert "0.7 cores" in shown
        assert "deny application miner*" in shown
        wrong = client.post(change, form | {"rules-1-effect": "maybe"})
        assert b"Rule 1: effect must be allow or deny" in wrong.content
        with tenant_scope(tenant.pk):
            version = PolicyVersion.objects.get()
            assert version.cpu_millicores == 700
            assert changes_of(PolicyVersion, version.pk)[0].reason == "too loud"
            now = timezone.now()
            publish(version, effective_from=now, by="a", as_of=now)
        assert client.post(change, form).status_code == 403

    def test_has_a_row_for_each_rule(
        self, client: Client, tenant: Tenant, draft: PolicyVersion
    ) -> None:
        change = page("policyversion_change", draft.pk)
        rows = [
            {"effect": "allow", "customer": "pine", "place": "2"},
            {"effect": ""},
            {"effect": "deny", "application": "miner*", "environment": "production", "place": "1"},
        ]
        form = {
            f"rules-{number}-{name}": text
            for number, row in enumerate(rows, start=1)
            for name, text in row.items()
        }
        assert client.post(change, form).status_code == 302
        with tenant_scope(tenant.pk):
            assert PolicyVersion.objects.get(pk=draft.pk).rules == [
                {"effect": "deny", "application": "miner*", "environment": "production"},
                {"effect": "allow", "customer": "pine"},
            ]
        shown = html.fromstring(client.get(change).content)
        assert shown.get_element_by_id("id_rules-1-application").get("value") == "miner*"
        assert len(shown.xpath('//select[starts-with(@name, "rules-")]')) == 2 + 3
        unfinished = client.post(change, {"rules-1-effect": "", "rules-1-customer": "reed"})
        assert b"Rule 1: choose whether it may run." in unfinished.content
        assert b'value="reed"' in unfinished.content
        too_long = {"rules-1-effect": "deny", "rules-1-customer": "x" * 201}
        assert b"at most 200 characters" in client.post(change, too_long).content
        cleared = {f"rules-{number}-effect": "" for number in range(1, 6)}
        assert client.post(change, cleared).status_code == 302
        with tenant_scope(tenant.pk):
            version = PolicyVersion.objects.get(pk=draft.pk)
            assert version.rules == []
            now = timezone.now()
            publish(version, effective_from=now, by="a", as_of=now)
        assert "everything may run" in client.get(change).content.decode()

    def test_is_held_against_usage(
        self, client: Client, tenant: Tenant, draft: PolicyVersion
    ) -> None:
        empty = client.get(page("policyversion_against_usage", draft.pk)).content.decode()
        assert "Nothing was metered" in empty
        use_a_core(tenant)
        shown = client.get(page("policyversion_against_usage", draft.pk)).content.decode()
        assert "shop on web-1: CPU, millicores" in shown
        assert "1 cores of 0.5 cores" in shown
        assert "<svg" in shown
        today = timezone.localdate()
        long = {"first": str(today - timedelta(days=40)), "last": str(today)}
        refused = client.get(page("policyversion_against_usage", draft.pk), long)
        assert b"Choose 1 to 31 days" in refused.content
        assert b"The version sets no limit of spend." in refused.content

    def test_is_held_against_the_last_months_spend(
        self, client: Client, tenant: Tenant, draft: PolicyVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tenant_scope(tenant.pk):
            change_draft(draft, {"customer_spend_max": "4", "spend_currency": "EUR"})
            last = timezone.now().replace(day=1) - timedelta(days=10)
            for name in ("ash", "oak"):
                story = begin_story(name, name)
                Subscription.objects.filter(pk=story.subscription.pk).update(starts_at=JANUARY)
                Assignment.objects.update(starts_at=JANUARY)
                use(story.shop, last, cpu_us=650 * HOUR_US)
        monkeypatch.setattr("billing.queries.spend_limits.CUSTOMERS_AT_ONCE", 1)
        usage = page("policyversion_against_usage", draft.pk)
        shown = html.fromstring(client.get(usage).content)
        cells = [each.text_content() for each in shown.xpath('//*[@id="spend"]//tbody/tr/*')]
        assert cells[1:5] == ["all together", "4.00 EUR", "6.50 EUR", "2.50 EUR"]
        assert "(ash)" in cells[0]
        assert cells[5].startswith(f"{last:%Y-%m-}")
        (onwards,) = shown.xpath('//*[@id="spend"]//a/@href')
        following = client.get(usage + onwards.removesuffix("#spend")).content
        assert b"(oak)" in following
        assert b"the next ones" not in following


class TestPublishing:
    def test_shows_what_it_changes_and_then_holds(
        self, client: Client, tenant: Tenant, draft: PolicyVersion
    ) -> None:
        publishing = page("policyversion_publish", draft.pk)
        assert "CPU, millicores: - → 0.5 cores" in client.get(publishing).content.decode()
        early = {
            "effective_from_0": "2020-01-01", "effective_from_1": "00:00", "rollout_percent": "10",
        }  # fmt: skip
        assert b"cannot take effect in the past" in client.post(publishing, early).content
        done = client.post(publishing, {"rollout_percent": "10", "reason": "trial"}, follow=True)
        assert "is published" in done.content.decode()
        with tenant_scope(tenant.pk):
            version = PolicyVersion.objects.get()
            assert (version.rollout_percent, version.is_draft) == (10, False)
            assert changes_of(PolicyVersion, version.pk)[0].reason == "trial"

    def test_is_rolled_out_and_taken_back(
        self, client: Client, tenant: Tenant, draft: PolicyVersion
    ) -> None:
        client.post(page("policyversion_publish", draft.pk), {"rollout_percent": "10"})
        share = page("policyversion_roll_out", draft.pk)
        assert client.post(share, {"rollout_percent": "101"}).status_code == 200
        assert client.post(share, {"rollout_percent": "60"}).status_code == 302
        back = page("policyversion_roll_back", draft.pk)
        assert b"It is for good" in client.get(back).content
        assert client.post(back, {"reason": "too strict"}).status_code == 302
        with tenant_scope(tenant.pk):
            version = PolicyVersion.objects.get()
            assert version.rollout_percent == 60
            assert version.rolled_back_at is not None
        assert b"was taken back" in client.post(share, {"rollout_percent": "70"}).content

    @pytest.mark.parametrize("act", ["publish", "roll_out", "roll_back"])
    def test_is_not_a_viewers(self, tenant: Tenant, draft: PolicyVersion, act: str) -> None:
        viewer = signed_in(tenant, "viewer")
        assert viewer.post(page(f"policyversion_{act}", draft.pk)).status_code == 403
        assert viewer.get(page("policyversion_against_usage", draft.pk)).status_code == 200

    @pytest.mark.parametrize("act", ["publish", "roll_out", "roll_back", "against_usage"])
    def test_of_another_tenant_answers_as_if_there_were_none(
        self, other_tenant: Tenant, draft: PolicyVersion, act: str
    ) -> None:
        theirs = signed_in(other_tenant)
        answer = theirs.get(page(f"policyversion_{act}", draft.pk))
        assert (answer.status_code, answer["Location"]) == (302, page("policyversion_changelist"))


def test_a_policys_page_says_which_version_each_host_goes_by(
    client: Client, tenant: Tenant, draft: PolicyVersion
) -> None:
    hosts = page("policy_hosts", draft.policy_id)
    assert b"No host in service" in client.get(hosts).content
    client.post(page("policyversion_publish", draft.pk), {"rollout_percent": "100"})
    with tenant_scope(tenant.pk):
        Host.objects.create(name="web-1", environment=Environment.objects.get())
    shown = client.get(hosts).content.decode()
    assert "web-1" in shown
    assert "calm 1" in shown
    assert "not yet" in shown


class TestAnEnvironment:
    FORM = {
        "name": "production", "application_patterns": "shop*,blog", "hosts_max": "3",
        "applications_max": "", "version": "1.4",
        "more_environments-TOTAL_FORMS": "0", "more_environments-INITIAL_FORMS": "0",
        "hostenvironment_set-TOTAL_FORMS": "0", "hostenvironment_set-INITIAL_FORMS": "0",
        "host_set-TOTAL_FORMS": "0", "host_set-INITIAL_FORMS": "0",
    }  # fmt: skip

    def test_is_configured(self, client: Client, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
        change = page("environment_change", environment.pk)
        assert "not available yet" in client.get(change).content.decode()
        assert client.post(change, self.FORM).status_code == 302
        with tenant_scope(tenant.pk):
            environment.refresh_from_db()
        assert environment.application_patterns == ["shop*", "blog"]
        assert (environment.hosts_max, environment.version) == (3, "1.4")
        wrong = client.post(change, self.FORM | {"version": "newest"})
        assert b"Write a version" in wrong.content

    def test_is_removed_only_while_it_is_empty(self, client: Client, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
            issue_enrolment_token(environment, as_of=timezone.now())
            host = Host.objects.create(name="web-1", environment=environment)
        remove = page("environment_delete", environment.pk)
        assert client.post(remove, {"post": "yes"}).status_code == 403
        with tenant_scope(tenant.pk):
            host.delete()
        assert client.post(remove, {"post": "yes"}).status_code == 302
        with tenant_scope(tenant.pk):
            assert not Environment.objects.exists()
            assert changes_of(Environment, environment.pk)[0].kind == "removed"

    def test_is_retired_with_its_hosts_and_brought_back(
        self, client: Client, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
            issue_enrolment_token(environment, as_of=timezone.now())
            host = Host.objects.create(name="web-1", environment=environment)
            HostKey.objects.create(host=host, key_id="k", public_key=b"\1" * 32)
        retire = page("environment_retire", environment.pk)
        assert b"Retire this environment?" in client.get(retire).content
        for _ in range(2):
            assert client.post(retire, {"reason": "moved", "confirmed": "1"}).status_code == 302
        with tenant_scope(tenant.pk):
            assert Environment.objects.get().retired_at is not None
            assert Host.objects.get().retired_at is not None
            assert HostKey.objects.get().revoked_at is not None
            assert EnrolmentToken.objects.get().revoked_at is not None
            assert changes_of(Environment, environment.pk)[0].reason == "moved"
        issue = client.get(page("enrolmenttoken_issue")).content.decode()
        assert str(environment.pk) not in issue
        client.post(page("environment_bring_back", environment.pk), {"reason": ""})
        with tenant_scope(tenant.pk):
            assert Environment.objects.get().retired_at is None
