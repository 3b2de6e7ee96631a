"""What a host is to do, read from the settings, and what it says that it does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from hostmeter_agent.wire_control import (
    ERRORS_MAX,
    POLICY_NAME_LENGTH_MAX,
    PROBE_NAME,
    PROBES_MAX,
    TEXT_LENGTH_MAX,
    interval_reason,
    version_of,
)

from metering.control_models import AgentSettings, AppliedState
from metering.core.desired_state import DesiredState, Layer, PolicyTerms, desired_state
from metering.known_hosts import KnownHost
from metering.models import Host, HostEnvironment
from metering.wire_errors import FieldError, OutOfContract, decoded_object, reasons
from metering.wire_values import Instant, utc_of
from tenants.core.policies import version_for
from tenants.models import Environment
from tenants.policies_in_force import published_versions
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope

APPLIED_BYTES_MAX = 64 * 1024
_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
_KINDS: dict[str, object] = {
    "etag": Annotated[str, msgspec.Meta(max_length=80)],
    "refused": bool,
    "agent_version": Annotated[str, msgspec.Meta(min_length=1, max_length=40)],
    "errors": Annotated[list[_Text], msgspec.Meta(max_length=ERRORS_MAX)],
    "probes": Annotated[dict[str, _Text], msgspec.Meta(max_length=PROBES_MAX)],
    "applied_at": Instant,
}
_POLICY = Annotated[str, msgspec.Meta(max_length=POLICY_NAME_LENGTH_MAX)]


@dataclass(frozen=True, slots=True)
class Report:
    """A host's word on the state it fetched last. policy: the version it goes by; "" for none."""

    etag: str
    refused: bool
    agent_version: str
    errors: list[str]
    probes: dict[str, str]
    applied_at: datetime
    policy: str = ""


def _layer(row: AgentSettings) -> Layer:
    return Layer(
        scrape_interval_seconds=row.scrape_interval_seconds,
        own_cgroups=row.own_cgroups,
        probes_off=frozenset(row.probes_off),
        key_rotation_days=row.key_rotation_days,
        minimum_version=row.minimum_agent_version,
        minimum_version_by=row.minimum_version_by,
        rules=tuple(row.rules),
    )


def _policy_layer(environment: Environment, version: PolicyVersion | None) -> Layer:
    """What the environment's policy says: the widest layer. It may name an interval that no agent
    takes: that is left out."""
    seconds = environment.policy.scrape_interval_seconds if environment.policy else None
    interval = None if interval_reason(seconds) else seconds
    if version is None:
        return Layer(scrape_interval_seconds=interval)
    return Layer(
        scrape_interval_seconds=interval,
        minimum_version=version.minimum_agent_version,
        minimum_version_by=version.minimum_agent_by,
        policy=PolicyTerms(
            version=str(version),
            enforced=version.enforced,
            cpu_millicores=version.cpu_millicores,
            memory_bytes=version.memory_bytes,
            processes=version.processes_max,
            offline_grace_seconds=version.offline_grace_seconds,
        ),
    )


def policy_versions(hosts: Iterable[Host], *, as_of: datetime) -> dict[UUID, PolicyVersion | None]:
    """The version of its environment's policy that holds for each of some hosts, read with
    environment. Inside their tenant."""
    chosen = list(hosts)
    published = published_versions((host.environment.policy_id for host in chosen), as_of=as_of)
    return {
        host.pk: version_for(
            published[policy_id] if (policy_id := host.environment.policy_id) else [],
            host.pk,
            as_of=as_of,
        )
        for host in chosen
    }


def desired_states(hosts: list[Host], *, as_of: datetime) -> dict[UUID, DesiredState]:
    """What each of some hosts, with environment and policy, is to do. Inside their tenant."""
    more: dict[UUID, list[str]] = {host.pk: [] for host in hosts}
    rows = HostEnvironment.objects.filter(host__in=hosts).order_by("environment__name")
    for host_id, name in rows.values_list("host_id", "environment__name"):
        more[host_id].append(name)
    settings = list(AgentSettings.objects.all())
    versions = policy_versions(hosts, as_of=as_of)
    return {host.pk: _state_of(host, more[host.pk], settings, versions) for host in hosts}


def _state_of(
    host: Host,
    more: list[str],
    settings: list[AgentSettings],
    versions: Mapping[UUID, PolicyVersion | None],
) -> DesiredState:
    def of(host_id: UUID | None, environment_id: UUID | None) -> list[Layer]:
        wanted = (host_id, environment_id)
        return [_layer(row) for row in settings if (row.host_id, row.environment_id) == wanted]

    layers = [*of(host.pk, None), *of(None, host.environment_id), *of(None, None)]
    widest = _policy_layer(host.environment, versions[host.pk])
    return desired_state([host.environment.name, *more], [*layers, widest])


def desired_state_for(known: KnownHost, *, as_of: datetime) -> DesiredState:
    """What the host is to do, at `as_of`."""
    with tenant_scope(known.tenant_id):
        host = Host.objects.select_related("environment__policy").get(pk=known.host_id)
        return desired_states([host], as_of=as_of)[host.pk]


def decode_report(body: bytes) -> Report:
    """Raises OutOfContract (422) for all that is wrong."""
    document, errors = decoded_object(body, _KINDS)
    # Agents from before there were versions do not name any.
    document.setdefault("policy", "")
    errors += [
        FieldError(None, "policy", reason) for reason in reasons(document, "policy", _POLICY)
    ]
    if not errors:
        errors = _text_errors(document)
    if errors:
        raise OutOfContract(errors)
    applied_at = utc_of(msgspec.convert(document["applied_at"], Instant))
    members = {name: document[name] for name in _KINDS if name != "applied_at"}
    return Report(applied_at=applied_at, policy=document["policy"], **members)


def _text_errors(document: dict[str, object]) -> list[FieldError]:
    """PostgreSQL's text and JSON hold no NUL, and a page shows no control characters."""
    probes = msgspec.convert(document["probes"], dict[str, str])
    errors = msgspec.convert(document["errors"], list[str])
    named = [(name, str(document[name])) for name in ("etag", "agent_version", "policy")]
    shown = [
        *named,
        *(("errors", text) for text in errors),
        *(("probes", t) for t in probes.values()),
    ]
    wrong = [
        FieldError(None, field, "holds control characters")
        for field, text in shown
        if text and not text.isprintable()
    ]
    wrong += [
        FieldError(None, "probes", "has a name that is none")
        for name in probes
        if not PROBE_NAME.match(name)
    ]
    return wrong


def note_applied(known: KnownHost, report: Report, *, skew_ms: int, as_of: datetime) -> None:
    """Keep a host's word and how far its clock is off, unless a later request was quicker."""
    with tenant_scope(known.tenant_id):
        host = Host.objects.select_for_update().get(pk=known.host_id)
        if AppliedState.objects.filter(host=host, reported_at__gt=as_of).exists():
            return
        AppliedState.objects.update_or_create(
            host=host,
            defaults={
                "etag": report.etag,
                "refused": report.refused,
                "agent_version": report.agent_version,
                "errors": report.errors,
                "probes": report.probes,
                "policy": report.policy,
                "applied_at": report.applied_at,
                "reported_at": as_of,
            },
        )
        host.clock_skew_ms = skew_ms
        host.save(update_fields=["clock_skew_ms"])


def is_too_old(version: str, desired: DesiredState) -> bool:
    """Whether an agent of this version is below the minimum."""
    wanted = desired.minimum_version
    return bool(wanted) and version_of(version) < version_of(wanted)
