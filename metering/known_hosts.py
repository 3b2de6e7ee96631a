"""Hosts that signed lately, kept in each process so that a batch costs no look-up.

An entry lives for at most KEPT_SECONDS, and no longer than its key: a revoked key, a host's new
environment or a deleted instance takes effect within that time. A request is judged again when its
body is there, so a slow body does not stretch it.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from metering.copy_rows import InstanceIds
from metering.models import HostEnvironment, HostKey
from metering.wire_body import InstanceName
from tenants.scope import tenant_scope

KEPT_SECONDS: Final = 50
_HOSTS_MAX: Final = 10_000
_INSTANCES_PER_HOST_MAX: Final = 20_000
_MEASUREMENTS_PER_HOST_MAX: Final = 20_000

_KEY_ID = re.compile(r"([0-9a-f]{32})\.[A-Za-z0-9_-]{22}")


@dataclass(slots=True)
class KnownHost:
    """A host with a valid key, and what it may deliver for."""

    tenant_id: UUID
    host_id: UUID
    public_key: Ed25519PublicKey
    environment_id: UUID
    environments: dict[str, UUID]
    expires_at: datetime
    key_awaits_use: bool = False
    # The tenant's limit; None without one.
    samples_per_second_max: int | None = None
    instances: dict[InstanceName, InstanceIds] = field(default_factory=dict)
    epochs: set[UUID] = field(default_factory=set)
    # By their digest: the content is the tenant's, whatever key a batch gives it.
    measurements: dict[bytes, UUID] = field(default_factory=dict)

    def remember(
        self,
        epoch: UUID,
        instances: dict[InstanceName, InstanceIds],
        measurements: dict[bytes, UUID],
    ) -> None:
        """Keep what a transaction registered. Call it only after that has committed."""
        if len(self.epochs) > _INSTANCES_PER_HOST_MAX:
            self.epochs.clear()
        if len(self.instances) + len(instances) > _INSTANCES_PER_HOST_MAX:
            self.instances.clear()
        if len(self.measurements) + len(measurements) > _MEASUREMENTS_PER_HOST_MAX:
            self.measurements.clear()
        self.epochs.add(epoch)
        self.instances.update(instances)
        self.measurements.update(measurements)


class KnownHosts:
    """The hosts that this process has heard of within the last minute, by their key's id."""

    def __init__(self) -> None:
        self._hosts: dict[str, KnownHost] = {}

    def host_of(self, key_id: str, *, as_of: datetime) -> KnownHost | None:
        """The host that signs with the key; None where the key is unknown, revoked or expired."""
        host = self._hosts.get(key_id)
        if host is not None and as_of < host.expires_at:
            return host
        return self.fresh_host_of(key_id, as_of=as_of)

    def fresh_host_of(self, key_id: str, *, as_of: datetime) -> KnownHost | None:
        """As host_of, from the database."""
        self._hosts.pop(key_id, None)
        host = _stored_host(key_id, as_of)
        if host is not None:
            if len(self._hosts) >= _HOSTS_MAX:
                self._hosts.clear()
            self._hosts[key_id] = host
        return host

    def forget(self) -> None:
        self._hosts.clear()


def _stored_host(key_id: str, as_of: datetime) -> KnownHost | None:
    match = _KEY_ID.fullmatch(key_id)
    if match is None:
        return None
    tenant_id = UUID(match[1])
    with tenant_scope(tenant_id):
        key = (
            HostKey.objects.select_related("host__environment", "tenant")
            .filter(key_id=key_id, revoked_at__isnull=True)
            .first()
        )
        if key is None or not key.is_valid(as_of):
            return None
        more = HostEnvironment.objects.select_related("environment").filter(host=key.host)
        environments = [key.host.environment, *(row.environment for row in more)]
    kept_until = as_of + timedelta(seconds=KEPT_SECONDS)
    return KnownHost(
        tenant_id=tenant_id,
        host_id=key.host_id,
        public_key=Ed25519PublicKey.from_public_bytes(bytes(key.public_key)),
        environment_id=key.host.environment_id,
        environments={environment.name: environment.pk for environment in environments},
        expires_at=min(kept_until, key.expires_at or kept_until),
        key_awaits_use=key.awaits_use,
        samples_per_second_max=key.tenant.samples_per_second_max,
    )


known_hosts = KnownHosts()
