"""A host's key is replaced, expires and is revoked, and no host that was away is locked out."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostmeter_agent.wire_control import KEYS_PATH, proof_message

from metering.host_keys import KEY_OVERLAP
from metering.known_hosts import KEPT_SECONDS, known_hosts
from metering.models import HostKey
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, Answer, batch


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def asking(agent: Agent, key: Ed25519PrivateKey, **changes: Any) -> dict[str, str]:
    public = b64(key.public_key().public_bytes_raw())
    proof = b64(key.sign(proof_message(agent.host, agent.key_id, public)))
    return {"public_key": public, "proof": proof} | changes


def rotate(agent: Agent, key: Ed25519PrivateKey | None = None) -> tuple[Agent, Answer]:
    """The host with its next key, and what it was told."""
    key = key or Ed25519PrivateKey.generate()
    answer = agent.ask("POST", KEYS_PATH, asking(agent, key))
    key_id = answer.json().get("key_id", "")
    return Agent(agent.tenant, key, key_id, agent.host), answer


def move_time(agent: Agent, by: timedelta) -> None:
    """Time passes for the keys of a tenant and for what a process keeps of them."""
    known_hosts.forget()
    with tenant_scope(agent.tenant.pk):
        for key in HostKey.objects.exclude(expires_at=None):
            HostKey.objects.filter(pk=key.pk).update(expires_at=key.expires_at - by)  # type: ignore[operator]


class TestRotation:
    def test_makes_the_next_key_good_and_leaves_the_former_one_a_day(self, agent: Agent) -> None:
        after, answer = rotate(agent)
        assert (answer.status_code, set(answer.json())) == (201, {"key_id", "server_time"})
        assert agent.deliver(batch()).status_code == 200
        assert after.deliver(batch()).status_code == 200
        assert agent.deliver(batch()).status_code == 200
        move_time(agent, KEY_OVERLAP - timedelta(minutes=1))
        assert agent.deliver(batch()).status_code == 200
        move_time(agent, timedelta(minutes=1))
        assert agent.deliver(batch()).status_code == 401
        assert after.deliver(batch()).status_code == 200

    def test_never_used_expires_nothing(self, agent: Agent) -> None:
        """The answer was lost and the host was away for months: its key is still good."""
        rotate(agent)
        move_time(agent, timedelta(days=400))
        assert agent.deliver(batch()).status_code == 200
        with tenant_scope(agent.tenant.pk):
            assert not HostKey.objects.exclude(expires_at=None).exists()

    def test_asked_for_again_is_the_same(self, agent: Agent) -> None:
        key = Ed25519PrivateKey.generate()
        after, first = rotate(agent, key)
        _, again = rotate(agent, key)
        assert (again.status_code, again.json()["key_id"]) == (200, first.json()["key_id"])
        assert after.deliver(batch()).status_code == 200
        _, late = rotate(agent, key)
        assert (late.status_code, late.json()["key_id"]) == (200, after.key_id)
        with tenant_scope(agent.tenant.pk):
            assert HostKey.objects.count() == 2

    def test_with_another_key_gives_the_one_that_was_lost_up(self, agent: Agent) -> None:
        lost, _ = rotate(agent)
        found, answer = rotate(agent)
        assert answer.status_code == 201
        assert lost.deliver(batch()).status_code == 401
        assert found.deliver(batch()).status_code == 200

    def test_from_a_key_that_was_replaced_is_refused(self, agent: Agent) -> None:
        after, _ = rotate(agent)
        assert after.deliver(batch()).status_code == 200
        _, answer = rotate(agent)
        assert (answer.status_code, answer.json()["type"]) == (409, "key-superseded")

    def test_goes_on_from_key_to_key(self, agent: Agent) -> None:
        for _ in range(3):
            agent, answer = rotate(agent)
            assert answer.status_code == 201
            assert agent.deliver(batch()).status_code == 200
        move_time(agent, KEY_OVERLAP)
        assert agent.deliver(batch()).status_code == 200

    def test_takes_no_key_that_is_in_use(self, agent: Agent, tenant: Tenant) -> None:
        other = Agent(tenant).enrol()
        for key in (agent.key, other.key):
            _, answer = rotate(agent, key)
            assert (answer.status_code, answer.json()["type"]) == (409, "key-already-enrolled")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"public_key": "AAAA"}, "public_key"),
            ({"public_key": b64(bytes(32))}, "public_key"),
            ({"public_key": 1}, "public_key"),
            ({"proof": "!"}, "proof"),
            ({"proof": None}, "proof"),
            ({"proof": b64(bytes(64))}, "proof"),
        ],
    )
    def test_refuses_what_proves_nothing(
        self, agent: Agent, changes: dict[str, Any], field: str
    ) -> None:
        answer = agent.ask(
            "POST", KEYS_PATH, asking(agent, Ed25519PrivateKey.generate(), **changes)
        )
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]

    def test_takes_a_proof_for_this_host_and_key_alone(self, agent: Agent, tenant: Tenant) -> None:
        """A proof that was seen elsewhere proves nothing here."""
        other, key = Agent(tenant).enrol(), Ed25519PrivateKey.generate()
        assert agent.ask("POST", KEYS_PATH, asking(other, key)).status_code == 422

    def test_is_not_for_strangers(self, agent: Agent) -> None:
        stranger = Agent(agent.tenant, Ed25519PrivateKey.generate(), agent.key_id, agent.host)
        _, answer = rotate(stranger)
        assert answer.status_code == 401


class TestRevocation:
    def revoke(self, agent: Agent) -> None:
        with tenant_scope(agent.tenant.pk):
            HostKey.objects.filter(key_id=agent.key_id).update(revoked_at=datetime.now(UTC))

    def test_holds_within_a_minute_although_the_key_was_just_used(self, agent: Agent) -> None:
        assert KEPT_SECONDS <= 55
        assert agent.deliver(batch()).status_code == 200
        self.revoke(agent)
        now = datetime.now(UTC)
        kept = known_hosts.host_of(agent.key_id, as_of=now)
        assert kept is not None
        assert kept.expires_at <= now + timedelta(seconds=KEPT_SECONDS)
        assert known_hosts.host_of(agent.key_id, as_of=kept.expires_at) is None
        answer = agent.deliver(batch())
        assert answer.status_code == 401
        assert answer.json()["detail"] == "The credential is missing, wrong or no longer valid."

    def test_is_not_put_off_by_a_body_that_takes_its_time(
        self, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert agent.deliver(batch()).status_code == 200
        self.revoke(agent)
        later = datetime.now(UTC) + timedelta(seconds=KEPT_SECONDS)
        moments = iter((datetime.now(UTC),))
        monkeypatch.setattr("metering.endpoints.timezone.now", lambda: next(moments, later))
        assert agent.deliver(batch()).status_code == 401

    def test_of_the_next_key_leaves_the_former_one(self, agent: Agent) -> None:
        after, _ = rotate(agent)
        self.revoke(after)
        assert after.deliver(batch()).status_code == 401
        assert agent.deliver(batch()).status_code == 200

    def test_stops_every_address(self, agent: Agent) -> None:
        self.revoke(agent)
        known_hosts.forget()
        _, answer = rotate(agent)
        assert answer.status_code == 401
        for method, path in (("GET", "desired-state"), ("PUT", "applied-state")):
            assert agent.ask(method, f"/api/v1/hosts/{path}").status_code == 401


def test_an_enrolled_key_needs_no_confirmation(agent: Agent) -> None:
    with tenant_scope(agent.tenant.pk):
        key = HostKey.objects.get(key_id=agent.key_id)
    assert not key.awaits_use
    assert key.host_id == UUID(agent.host)
