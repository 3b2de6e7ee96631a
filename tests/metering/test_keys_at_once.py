"""Keys that are asked for, confirmed and revoked at the same moment."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections

from metering.host_keys import decode_next_key, register_next_key, revoke_keys
from metering.known_hosts import known_hosts
from metering.models import HostKey
from metering.retiring import retire_hosts
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.locks import another_waits
from tests.metering.delivering import Agent
from tests.metering.test_at_once import together
from tests.metering.test_host_keys import asking, rotate

pytestmark = pytest.mark.django_db(transaction=True)

Revoke = Callable[[UUID], int]


def revoke(host: UUID) -> int:
    return revoke_keys([host], as_of=datetime.now(UTC))


def retire(host: UUID) -> int:
    return retire_hosts([host], as_of=datetime.now(UTC))


def register_while(agent: Agent, work: Callable[[], int]) -> Future[int]:
    """Begin `work` in another connection between a rotation's writing and its commit."""
    now = datetime.now(UTC)
    host = known_hosts.host_of(agent.key_id, as_of=now)
    assert host is not None
    body = json.dumps(asking(agent, Ed25519PrivateKey.generate())).encode()
    pool = ThreadPoolExecutor(1)
    with tenant_scope(agent.tenant.pk):
        register_next_key(host, agent.key_id, decode_next_key(body), as_of=now)
        begun = pool.submit(work)
        await_waiting(begun)
    pool.shutdown(wait=True)
    return begun


def await_waiting(work: Future[int]) -> None:
    """Until another connection waits for a lock, or its work has come to its end."""
    while not (work.done() or another_waits()):
        pass


@pytest.mark.parametrize("revoke_all", [revoke, retire])
def test_a_key_that_is_registered_meanwhile_is_revoked_too(
    tenant: Tenant, revoke_all: Revoke
) -> None:
    agent = Agent(tenant).enrol()

    def work() -> int:
        try:
            with tenant_scope(tenant.pk):
                return revoke_all(UUID(agent.host))
        finally:
            connections.close_all()

    assert register_while(agent, work).result(30) >= 1
    with tenant_scope(tenant.pk):
        assert HostKey.objects.count() == 2
        assert not HostKey.objects.filter(revoked_at=None).exists()


def test_two_rotations_leave_one_new_key(tenant: Tenant) -> None:
    agent = Agent(tenant).enrol()
    answers = together(*[lambda: rotate(agent)[1]] * 4)
    assert [answer.status_code for answer in answers] == [201] * 4
    with tenant_scope(tenant.pk):
        assert HostKey.objects.filter(revoked_at=None).exclude(key_id=agent.key_id).count() == 1
