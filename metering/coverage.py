"""Time in which usage was expected of silent hosts, who say nothing of it themselves. Every query
runs inside a tenant's scope. What hosts say of their gaps stands in gaps.py.

Usage is expected up to the newest usage that any of the tenant's hosts has delivered: what none
knows yet is no gap.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max, Q

from metering.core.buckets import bucket_of
from metering.models import Host, Instance
from metering.one_of import OneOf
from metering.rollup_models import Rollup
from metering.usage_rows import UsagePeriod


@dataclass(frozen=True, slots=True)
class Silence:
    """An instance that ran when its host was last heard of, and the time [start, end) since then,
    up to the end of the application's period or the host's retirement."""

    application_id: UUID
    instance_id: UUID
    role: str
    host: str
    start: datetime
    end: datetime

    @property
    def length_us(self) -> int:
        return (self.end - self.start) // timedelta.resolution


def silences_in(periods: Sequence[UsagePeriod]) -> list[Silence]:
    """The silences that end the applications' usage in their periods."""
    if not periods:
        return []
    last = max(period.end for period in periods)
    silent = _instances_of_silent_hosts(periods, last)
    if not silent:
        return []
    known_to = Host.objects.aggregate(known_to=Max("last_window_end"))["known_to"]
    roles = _roles_at_the_end(silent)
    periods_of: defaultdict[UUID, list[UsagePeriod]] = defaultdict(list)
    for period in periods:
        periods_of[period.application_id].append(period)
    silences = []
    for instance_id, (application_id, host, start, retired_at) in silent.items():
        for period in periods_of[application_id]:
            end = min(period.end, known_to, retired_at or period.end)
            inside = period.start <= start < end
            for role in roles.get(instance_id, ()) if inside else ():
                silences.append(Silence(application_id, instance_id, role, host, start, end))
    return silences


# Its application, its host's name, up to when its usage is known and when the host was retired.
_Silent = tuple[UUID, str, datetime, datetime | None]


def _instances_of_silent_hosts(
    periods: Sequence[UsagePeriod], end: datetime
) -> dict[UUID, _Silent]:
    rows = Instance.objects.filter(
        Q(host__retired_at__isnull=True) | Q(host__retired_at__gt=min(p.start for p in periods)),
        OneOf("application_id", {period.application_id for period in periods}),
        host__last_window_end__lt=end,
        host__last_window_end__gt=min(period.start for period in periods),
        host__generated=False,
    ).values_list("id", "application_id", "host__name", "host__last_window_end", "host__retired_at")
    return {pk: tuple(rest) for pk, *rest in rows}  # type: ignore[misc]


def _roles_at_the_end(silent: dict[UUID, _Silent]) -> dict[UUID, list[str]]:
    """The roles that each instance had in the bucket in which its host's usage ends; an instance
    that has none there had stopped before."""
    ends = {
        instance_id: bucket_of(start - timedelta.resolution)
        for instance_id, (_, _, start, _) in silent.items()
    }
    rows = Rollup.objects.filter(
        application_id__in={application_id for application_id, *_ in silent.values()},
        bucket_start__in=set(ends.values()),
        instance_id__in=list(ends),
    ).values_list("instance_id", "bucket_start", "role")
    roles: dict[UUID, list[str]] = {}
    for instance_id, bucket, role in rows:
        if ends[instance_id] == bucket:
            roles.setdefault(instance_id, []).append(role)
    return roles
