"""Keeps what was over the limits of policies, a day at a time, and tells when it begins and ends.

A day is worked out anew from rollups each time it is looked at, so that what comes late, and what a
correction takes back, is in it, and looking twice changes nothing. Inside a tenant's scope.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max, Min
from hostmeter_agent.wire import BUCKET_SECONDS

from metering.breach_models import RULES, PolicyBreach
from metering.breach_rows import Judged, Key, Over, keep_day
from metering.core.limit_use import MEASURES, OF_THE_WHOLE
from metering.limit_use import denials
from metering.models import UNATTRIBUTED, Application, Host
from metering.rollup_models import Rollup
from metering.sql import statement
from tenants.core.policies import version_for
from tenants.models import Policy
from tenants.policies_in_force import published_versions
from tenants.policy_models import PolicyVersion

KEPT: Final = timedelta(days=400)
_BUCKET: Final = timedelta(seconds=BUCKET_SECONDS)
_OF_HOSTS: Final = tuple(term for term in MEASURES if term not in OF_THE_WHOLE)
_AT_ONCE: Final = 1_000


def days_to_watch(as_of: datetime) -> list[date]:
    """The day in UTC, and, at the first look of an hour, yesterday and one of the six days before:
    over a day each of them comes up again and again, so what is delivered late is found."""
    now = as_of.astimezone(UTC)
    days = [now.date()]
    if now.minute < 10:
        days += [now.date() - timedelta(days=back) for back in (1, 2 + now.hour % 6)]
    return days


def watch_limits(day: date, *, as_of: datetime) -> int:
    """Bring the breaches of a day in UTC up to date; how many there are. Judged by the versions
    that hold at its end, from when on they do."""
    start = datetime.combine(day, time.min, UTC)
    end = min(start + timedelta(days=1), as_of)
    PolicyBreach.objects.filter(last_over_at__lt=as_of - KEPT).delete()
    if start >= end:
        return 0
    kept = 0
    for policy_id in Policy.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            # Whoever looks at the same time waits, and then finds what is noticed already.
            Policy.objects.select_for_update(no_key=True).get(pk=policy_id)
            judged = _judged(policy_id, _in_force(policy_id, end), start, end)
            holding = judged.by if end == as_of else _in_force(policy_id, as_of).by
            keep_day(policy_id, day, judged, holding=set(holding), as_of=as_of)
            kept += len(judged.found)
    return kept


class _InForce(NamedTuple):
    """The version that holds for all hosts, and that of each host."""

    whole: PolicyVersion | None
    hosts: Mapping[UUID, PolicyVersion]

    @property
    def by(self) -> dict[UUID, PolicyVersion]:
        return {each.pk: each for each in (*self.hosts.values(), self.whole) if each is not None}


def _in_force(policy_id: UUID, at: datetime) -> _InForce:
    versions = published_versions([policy_id], as_of=at)[policy_id]
    hosts = {
        pk: version
        for pk in Host.objects.values_list("pk", flat=True)
        if (version := version_for(versions, pk, as_of=at)) is not None
    }
    return _InForce(version_for(versions, None, as_of=at), hosts)


def _judged(policy_id: UUID, in_force: _InForce, start: datetime, end: datetime) -> Judged:
    whole, hosts, by = in_force.whole, in_force.hosts, in_force.by
    if not by:
        return Judged(by, {})
    applications = {
        each.pk: each
        for each in Application.objects.select_related("environment").filter(
            environment__policy=policy_id
        )
        if each.name != UNATTRIBUTED
    }
    found: dict[Key, Over] = {}
    ids = sorted(applications)
    for at in range(0, len(ids), _AT_ONCE):
        found |= _over(ids[at : at + _AT_ONCE], hosts, whole, start, end)
    if whole is not None:
        found |= _against_rules(list(applications.values()), whole, start, end)
    return Judged(by, found)


def _over(
    applications: Collection[UUID],
    hosts: Mapping[UUID, PolicyVersion],
    whole: PolicyVersion | None,
    start: datetime,
    end: datetime,
) -> dict[Key, Over]:
    limited = {
        pk: version
        for pk, version in hosts.items()
        if any(getattr(version, term) is not None for term in _OF_HOSTS)
    }
    users_max = None if whole is None else whole.users_max
    if not limited and users_max is None:
        return {}
    parameters: dict[str, Any] = {
        "applications": list(applications),
        "start": start,
        "end": end,
        "hosts": list(limited),
        "since": [version.effective_from for version in limited.values()],
        **{term: [getattr(each, term) for each in limited.values()] for term in _OF_HOSTS},
        "users_max": users_max,
        "users_since": start if whole is None else whole.effective_from,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("limit_breaches"), parameters)
        rows = cursor.fetchall()
    found = {}
    for application_id, host_id, term, most, buckets, first, last in rows:
        version = whole if host_id is None else hosts[host_id]
        if version is not None:
            key = Key(version.pk, term, application_id, host_id)
            found[key] = Over(most, buckets, first, last + _BUCKET)
    return found


def _against_rules(
    applications: Sequence[Application], version: PolicyVersion, start: datetime, end: datetime
) -> dict[Key, Over]:
    denied = [each.application_id for each in denials(applications, version, end)]
    since = max(start, version.effective_from or start)
    ran = (
        Rollup.objects.filter(application__in=denied, bucket_start__gte=since, bucket_start__lt=end)
        .order_by()
        .values_list("application")
        .annotate(Count("bucket_start", distinct=True), Min("bucket_start"), Max("bucket_start"))
    )
    return {
        Key(version.pk, RULES, pk, None): Over(None, buckets, first, last + _BUCKET)
        for pk, buckets, first, last in ran
    }
