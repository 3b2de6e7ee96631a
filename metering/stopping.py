"""Where an application runs, and the commands with which a person stops it there. Nothing here is
run. Every query runs inside a tenant's scope."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from metering.control_models import AgentSettings
from metering.core.quality import profile_of
from metering.core.stopping import Stopping, stoppings
from metering.models import Application, Host, Measurement
from metering.rollup_models import Rollup

HOSTS_MAX: Final = 20
# What was metered on a host within so long is taken to run there.
RUNS: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OnHost:
    """The newest bucket metered there began at `seen_at`; without commands nothing can be
    stopped."""

    host: str
    seen_at: datetime
    commands: tuple[Stopping, ...]


@dataclass(frozen=True, slots=True)
class WhereItRuns:
    """By the host's name; `more`: whether there are further ones."""

    hosts: tuple[OnHost, ...]
    more: bool


def where_it_runs(application: Application, *, as_of: datetime) -> WhereItRuns:
    """The hosts that have metered it within RUNS, at most HOSTS_MAX."""
    newest = (
        Rollup.objects.filter(
            application=application,
            bucket_start__gte=as_of - RUNS,
            instance__host__retired_at__isnull=True,
            instance__host__isnull=False,
        )
        .order_by("instance__host__name", "instance__host", "-bucket_start")
        .distinct("instance__host__name", "instance__host")
    )
    rows = list(
        newest.values_list("instance__host", "bucket_start", "measurements")[: HOSTS_MAX + 1]
    )
    shown = rows[:HOSTS_MAX]
    hosts = Host.objects.in_bulk([row[0] for row in shown])
    in_cgroups = _in_cgroups({each for row in shown for each in row[2] if each is not None})
    settings = list(AgentSettings.objects.exclude(rules=[]))
    found = []
    for host_id, seen_at, measurements in shown:
        host = hosts[host_id]
        commands = stoppings(
            application.name,
            _rules(host, settings),
            in_cgroup=not in_cgroups.isdisjoint(measurements),
        )
        found.append(OnHost(host.name, seen_at, commands))
    return WhereItRuns(tuple(found), len(rows) > HOSTS_MAX)


def _in_cgroups(measurements: Collection[UUID]) -> set[UUID]:
    """Those profiles that say that CPU time was counted by a control group."""
    found = set()
    for pk, body in Measurement.objects.filter(pk__in=measurements).values_list("pk", "body"):
        measured = profile_of(body).of("cpu.time")
        if measured is not None and measured.method.startswith("cgroup-"):
            found.add(pk)
    return found


def _rules(host: Host, settings: Collection[AgentSettings]) -> list[dict[str, str]]:
    """As the host's agent goes by them: its own first, then its environment's, then all hosts'."""
    scopes = [(host.pk, None), (None, host.environment_id), (None, None)]
    return [
        rule
        for scope in scopes
        for each in settings
        if (each.host_id, each.environment_id) == scope
        for rule in each.rules
    ]
