"""A host is added with one command, is watched until it delivers, and leaves service."""

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering.known_hosts import known_hosts
from metering.models import Host, HostKey, SampleBatch
from metering.queries import completeness
from metering.retiring import bring_back_hosts, retire_hosts
from tenants.models import Customer, EnrolmentToken, Environment, Tenant
from tenants.operations import issued_enrolment_token
from tenants.rates import rates
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.metering.delivering import Agent, batch

LIST = reverse("admin:metering_host_changelist")
ENROL = reverse("admin:metering_host_enrol")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    known_hosts.forget()
    rates.forget()


@pytest.fixture
def operator(tenant: Tenant) -> Client:
    return signed_in(tenant, "operator")


def text_of(page: str) -> str:
    """What the page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def command_for(client: Client, tenant: Tenant) -> tuple[str, str]:
    """The command that the page shows, and the page."""
    with tenant_scope(tenant.pk):
        environment = Environment.objects.get(name="production")
    answer = client.post(ENROL, {"environment": environment.pk})
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    found = re.search(r'<code id="command"[^>]*>([^<]+)</code>', page)
    assert found, page
    return unescape(found[1]), page


def state_url(page: str) -> str:
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page)
    assert found, "the page does not renew itself"
    return found[1]


class TestAddingAHost:
    def test_the_empty_list_says_how(self, operator: Client) -> None:
        page = operator.get(LIST).content.decode()
        assert "Add a host shows one command" in page
        assert page.count(f'href="{ENROL}"') == 2, "above the list, and in its place"

    def test_nothing_has_to_be_chosen_where_there_is_one_environment(
        self, operator: Client
    ) -> None:
        page = operator.get(ENROL).content.decode()
        assert re.search(r"<option value=\"[^\"]+\" selected>production</option>", page)

    def test_needs_an_environment(self, tenant: Tenant, operator: Client) -> None:
        with tenant_scope(tenant.pk):
            Environment.objects.all().delete()
        assert "Add an environment" in operator.get(ENROL).content.decode()

    def test_is_one_line_with_a_token_that_works_once(
        self, tenant: Tenant, operator: Client
    ) -> None:
        command, _ = command_for(operator, tenant)
        assert "\n" not in command
        found = re.fullmatch(
            r"python3 -m venv (\S+) && \1/bin/pip install hostmeter-agent && "
            r"\1/bin/hostmeter-agent install --server http://testserver --token (\S+)",
            command,
        )
        assert found
        assert Agent(tenant).ask_to_enrol(found[2]).status_code == 201
        assert Agent(tenant).ask_to_enrol(found[2]).status_code == 401

    def test_is_watched_from_the_token_to_the_first_batch(
        self, tenant: Tenant, operator: Client
    ) -> None:
        command, page = command_for(operator, tenant)
        assert "Waiting for the host to enrol; the token is valid for" in text_of(page)
        state = state_url(page)
        agent = Agent(tenant)
        answer = agent.ask_to_enrol(command.split()[-1]).json()
        agent.host, agent.key_id = answer["host"], answer["key_id"]
        between = operator.get(state).content.decode()
        assert "web-1 Enrolled 0 s ago; waiting for its first batch." in text_of(between)
        assert state_url(between) == state
        assert agent.deliver(batch()).status_code == 200
        with tenant_scope(tenant.pk):
            received = SampleBatch.objects.get().received_at
            Host.objects.update(enrolled_at=received - timedelta(seconds=14))
        after = operator.get(state).content.decode()
        assert "web-1 First batch accepted 14 s after enrolment." in text_of(after)
        assert reverse("admin:metering_host_change", args=[agent.host]) in after
        assert "hx-get" not in after, "there is nothing more to wait for"

    def test_a_later_visit_shows_the_state_and_not_the_token(
        self, tenant: Tenant, operator: Client
    ) -> None:
        command, page = command_for(operator, tenant)
        found = re.search(r'href="(/admin/[^"]+)">Look again', page)
        assert found
        later = operator.get(found[1]).content.decode()
        assert "Waiting for the host to enrol" in later
        assert command.split()[-1] not in later

    @pytest.mark.parametrize(
        ("field", "says"),
        [
            ("expires_at", "The token expired before"),
            ("revoked_at", "The token was revoked before"),
        ],
    )
    def test_ends_with_the_token(
        self, tenant: Tenant, operator: Client, field: str, says: str
    ) -> None:
        _, page = command_for(operator, tenant)
        with tenant_scope(tenant.pk):
            EnrolmentToken.objects.update(**{field: timezone.now() - timedelta(seconds=1)})
        ended = operator.get(state_url(page)).content.decode()
        assert says in ended
        assert "hx-get" not in ended

    @pytest.mark.parametrize("role", ["viewer", "billing"])
    def test_is_for_those_who_operate(self, tenant: Tenant, role: str) -> None:
        client = signed_in(tenant, role)
        assert client.get(ENROL).status_code == 403
        assert client.post(ENROL).status_code == 403
        assert ENROL not in client.get(LIST).content.decode()


class TestIsolation:
    def test_another_tenants_enrolment_is_unknown(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            theirs, _ = issued_enrolment_token(Environment.objects.get(), as_of=timezone.now())
        client = signed_in(tenant)
        for page in ("metering_host_enrolment", "metering_host_enrolment_state"):
            for wanted in (theirs.pk, uuid4()):
                answer = client.get(reverse(f"admin:{page}", args=[wanted]))
                assert answer.status_code == 404

    def test_another_tenants_environment_cannot_be_chosen(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            theirs = Environment.objects.get()
        answer = signed_in(tenant).post(ENROL, {"environment": theirs.pk})
        assert b"Select a valid choice" in answer.content
        with tenant_scope(tenant.pk):
            assert EnrolmentToken.objects.count() == 0

    def test_a_customers_people_are_turned_away(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
            token, _ = issued_enrolment_token(Environment.objects.get(), as_of=timezone.now())
        client = signed_in(tenant, "viewer", customer=customer)
        page = reverse("admin:metering_host_enrolment_state", args=[token.pk])
        assert "/login/" in client.get(page)["Location"]

    def test_another_tenants_host_is_not_retired(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        agent = Agent(other_tenant).enrol()
        form = {"action": "retire", "_selected_action": agent.host, "confirmed": "1"}
        signed_in(tenant).post(LIST, form)
        with tenant_scope(other_tenant.pk):
            assert Host.objects.get().retired_at is None


class TestRetiring:
    @pytest.fixture
    def agent(self, tenant: Tenant) -> Agent:
        agent = Agent(tenant).enrol()
        assert agent.deliver(batch()).status_code == 200
        return agent

    def act(self, client: Client, action: str, agent: Agent, **more: str) -> str:
        form = {"action": action, "_selected_action": agent.host, **more}
        return client.post(LIST, form, follow=True).content.decode()

    def test_is_asked_for_first(self, tenant: Tenant, operator: Client, agent: Agent) -> None:
        asked = text_of(self.act(operator, "retire", agent))
        assert "Retire these hosts?" in asked
        assert "web-1: last seen 0 s ago" in asked
        with tenant_scope(tenant.pk):
            assert Host.objects.get().retired_at is None

    def test_refuses_what_the_host_still_sends_and_nobody_waits_for_it(
        self, tenant: Tenant, operator: Client, agent: Agent
    ) -> None:
        with tenant_scope(tenant.pk):
            long_ago = timezone.now() - timedelta(days=1)
            Host.objects.update(last_seen_at=long_ago, last_window_end=long_ago)
            assert [h.name for h in completeness(timezone.now()).silent_hosts] == ["web-1"]
        assert "Retired: 1." in self.act(operator, "retire", agent, confirmed="1")
        known_hosts.forget()
        assert agent.deliver(batch()).status_code == 401
        with tenant_scope(tenant.pk):
            now = timezone.now()
            known = completeness(now)
        assert (known.silent_hosts, known.complete_to) == ((), now)
        shown = text_of(operator.get(LIST).content.decode())
        assert re.search(r"web-1 retired 24 h ago - ", shown)

    def test_a_host_that_never_delivered_leaves_usage_unknown(self, tenant: Tenant) -> None:
        agent = Agent(tenant).enrol()
        with tenant_scope(tenant.pk):
            retire_hosts([Host.objects.get(pk=agent.host).pk], as_of=timezone.now())
            assert completeness(timezone.now()).complete_to is None

    def test_the_others_are_waited_for_as_before(
        self, tenant: Tenant, operator: Client, agent: Agent
    ) -> None:
        other = Agent(tenant).enrol()
        assert other.deliver(batch()).status_code == 200
        self.act(operator, "retire", agent, confirmed="1")
        with tenant_scope(tenant.pk):
            end = Host.objects.get(pk=other.host).last_window_end
            assert completeness(timezone.now()).complete_to == end

    def test_can_be_undone(self, tenant: Tenant, operator: Client, agent: Agent) -> None:
        self.act(operator, "retire", agent, confirmed="1")
        assert "Back in service: 1." in self.act(operator, "bring_back", agent)
        known_hosts.forget()
        assert agent.deliver(batch()).status_code == 200

    def test_gives_no_key_back_that_was_revoked_for_itself(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        with tenant_scope(tenant.pk):
            HostKey.objects.update(revoked_at=timezone.now())
            host = Host.objects.get().pk
            retire_hosts([host], as_of=timezone.now())
            assert bring_back_hosts([host]) == 1
            assert HostKey.objects.get().revoked_at is not None
        known_hosts.forget()
        assert agent.deliver(batch()).status_code == 401

    def test_twice_keeps_the_first_moment(self, tenant: Tenant, agent: Agent) -> None:
        with tenant_scope(tenant.pk):
            host = Host.objects.get().pk
            first = timezone.now()
            assert retire_hosts([host], as_of=first) == 1
            assert retire_hosts([host], as_of=first + timedelta(hours=1)) == 0
            assert Host.objects.get().retired_at == first

    def test_is_for_those_who_operate(self, tenant: Tenant, agent: Agent) -> None:
        self.act(signed_in(tenant, "viewer"), "retire", agent, confirmed="1")
        with tenant_scope(tenant.pk):
            assert Host.objects.get().retired_at is None

    def test_the_list_is_filtered_by_it(
        self, tenant: Tenant, operator: Client, agent: Agent
    ) -> None:
        self.act(operator, "retire", agent, confirmed="1")
        row = reverse("admin:metering_host_change", args=[agent.host])
        assert row in operator.get(LIST, {"service": "retired"}).content.decode()
        assert row not in operator.get(LIST, {"service": "in"}).content.decode()
        assert row in operator.get(LIST).content.decode()


def test_a_hosts_page_shows_its_keys_age_and_first_batch(tenant: Tenant, operator: Client) -> None:
    agent = Agent(tenant).enrol()
    assert agent.deliver(batch()).status_code == 200
    with tenant_scope(tenant.pk):
        received = SampleBatch.objects.get().received_at
        Host.objects.update(enrolled_at=received - timedelta(seconds=14))
        HostKey.objects.update(created_at=timezone.now() - timedelta(days=40))
    page = operator.get(reverse("admin:metering_host_change", args=[agent.host]))
    shown = text_of(page.content.decode())
    assert "accepted 14 s after enrolment" in shown, shown
    short = re.escape(agent.key_id.partition(".")[2])
    assert re.search(rf"{short} valid 40 d", shown), shown
    assert re.search(r"web-1 live \d+ s ago \d+ \w+ 40 d production", list_of(operator))


def list_of(client: Client) -> str:
    return text_of(client.get(LIST).content.decode())
