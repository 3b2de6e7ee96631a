"""Hosts that a customer runs itself: its own, and nobody else's."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from metering.customer_hosts import (
    TOKENS_OPEN_MAX,
    NotTheirs,
    TooManyTokens,
    customer_environments,
    customer_host,
    customer_hosts,
    issue_customer_token,
    open_customer_tokens,
    revoke_customer_token,
    revoke_host_key,
)
from metering.enrolment import NoRoom
from metering.models import Host, HostKey
from metering.operations import assign_application
from metering.rollups import roll_up
from tenants.models import Customer, EnrolmentToken, Environment, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, fresh_token, last_bucket, sample

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def customer_with_environment(name: str) -> tuple[Customer, Environment]:
    customer = Customer.objects.create(name=name, reference=name)
    return customer, Environment.objects.create(name=f"{name}-own", owner_customer=customer)


def own_agent(tenant: Tenant) -> tuple[Customer, Agent]:
    """A customer, and a host that has enrolled with the customer's own token."""
    with tenant_scope(tenant.pk):
        customer, environment = customer_with_environment("shop")
        _, secret = issue_customer_token(customer, environment.pk, as_of=timezone.now())
    agent = Agent(tenant)
    answer = agent.ask_to_enrol(secret)
    assert answer.status_code == 201, answer.content
    agent.host, agent.key_id = answer.json()["host"], answer.json()["key_id"]
    return customer, agent


class TestToken:
    def test_enrols_a_host_that_its_customer_then_sees(self, tenant: Tenant) -> None:
        customer, agent = own_agent(tenant)
        with tenant_scope(tenant.pk):
            (host,) = customer_hosts(customer, timezone.now())
            assert (str(host.id), host.environment, host.status) == (
                agent.host, "shop-own", "waiting",
            )  # fmt: skip
            assert [key.state for key in host.keys] == ["valid"]
            assert open_customer_tokens(customer, as_of=timezone.now()) == []

    def test_is_for_the_customers_own_environment_alone(self, inside: UUID) -> None:
        customer, _ = customer_with_environment("shop")
        _, theirs = customer_with_environment("rival")
        for environment_id in (theirs.pk, Environment.objects.get(name="production").pk, uuid4()):
            with pytest.raises(NotTheirs, match="no such environment"):
                issue_customer_token(customer, environment_id, as_of=NOON)
        assert not EnrolmentToken.objects.exists()

    def test_is_not_given_for_a_retired_or_a_full_environment(self, inside: UUID) -> None:
        customer, environment = customer_with_environment("shop")
        Host.objects.create(name="web-1", environment=environment)
        Environment.objects.filter(pk=environment.pk).update(hosts_max=1)
        with pytest.raises(NoRoom, match="has 1 hosts of at most 1"):
            issue_customer_token(customer, environment.pk, as_of=NOON)
        Environment.objects.filter(pk=environment.pk).update(hosts_max=None, retired_at=NOON)
        with pytest.raises(NotTheirs):
            issue_customer_token(customer, environment.pk, as_of=NOON)
        assert customer_environments(customer) == []

    def test_is_given_so_often_and_then_again_once_one_has_expired(self, inside: UUID) -> None:
        customer, environment = customer_with_environment("shop")
        for _ in range(TOKENS_OPEN_MAX):
            issue_customer_token(customer, environment.pk, as_of=NOON)
        with pytest.raises(TooManyTokens):
            issue_customer_token(customer, environment.pk, as_of=NOON)
        issue_customer_token(customer, environment.pk, as_of=NOON + timedelta(hours=1))

    def test_is_revoked_by_its_customer_alone(self, inside: UUID) -> None:
        customer, environment = customer_with_environment("shop")
        rival, _ = customer_with_environment("rival")
        token, _ = issue_customer_token(customer, environment.pk, as_of=NOON)
        for missing in (token.pk, uuid4()):
            with pytest.raises(NotTheirs, match="no such token"):
                revoke_customer_token(rival, missing, as_of=NOON)
        for minutes in (1, 2):
            revoke_customer_token(customer, token.pk, as_of=NOON + timedelta(minutes=minutes))
        token.refresh_from_db()
        assert token.revoked_at == NOON + timedelta(minutes=1)


