"""What a host is to do, read from the settings, and what it says that it does."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from hostmeter_agent.wire_control import (
    ERRORS_MAX,
    PROBE_NAME,
    PROBES_MAX,
    TEXT_LENGTH_MAX,
    interval_reason,
    version_of,
)

from metering.control_models import AgentSettings, AppliedState
from metering.core.desired_state import DesiredState, Layer, desired_state
from metering.known_hosts import KnownHost
from metering.models import Host, HostEnvironment
from metering.wire_errors import FieldError, OutOfContract, decoded_object
from metering.wire_values import Instant, utc_of
from tenants.models import Environment
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


@dataclass(frozen=True, slots=True)
class Report:
    """A host's word on the state it fetched last."""

    etag: str
    refused: bool
    agent_version: str
    errors: list[str]
    probes: dict[str, str]
    applied_at: datetime


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


def _policy_layer(environment: Environment) -> Layer:
    """An environment's policy may name an interval that no agent takes: that is left out."""
    seconds = environment.policy.scrape_interval_seconds if environment.policy else None
    return Layer(scrape_interval_seconds=None if interval_reason(seconds) else seconds)


def desired_states(hosts: list[Host]) -> dict[UUID, DesiredState]:
    """What each of some hosts, with environment and policy, is to do. Inside their tenant."""
    more: dict[UUID, list[str]] = {host.pk: [] for host in hosts}
    rows = HostEnvironment.objects.filter(host__in=hosts).order_by("environment__name")
    for host_id, name in rows.values_list("host_id", "environment__name"):
        more[host_id].append(name)
    settings = list(AgentSettings.objects.all())
    return {host.pk: _state_of(host, more[host.pk], settings) for host in hosts}


def _state_of(host: Host, more: list[str], settings: list[AgentSettings]) -> DesiredState:
    def of(host_id: UUID | None, environment_id: UUID | None) -> list[Layer]:
        wanted = (host_id, environment_id)
        return [_layer(row) for row in settings if (row.host_id, row.environment_id) == wanted]

    layers = [*of(host.pk, None), *of(None, host.environment_id), *of(None, None)]
    return desired_state([host.environment.name, *more], [*layers, _policy_layer(host.environment)])


def desired_state_for(known: KnownHost) -> DesiredState:
    """What the host is to do, now."""
    with tenant_scope(known.tenant_id):
        host = Host.objects.select_related("environment__policy").get(pk=known.host_id)
        return desired_states([host])[host.pk]


def decode_report(body: bytes) -> Report:
    """Raises OutOfContract (422) for all that is wrong."""
    document, errors = decoded_object(body, _KINDS)
    if not errors:
        errors = _text_errors(document)
    if errors:
        raise OutOfContract(errors)
    applied_at = utc_of(msgspec.convert(document["applied_at"], Instant))
    members = {name: document[name] for name in _KINDS if name != "applied_at"}
    return Report(applied_at=applied_at, **members)


def _text_errors(document: dict[str, object]) -> list[FieldError]:
    """PostgreSQL's text and JSON hold no NUL, and a page shows no control characters."""
    probes = msgspec.convert(document["probes"], dict[str, str])
    errors = msgspec.convert(document["errors"], list[str])
    named = [("etag", str(document["etag"])), ("agent_version", str(document["agent_version"]))]
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
