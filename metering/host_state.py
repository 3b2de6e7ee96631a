"""How a host is doing, as operators and the customer who runs it are told."""

from datetime import datetime, timedelta

from metering.models import Host, HostKey
from metering.queries import HOST_SILENT_AFTER


def silent_after(host: Host) -> timedelta:
    """How long the host may deliver nothing before it counts as silent."""
    policy = host.environment.policy
    return timedelta(seconds=policy.host_silent_after_seconds) if policy else HOST_SILENT_AFTER


def host_status(host: Host, as_of: datetime) -> str:
    """Whether it delivers: live, silent, retired, generated, no key (it may not) or waiting
    (nothing has come yet)."""
    if host.retired_at is not None:
        return "retired"
    if host.generated:
        return "generated"
    if not any(key.is_valid(as_of) for key in host.keys.all()):
        return "no key"
    if host.last_seen_at is None:
        return "waiting"
    return "silent" if as_of - host.last_seen_at > silent_after(host) else "live"


def key_state(key: HostKey, as_of: datetime) -> str:
    """ "revoked", "expired", "expiring", "not used yet" or "valid"."""
    if key.revoked_at is not None:
        return "revoked"
    if not key.is_valid(as_of):
        return "expired"
    if key.expires_at is not None:
        return "expiring"
    return "not used yet" if key.awaits_use else "valid"
