"""What happens to hosts is noticed, and told once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from metering.control_models import AgentSettings, AppliedState
from metering.enrolment import Application, enrol_host
from metering.models import Host
from metering.stated_models import AllocationFailure
from metering.telling import tell_faults
from metering.watching import watch_hosts
from tenants.models import Environment
from tenants.operations import issue_enrolment_token
from tenants.webhook_endpoints import add_endpoint
from tenants.webhook_models import WebhookEvent

pytestmark = pytest.mark.django_db

NOON = timezone.now().replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def host(inside: UUID) -> Host:
    add_endpoint("https://example.com/", as_of=NOON)
    return Host.objects.create(
        name="web-1",
        environment=Environment.objects.get(),
        enrolled_at=NOON - MINUTE,
        last_seen_at=NOON,
    )


def told() -> list[str]:
    return [each.type for each in WebhookEvent.objects.order_by("occurred_at", "type")]


def seen(host: Host, when: Any) -> None:
    Host.objects.filter(pk=host.pk).update(last_seen_at=when)


class TestAHost:
    def test_that_falls_silent_is_told_once_and_when_it_is_back(self, host: Host) -> None:
        assert watch_hosts(as_of=NOON + MINUTE) == 0
        assert watch_hosts(as_of=NOON + 10 * MINUTE) == 1
        assert watch_hosts(as_of=NOON + 11 * MINUTE) == 0
        seen(host, NOON + 12 * MINUTE)
        assert watch_hosts(as_of=NOON + 12 * MINUTE) == 1
        assert told() == ["agent.silent", "agent.recovered"]
        data = WebhookEvent.objects.get(type="agent.silent").data
        assert data["host"] == "web-1"
        assert data["silent_since"] == NOON.isoformat().replace("+00:00", "Z")

    def test_that_falls_silent_again_is_told_again(self, host: Host) -> None:
        watch_hosts(as_of=NOON + 10 * MINUTE)
        seen(host, NOON + 12 * MINUTE)
        watch_hosts(as_of=NOON + 12 * MINUTE)
        watch_hosts(as_of=NOON + 30 * MINUTE)
        assert told() == ["agent.silent", "agent.recovered", "agent.silent"]

    def test_that_is_retired_is_waited_for_no_more(self, host: Host) -> None:
        watch_hosts(as_of=NOON + 10 * MINUTE)
        Host.objects.update(retired_at=NOON + 11 * MINUTE)
        assert watch_hosts(as_of=NOON + 12 * MINUTE) == 1
        assert told() == ["agent.silent"]

    def test_of_the_demo_is_never_missed(self, host: Host) -> None:
        Host.objects.update(generated=True)
        assert watch_hosts(as_of=NOON + 10 * MINUTE) == 0

    def test_with_an_agent_that_is_too_old_is_told_when_its_time_is_over(self, host: Host) -> None:
        AgentSettings.objects.create(
            minimum_agent_version="9.0.0", minimum_version_by=NOON + timedelta(seconds=90)
        )
        AppliedState.objects.create(
            host=host, etag="1", refused=False, agent_version="0.1.0",
            applied_at=NOON, reported_at=NOON,
        )  # fmt: skip
        watch_hosts(as_of=NOON + MINUTE)
        assert told() == []
        watch_hosts(as_of=NOON + timedelta(seconds=100))
        watch_hosts(as_of=NOON + timedelta(seconds=110))
        assert told() == ["agent.outdated"]
        data = WebhookEvent.objects.get().data
        assert (data["version"], data["minimum_version"]) == ("0.1.0", "9.0.0")

    def test_that_enrols_is_told(self, host: Host) -> None:
        now = timezone.now()
        token = issue_enrolment_token(Environment.objects.get(), as_of=now)
        key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        enrolled = enrol_host(Application(token, "web-2", key), as_of=now)
        data = WebhookEvent.objects.get(type="agent.enrolled").data
        assert (data["host_id"], data["environment"]) == (str(enrolled.host_id), "production")


class TestAFault:
    def test_is_told_when_it_is_raised_and_when_it_is_over(self, host: Host) -> None:
        failure = AllocationFailure(
            hour=NOON, host=host, meter="cpu.time", reason="no processors", failed_at=NOON
        )
        tell_faults([], [failure], as_of=NOON)
        tell_faults([failure], [failure], as_of=NOON + MINUTE)
        assert told() == ["fault.raised"]
        tell_faults([failure], [], as_of=NOON + 2 * MINUTE)
        assert told() == ["fault.raised", "fault.cleared"]
        assert WebhookEvent.objects.get(type="fault.cleared").data["meter"] == "cpu.time"
