"""What hosts and environments make of their policies: which version each has applied, and what is
older than it may be. Every query runs inside a tenant's scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hostmeter_agent.wire_control import version_of

from metering.control import desired_states, is_too_old, policy_versions
from metering.control_models import AppliedState
from metering.models import Host
from tenants.core.policies import version_for
from tenants.models import Environment
from tenants.policies_in_force import published_versions
from tenants.policy_models import PolicyVersion


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """One host in service. `wanted` is the version that holds for it, `applied` the one that it
    says it goes by ("" for none); `past_grace`: not heard of for longer than the version allows."""

    host_id: UUID
    host: str
    wanted: str
    applied: str
    reported_at: datetime | None
    errors: tuple[str, ...]
    past_grace: bool

    @property
    def is_applied(self) -> bool:
        return self.applied == self.wanted


@dataclass(frozen=True, slots=True)
class TooOld:
    """A host's agent, or an environment, below the version that its policy asks for. It is still
    taken from: nothing that was metered is lost. `by` None: no deadline was set."""

    name: str
    version: str
    wanted: str
    by: datetime | None

    def is_due(self, as_of: datetime) -> bool:
        return self.by is not None and self.by <= as_of


def in_service() -> list[Host]:
    """Hosts that somebody waits for, with environment and policy, by name."""
    rows = Host.objects.filter(retired_at__isnull=True, generated=False)
    return list(rows.select_related("environment__policy").order_by("name", "pk"))


def hosts_of_policy(policy_id: UUID, *, as_of: datetime) -> list[HostPolicy]:
    """What each host in the policy's environments has applied, by name."""
    hosts = [host for host in in_service() if host.environment.policy_id == policy_id]
    versions = policy_versions(hosts, as_of=as_of)
    told = {row.host_id: row for row in AppliedState.objects.filter(host__in=hosts)}
    return [_host_policy(host, versions[host.pk], told.get(host.pk), as_of) for host in hosts]


def _host_policy(
    host: Host, version: PolicyVersion | None, told: AppliedState | None, as_of: datetime
) -> HostPolicy:
    grace = version.offline_grace_seconds if version is not None else None
    seen = host.last_seen_at or host.enrolled_at
    return HostPolicy(
        host_id=host.pk,
        host=host.name,
        wanted=str(version) if version is not None else "",
        applied=told.policy if told is not None and not told.refused else "",
        reported_at=told.reported_at if told is not None else None,
        errors=tuple(told.errors) if told is not None else (),
        past_grace=grace is not None and as_of - seen > timedelta(seconds=grace),
    )


def agents_too_old(*, as_of: datetime) -> list[TooOld]:
    """Hosts whose agent is below the minimum that settings or their policy state, by name."""
    hosts = in_service()
    wanted = desired_states(hosts, as_of=as_of)
    told = dict(AppliedState.objects.filter(host__in=hosts).values_list("host", "agent_version"))
    return [
        TooOld(
            host.name, told[host.pk], wanted[host.pk].minimum_version,
            wanted[host.pk].minimum_version_by,
        )
        for host in hosts
        if host.pk in told and is_too_old(told[host.pk], wanted[host.pk])
    ]  # fmt: skip


def environments_too_old(*, as_of: datetime) -> list[TooOld]:
    """Environments below the version that their policy asks of all hosts, by name; one that states
    no version is below every one."""
    rows = Environment.objects.filter(retired_at__isnull=True, policy__isnull=False)
    environments: Sequence[Environment] = list(rows)
    published = published_versions((each.policy_id for each in environments), as_of=as_of)
    found = []
    for environment in environments:
        versions = published[environment.policy_id] if environment.policy_id else []
        version = version_for(versions, None, as_of=as_of)
        wanted = version.minimum_environment_version if version is not None else ""
        if version is not None and wanted and version_of(environment.version) < version_of(wanted):
            by = version.minimum_environment_by
            found.append(TooOld(environment.name, environment.version, wanted, by))
    return found
