"""Notices when a host falls silent and when it is back, and which agents are too old, and tells of
each once. Inside a tenant's scope."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from metering.control import desired_states, is_too_old
from metering.control_models import AppliedState
from metering.models import Host
from metering.queries import is_silent
from metering.telling import host_data, written
from metering.watch_models import HostNotice
from tenants.webhooks import Happening, emit_all

_Noticed = Mapping[UUID, dict[str, str]]


def watch_hosts(*, as_of: datetime) -> int:
    """Note what has begun and what is over since the last look; how many notices changed. Nobody
    waits for a retired host: what was noticed of it is over, and is not told."""
    hosts = {
        host.pk: host
        for host in Host.objects.select_related("environment__policy").filter(
            retired_at__isnull=True, generated=False
        )
    }
    silent: _Noticed = {host.pk: {} for host in hosts.values() if is_silent(host, as_of)}
    with transaction.atomic():
        changed = _note(HostNotice.Kind.SILENT, silent, hosts, as_of)
        return changed + _note(HostNotice.Kind.OUTDATED, _outdated(hosts, as_of), hosts, as_of)


def _outdated(hosts: Mapping[UUID, Host], as_of: datetime) -> _Noticed:
    """Hosts whose agent is older than the minimum, whose time is over."""
    wanted = desired_states(list(hosts.values()), as_of=as_of)
    found = {}
    for applied in AppliedState.objects.filter(host__in=list(hosts)):
        desired = wanted[applied.host_id]
        due = desired.minimum_version_by is None or desired.minimum_version_by <= as_of
        if due and is_too_old(applied.agent_version, desired):
            found[applied.host_id] = {
                "version": applied.agent_version,
                "minimum_version": desired.minimum_version,
            }
    return found


def _note(
    kind: HostNotice.Kind, noticed: _Noticed, hosts: Mapping[UUID, Host], as_of: datetime
) -> int:
    standing = {
        each.host_id: each
        for each in HostNotice.objects.select_for_update().filter(kind=kind, over_at=None)
    }
    begun = [
        HostNotice(host=host, kind=kind, since=_since(kind, host, as_of), noticed_at=as_of)
        for host in (hosts[pk] for pk in sorted(noticed) if pk not in standing)
    ]
    HostNotice.objects.bulk_create(begun, ignore_conflicts=True)
    # Another task may have noticed the same in this moment; then it tells.
    own = set(HostNotice.objects.filter(pk__in=[each.pk for each in begun]).values_list("pk"))
    begun = [each for each in begun if (each.pk,) in own]
    over = [each for pk, each in standing.items() if pk not in noticed]
    HostNotice.objects.filter(pk__in=[each.pk for each in over]).update(over_at=as_of)
    happenings = [_begun(each, noticed[each.host_id]) for each in begun]
    if kind == HostNotice.Kind.SILENT:
        happenings += [
            _recovered(each, hosts[each.host_id]) for each in over if each.host_id in hosts
        ]
    emit_all(happenings, as_of=as_of)
    return len(begun) + len(over)


def _since(kind: HostNotice.Kind, host: Host, as_of: datetime) -> datetime:
    return (host.last_seen_at or host.enrolled_at) if kind == HostNotice.Kind.SILENT else as_of


def _begun(notice: HostNotice, more: Mapping[str, str]) -> Happening:
    event_type = f"agent.{notice.kind}"
    data = {**host_data(notice.host), **more}
    if notice.kind == HostNotice.Kind.SILENT:
        data["silent_since"] = written(notice.since)
    return Happening(event_type, f"{event_type}:{notice.pk}", data)


def _recovered(notice: HostNotice, host: Host) -> Happening:
    data = {**host_data(host), "silent_since": written(notice.since)}
    return Happening("agent.recovered", f"agent.recovered:{notice.pk}", data)
