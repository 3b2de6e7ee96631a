"""What webhooks are told of hosts and faults. docs/webhooks.md states the data."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from metering.models import Host
from metering.stated_models import AllocationFailure
from tenants.webhooks import Happening, emit, emit_all


def tell_enrolled(host: Host, *, as_of: datetime) -> None:
    """Tell that a host was enrolled; it has its environment."""
    emit("agent.enrolled", f"agent.enrolled:{host.pk}", host_data(host), as_of=as_of)


def host_data(host: Host) -> dict[str, Any]:
    """A host as it is told."""
    return {
        "host_id": str(host.pk),
        "host": host.name,
        "environment_id": str(host.environment_id),
        "environment": host.environment.name,
        "last_seen_at": None if host.last_seen_at is None else written(host.last_seen_at),
    }


def tell_faults(
    before: Collection[AllocationFailure], now: Collection[AllocationFailure], *, as_of: datetime
) -> None:
    """Tell which failures of an hour are new, and which are over."""
    known = {_place(each): each for each in before}
    standing = {_place(each) for each in now}
    happenings = [
        _happening("fault.raised", each, each.failed_at)
        for each in now
        if _place(each) not in known
    ]
    happenings += [
        _happening("fault.cleared", each, as_of)
        for place, each in known.items()
        if place not in standing
    ]
    emit_all(happenings, as_of=as_of)


def _place(failure: AllocationFailure) -> tuple[str, str, str]:
    return written(failure.hour), str(failure.host_id or ""), failure.meter


def _happening(event_type: str, failure: AllocationFailure, moment: datetime) -> Happening:
    return Happening(
        event_type,
        f"{event_type}:allocation:{':'.join(_place(failure))}:{written(moment)}",
        {
            "kind": "allocation",
            "hour": written(failure.hour),
            "host_id": None if failure.host_id is None else str(failure.host_id),
            "meter": failure.meter or None,
            "reason": failure.reason,
        },
    )


def written(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
