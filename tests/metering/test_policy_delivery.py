"""A policy's version reaches the hosts that it holds for, and each says which one it goes by."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from hostmeter_agent.wire_control import APPLIED_STATE_PATH, DESIRED_STATE_PATH

from metering.control_models import AgentSettings, AppliedState
from metering.models import Host
from tenants.core.policies import share_of_host
from tenants.models import Environment, Policy
from tenants.policies import change_draft, draft_of, publish, roll_back, roll_out
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch
from tests.metering.test_host_control import report


def policy_of(agent: Agent) -> Policy:
    with tenant_scope(agent.tenant.pk):
        policy, _ = Policy.objects.get_or_create(name="calm")
        Environment.objects.update(policy=policy)
        return policy


def published(agent: Agent, *, percent: int = 100, **terms: Any) -> PolicyVersion:
    policy, now = policy_of(agent), timezone.now()
    with tenant_scope(agent.tenant.pk):
        draft = change_draft(draft_of(policy), terms)
        return publish(draft, effective_from=now, rollout_percent=percent, by="anna", as_of=now)


def wanted(agent: Agent) -> dict[str, Any]:
    document: dict[str, Any] = agent.ask("GET", DESIRED_STATE_PATH).json()
    return document


class TestTheDesiredState:
    def test_is_as_before_while_no_version_holds(self, agent: Agent) -> None:
        tag = agent.ask("GET", DESIRED_STATE_PATH)["ETag"]
        policy = policy_of(agent)
        with tenant_scope(agent.tenant.pk):
            Policy.objects.update(scrape_interval_seconds=300)
            change_draft(draft_of(policy), {"cpu_millicores": 500})
        assert agent.ask("GET", DESIRED_STATE_PATH)["ETag"] == tag

    def test_names_the_version_and_what_it_says(self, agent: Agent) -> None:
        published(
            agent, cpu_millicores=1_500, memory_bytes=2**30, processes_max=40, enforced=True,
            offline_grace_seconds=3_600, minimum_agent_version="9.1", open_files_max=10,
        )  # fmt: skip
        document = wanted(agent)
        assert document["policy"] == {
            "own_cgroups": None,
            "version": "calm 1",
            "offline_grace_seconds": 3_600,
            "limits": {
                "enforced": True, "cpu_millicores": 1_500, "memory_bytes": 2**30, "processes": 40,
            },
        }  # fmt: skip
        assert document["minimum_agent_version"] == {"version": "9.1", "by": None}

    def test_lets_agent_settings_win_over_the_policy(self, agent: Agent) -> None:
        published(agent, minimum_agent_version="9.1")
        with tenant_scope(agent.tenant.pk):
            AgentSettings.objects.create(minimum_agent_version="2.0", own_cgroups=True)
        document = wanted(agent)
        assert document["minimum_agent_version"]["version"] == "2.0"
        assert document["policy"]["own_cgroups"]

    def test_follows_the_rollout_and_its_end(self, agent: Agent) -> None:
        published(agent, cpu_millicores=500)
        share = share_of_host(UUID(agent.host))
        second = published(agent, percent=share, cpu_millicores=700)
        assert wanted(agent)["policy"]["version"] == "calm 1"
        with tenant_scope(agent.tenant.pk):
            roll_out(second, share + 1)
        assert wanted(agent)["policy"]["version"] == "calm 2"
        with tenant_scope(agent.tenant.pk):
            roll_back(second, as_of=timezone.now())
        assert wanted(agent)["policy"]["limits"]["cpu_millicores"] == 500

    def test_waits_for_the_moment_from_which_a_version_holds(self, agent: Agent) -> None:
        policy, now = policy_of(agent), timezone.now()
        with tenant_scope(agent.tenant.pk):
            later = now + timedelta(hours=1)
            publish(draft_of(policy), effective_from=later, by="anna", as_of=now)
        assert "version" not in wanted(agent)["policy"]


class TestTheReport:
    def test_is_kept_with_the_version_that_the_host_goes_by(self, agent: Agent) -> None:
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(policy="calm 1"))
        assert answer.status_code == 204
        with tenant_scope(agent.tenant.pk):
            assert AppliedState.objects.get().policy == "calm 1"

    def test_of_an_agent_that_knows_no_versions_names_none(self, agent: Agent) -> None:
        assert agent.ask("PUT", APPLIED_STATE_PATH, report()).status_code == 204
        with tenant_scope(agent.tenant.pk):
            assert AppliedState.objects.get().policy == ""

    @pytest.mark.parametrize("policy", [None, 3, "x" * 141, "calm\n1"])
    def test_is_refused_where_that_is_no_name(self, agent: Agent, policy: Any) -> None:
        answer = agent.ask("PUT", APPLIED_STATE_PATH, report(policy=policy))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "policy"


def test_an_agent_that_is_too_old_still_delivers(agent: Agent) -> None:
    since: datetime = timezone.now() + timedelta(seconds=1)
    published(agent, minimum_agent_version="99", minimum_agent_by=since)
    assert agent.deliver(batch()).status_code == 200
    with tenant_scope(agent.tenant.pk):
        assert Host.objects.get().last_seen_at is not None