class TestHosts:
    def test_say_how_much_of_their_life_was_measured(self, tenant: Tenant) -> None:
        customer, agent = own_agent(tenant)
        start = last_bucket()
        window = [start.isoformat(), (start + timedelta(seconds=60)).isoformat()]
        body = batch(sample(window=window), sample(window=window, instance="shop-2"))
        assert agent.deliver(body).status_code == 200
        roll_up(tenant.pk)
        with tenant_scope(tenant.pk):
            Host.objects.update(enrolled_at=start)
            (host,) = customer_hosts(customer, start + timedelta(minutes=5))
            assert host.covered_ppm == 200_000
            assert host.complete_to == start + timedelta(seconds=60)
            assert host.lag == timedelta(minutes=4)
            (later,) = customer_hosts(customer, start + timedelta(days=3))
            assert later.covered_ppm == 0

    def test_are_nobody_elses(self, tenant: Tenant, other_tenant: Tenant) -> None:
        customer, agent = own_agent(tenant)
        now = timezone.now()
        with tenant_scope(tenant.pk):
            rival, _ = customer_with_environment("rival")
            assert customer_hosts(rival, now) == []
            for missing in (UUID(agent.host), uuid4()):
                with pytest.raises(NotTheirs, match="no such host"):
                    customer_host(rival, missing, now)
            assert customer_host(customer, UUID(agent.host), now).name == "web-1"
        with tenant_scope(other_tenant.pk):
            assert customer_hosts(customer, now) == []

    def test_of_the_provider_are_not_shown_though_they_run_the_customers_applications(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        assert agent.deliver(batch()).status_code == 200
        with tenant_scope(tenant.pk):
            customer, _ = customer_with_environment("shop")
            application = Host.objects.get().instance_set.get().application
            assign_application(application, customer, "now", as_of=timezone.now())
            assert customer_hosts(customer, timezone.now()) == []

    def test_cost_the_same_few_queries_however_many_there_are(
        self, inside: UUID, django_assert_num_queries: pytest.FixtureRequest
    ) -> None:
        customer, environment = customer_with_environment("shop")
        for number in range(30):
            host = Host.objects.create(name=f"web-{number}", environment=environment)
            HostKey.objects.create(host=host, key_id=f"k{number}", public_key=bytes([number]) * 32)
        with django_assert_num_queries(3):  # type: ignore[operator]
            assert len(customer_hosts(customer, NOON)) == 30


class TestKey:
    def test_that_its_customer_revokes_is_turned_away(self, tenant: Tenant) -> None:
        customer, agent = own_agent(tenant)
        now = timezone.now()
        with tenant_scope(tenant.pk):
            (host,) = customer_hosts(customer, now)
            (key,) = host.keys
            assert revoke_host_key(customer, host.id, key.id, as_of=now)
            assert not revoke_host_key(customer, host.id, key.id, as_of=now)
            assert HostKey.objects.get().revoked_at == now
            assert customer_hosts(customer, now)[0].status == "no key"
        assert agent.deliver(batch()).status_code == 401

    def test_of_another_is_not_there(self, tenant: Tenant, agent: Agent) -> None:
        with tenant_scope(tenant.pk):
            customer, _ = customer_with_environment("shop")
            key = HostKey.objects.get()
            for missing in (key.pk, uuid4()):
                with pytest.raises(NotTheirs, match="no such key"):
                    revoke_host_key(customer, key.host_id, missing, as_of=NOON)
            assert HostKey.objects.get().revoked_at is None


def test_a_host_that_finds_no_room_is_told_so_and_its_token_is_not_spent(tenant: Tenant) -> None:
    agent = Agent(tenant).enrol()
    assert agent.host
    with tenant_scope(tenant.pk):
        Environment.objects.update(hosts_max=1)
    refused = Agent(tenant).ask_to_enrol(fresh_token(tenant))
    assert refused.status_code == 409
    assert refused.json()["type"] == "environment-full"
    with tenant_scope(tenant.pk):
        assert EnrolmentToken.objects.filter(used_at__isnull=True).count() == 1
