"""What hosts and environments make of their policies."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from metering.control_models import AppliedState
from metering.models import Host
from metering.policy_state import agents_too_old, environments_too_old, hosts_of_policy
from tenants.models import Environment, Policy
from tenants.policies import change_draft, draft_of, publish

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(days=7)


@pytest.fixture
def policy(inside: UUID) -> Policy:
    policy = Policy.objects.create(name="calm")
    Environment.objects.update(policy=policy)
    draft = change_draft(
        draft_of(policy),
        {
            "minimum_agent_version": "2.0", "minimum_agent_by": DUE,
            "minimum_environment_version": "1.4", "offline_grace_seconds": 600,
        },
    )  # fmt: skip
    publish(draft, effective_from=NOON, by="anna", as_of=NOON)
    return policy


def host_with(name: str, agent_version: str, policy: str = "calm 1") -> Host:
    environment = Environment.objects.get()
    host = Host.objects.create(name=name, environment=environment, enrolled_at=NOON)
    AppliedState.objects.create(
        host=host, etag='"a"', refused=False, agent_version=agent_version, policy=policy,
        applied_at=NOON, reported_at=NOON,
    )  # fmt: skip
    return host


class TestHostsOfAPolicy:
    def test_say_which_version_they_go_by(self, policy: Policy) -> None:
        host_with("web-1", "2.0")
        host_with("web-2", "2.0", policy="")
        first, second = hosts_of_policy(policy.pk, as_of=NOON)
        assert (first.wanted, first.applied, first.is_applied) == ("calm 1", "calm 1", True)
        assert (second.wanted, second.applied, second.is_applied) == ("calm 1", "", False)

    def test_are_past_their_grace_when_nothing_was_heard_for_longer(self, policy: Policy) -> None:
        host_with("web-1", "2.0")
        for seconds, past in ((600, False), (601, True)):
            (host,) = hosts_of_policy(policy.pk, as_of=NOON + timedelta(seconds=seconds))
            assert host.past_grace == past

    def test_are_those_in_service_alone(self, policy: Policy) -> None:
        host_with("web-1", "2.0")
        Host.objects.update(retired_at=NOON)
        assert hosts_of_policy(policy.pk, as_of=NOON) == []


class TestTooOld:
    def test_are_agents_below_the_minimum_and_due_from_the_deadline(self, policy: Policy) -> None:
        host_with("web-1", "1.9.9")
        host_with("web-2", "2.0.0")
        (old,) = agents_too_old(as_of=NOON)
        assert (old.name, old.version, old.wanted, old.by) == ("web-1", "1.9.9", "2.0", DUE)
        assert not old.is_due(DUE - timedelta(seconds=1))
        assert old.is_due(DUE)

    def test_are_environments_below_theirs(self, policy: Policy) -> None:
        (old,) = environments_too_old(as_of=NOON)
        assert (old.name, old.version, old.wanted, old.is_due(DUE)) == (
            "production", "", "1.4", False,
        )  # fmt: skip
        Environment.objects.update(version="1.10")
        assert environments_too_old(as_of=NOON) == []

    def test_is_nobody_before_the_version_takes_effect(self, policy: Policy) -> None:
        host_with("web-1", "1.0")
        assert agents_too_old(as_of=NOON - timedelta(seconds=1)) == []
