"""Keeps what was over the limits of policies, a day at a time, and tells when it begins and ends.

A day is worked out anew from rollups each time it is looked at, so that what comes late, and what a
correction takes back, is in it, and looking twice changes nothing. Inside a tenant's scope.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max, Min
from hostmeter_agent.wire import BUCKET_SECONDS

from metering.assignments import running
from metering.breach_models import RULES, SPEND_TERMS, PolicyBreach
from metering.breach_telling import tell_breaches
from metering.core.limit_use import MEASURES, OF_THE_WHOLE
from metering.limit_use import denials
from metering.models import UNATTRIBUTED, Application, Assignment, Host
from metering.rollup_models import Rollup
from metering.sql import statement
from tenants.core.policies import version_for
from tenants.models import Policy
from tenants.policies_in_force import published_versions
from tenants.policy_models import PolicyVersion

# A breach goes on while the last bucket over it ended no longer ago; agents deliver every minute.
GOES_ON: Final = timedelta(minutes=30)
KEPT: Final = timedelta(days=400)
_BUCKET: Final = timedelta(seconds=BUCKET_SECONDS)
_OF_HOSTS: Final = tuple(term for term in MEASURES if term not in OF_THE_WHOLE)
_AT_ONCE: Final = 1_000
_FOLLOWS: Final = (
    "measured", "buckets_over", "first_over_at", "last_over_at", "standing", "told",
)  # fmt: skip


class _Key(NamedTuple):
    version_id: UUID
    term: str
    application_id: UUID
    host_id: UUID | None


@dataclass(frozen=True, slots=True)
class Over:
    """What was found of one key: the most that was measured (of rules nothing), in how many
    buckets, and when the first of them began and the last ended."""

    measured: int | None
    buckets: int
    first: datetime
    last: datetime


class _Judged(NamedTuple):
    """The versions that a day was judged by, and what was over."""

    by: Mapping[UUID, PolicyVersion]
    found: Mapping[_Key, Over]


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
    PolicyBreach.objects.filter(day__lt=as_of.date() - KEPT).delete()
    if start >= end:
        return 0
    kept = 0
    for policy_id in Policy.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            # Whoever looks at the same time waits, and then finds what is noticed already.
            Policy.objects.select_for_update(no_key=True).get(pk=policy_id)
            versions = published_versions([policy_id], as_of=end)[policy_id]
            kept += _keep(policy_id, day, _judged(policy_id, versions, start, end), as_of)
    return kept


def _judged(
    policy_id: UUID, versions: Sequence[PolicyVersion], start: datetime, end: datetime
) -> _Judged:
    whole = version_for(versions, None, as_of=end)
    hosts = {
        pk: version
        for pk in Host.objects.values_list("pk", flat=True)
        if (version := version_for(versions, pk, as_of=end)) is not None
    }
    by = {each.pk: each for each in (*hosts.values(), *((whole,) if whole else ()))}
    if not by:
        return _Judged(by, {})
    applications = {
        each.pk: each
        for each in Application.objects.select_related("environment").filter(
            environment__policy=policy_id
        )
        if each.name != UNATTRIBUTED
    }
    found: dict[_Key, Over] = {}
    ids = sorted(applications)
    for at in range(0, len(ids), _AT_ONCE):
        found |= _over(ids[at : at + _AT_ONCE], hosts, whole, start, end)
    if whole is not None:
        found |= _against_rules(list(applications.values()), whole, start, end)
    return _Judged(by, found)


def _over(
    applications: Collection[UUID],
    hosts: Mapping[UUID, PolicyVersion],
    whole: PolicyVersion | None,
    start: datetime,
    end: datetime,
) -> dict[_Key, Over]:
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
            key = _Key(version.pk, term, application_id, host_id)
            found[key] = Over(most, buckets, first, last + _BUCKET)
    return found


def _against_rules(
    applications: Sequence[Application], version: PolicyVersion, start: datetime, end: datetime
) -> dict[_Key, Over]:
    denied = [each.application_id for each in denials(applications, version, end)]
    since = max(start, version.effective_from or start)
    ran = (
        Rollup.objects.filter(application__in=denied, bucket_start__gte=since, bucket_start__lt=end)
        .order_by()
        .values_list("application")
        .annotate(Count("bucket_start", distinct=True), Min("bucket_start"), Max("bucket_start"))
    )
    return {
        _Key(version.pk, RULES, pk, None): Over(None, buckets, first, last + _BUCKET)
        for pk, buckets, first, last in ran
    }


def _keep(policy_id: UUID, day: date, judged: _Judged, as_of: datetime) -> int:
    stored = PolicyBreach.objects.filter(day=day, version__policy=policy_id)
    before = {
        _Key(each.version_id, each.term, each.application_id, each.host_id): each  # type: ignore[arg-type]
        for each in stored.exclude(term__in=SPEND_TERMS)
    }
    was_standing = {each.pk for each in before.values() if each.standing}
    made = _made([key for key in judged.found if key not in before], day, judged, as_of)
    rows = before | made
    for key, row in rows.items():
        _follow(row, judged.found.get(key), as_of, began=row.pk not in was_standing)
    PolicyBreach.objects.bulk_create(made.values())
    PolicyBreach.objects.bulk_update(before.values(), _FOLLOWS, batch_size=_AT_ONCE)
    tell_breaches(rows.values(), was_standing, as_of=as_of)
    # What a version that no longer holds has found of the day stays.
    gone = [row.pk for key, row in before.items() if key not in judged.found
            and key.version_id in judged.by]  # fmt: skip
    PolicyBreach.objects.filter(pk__in=gone).delete()
    return len(judged.found)


def _made(
    keys: Collection[_Key], day: date, judged: _Judged, as_of: datetime
) -> dict[_Key, PolicyBreach]:
    chosen = {key.application_id for key in keys}
    applications = Application.objects.in_bulk(chosen)
    billed = dict(
        Assignment.objects.filter(running(as_of), application__in=chosen).values_list(
            "application", "customer"
        )
    )
    return {
        key: PolicyBreach(
            version=judged.by[key.version_id],
            term=key.term,
            day=day,
            environment_id=applications[key.application_id].environment_id,
            application=applications[key.application_id],
            host_id=key.host_id,
            customer_id=billed.get(key.application_id),
            limit=_limit(judged.by[key.version_id], key.term),
            noticed_at=as_of,
        )
        for key in keys
    }


def _limit(version: PolicyVersion, term: str) -> Decimal | None:
    return None if term == RULES else Decimal(getattr(version, term))


def _follow(row: PolicyBreach, over: Over | None, as_of: datetime, *, began: bool) -> None:
    """Give the row what was found of it now; a breach that begins is told once."""
    if over is None:
        row.standing = False
        return
    row.measured = None if over.measured is None else Decimal(over.measured)
    row.buckets_over, row.first_over_at, row.last_over_at = over.buckets, over.first, over.last
    row.standing = as_of - over.last <= GOES_ON
    row.told += row.standing and began
