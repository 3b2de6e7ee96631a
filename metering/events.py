"""CloudEvents are stored, each exactly once, with the marks for the roll-up in one transaction.

Inside a tenant's scope. What an event of a source says of an application counts on an instance
without a host, which has the source's name.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db import transaction

from metering.core.buckets import bucket_of
from metering.core.cloudevents import USAGE_TYPE, Parsed, RefusedEvent, UsageEvent
from metering.models import DirtyBucket
from metering.registration import application_ids, instance_ids
from metering.stated_models import Event
from tenants.models import Environment
from tenants.scope import current_tenant_id

Outcome = Literal["stored", "duplicate", "conflict", "refused"]
_Key = tuple[str, str]

_CONFLICT = "an event with this source and id says something else"


@dataclass(frozen=True, slots=True)
class EventResult:
    """What became of an event: `duplicate` was stored before just so; of `conflict` something else
    was stored under its source and id; `reason` says why it was not stored."""

    source: str | None
    id: str | None
    outcome: Outcome
    reason: str = ""


def store_events(parsed: Sequence[Parsed], *, as_of: datetime) -> list[EventResult]:
    """Store what core.cloudevents.parse_events() read, all in one transaction; a result for each
    event, in their order. One that is refused keeps no other from being stored."""
    with transaction.atomic():
        checked = _with_known_environments(parsed)
        known = _digests(event for event in checked if isinstance(event, UsageEvent))
        new: dict[_Key, UsageEvent] = {}
        for event in checked:
            if isinstance(event, UsageEvent) and (event.source, event.id) not in known:
                new.setdefault((event.source, event.id), event)
        stored = _store(list(new.values()), as_of)
        # Who stored the same event at the same time was first: what it said counts.
        known = _digests(new.values()) | known if len(stored) < len(new) else known
        return _results(checked, new, stored, known)


def _results(
    checked: Iterable[Parsed],
    new: dict[_Key, UsageEvent],
    stored: Collection[_Key],
    known: dict[_Key, bytes],
) -> list[EventResult]:
    results, told = [], set[_Key]()
    for event in checked:
        if isinstance(event, RefusedEvent):
            results.append(EventResult(event.source, event.id, "refused", event.reason))
            continue
        key = (event.source, event.id)
        if key in stored and key not in told and event is new[key]:
            told.add(key)
            results.append(EventResult(*key, "stored"))
        elif event.digest == (new[key].digest if key in stored else known[key]):
            results.append(EventResult(*key, "duplicate"))
        else:
            results.append(EventResult(*key, "conflict", _CONFLICT))
    return results


def _with_known_environments(parsed: Sequence[Parsed]) -> list[Parsed]:
    names = {event.environment for event in parsed if isinstance(event, UsageEvent)}
    known = set(Environment.objects.filter(name__in=names).values_list("name", flat=True))
    return [
        event
        if isinstance(event, RefusedEvent) or event.environment in known
        else RefusedEvent(event.source, event.id, "subject names no environment of yours")
        for event in parsed
    ]


def _digests(events: Iterable[UsageEvent]) -> dict[_Key, bytes]:
    """Of those that are stored."""
    keys = {(event.source, event.id) for event in events}
    rows = Event.objects.filter(
        source__in={source for source, _ in keys}, event_id__in={each for _, each in keys}
    ).values_list("source", "event_id", "digest")
    return {(source, each): bytes(digest) for source, each, digest in rows}


def _store(events: Sequence[UsageEvent], as_of: datetime) -> set[_Key]:
    """Store new events and mark their buckets; which of them nobody else has stored meanwhile."""
    if not events:
        return set()
    applications = _applications(events, as_of)
    instances = instance_ids(
        {(applications[event.subject], event.source) for event in events}, None, seen_at=as_of
    )
    rows = [
        _row(event, applications[event.subject], instances, as_of)
        for event in sorted(events, key=lambda each: (each.source, each.id))
    ]
    Event.objects.bulk_create(rows, ignore_conflicts=True)
    ours = set(
        Event.objects.filter(pk__in=[row.pk for row in rows]).values_list("source", "event_id")
    )
    mark_buckets(
        {
            (row.application_id, row.bucket_start)
            for row in rows
            if (row.source, row.event_id) in ours
        },
        of_host=False,
    )
    return ours


def _applications(events: Sequence[UsageEvent], as_of: datetime) -> dict[str, UUID]:
    """The application of each subject."""
    names = {event.environment for event in events}
    environments = dict(Environment.objects.filter(name__in=names).values_list("name", "pk"))
    ids = application_ids(
        {(environments[event.environment], event.application) for event in events},
        seen_at=as_of,
        used_from=min(bucket_of(event.time) for event in events),
    )
    return {
        event.subject: ids[environments[event.environment], event.application] for event in events
    }


def _row(
    event: UsageEvent,
    application_id: UUID,
    instances: dict[tuple[UUID, str], UUID],
    as_of: datetime,
) -> Event:
    return Event(
        source=event.source,
        event_id=event.id,
        type=USAGE_TYPE,
        subject=event.subject,
        time=event.time,
        bucket_start=bucket_of(event.time),
        application_id=application_id,
        instance_id=instances[application_id, event.source],
        meter=event.meter,
        quantity=event.quantity,
        data=dict(event.properties),
        digest=event.digest,
        received_at=as_of,
    )


def mark_buckets(pairs: Collection[tuple[UUID, datetime]], *, of_host: bool) -> None:
    """Have the rollups of these (application, bucket) pairs computed anew; `of_host` says whether
    those of hosts may be others, which are allocated anew then."""
    tenant_id = current_tenant_id()
    DirtyBucket.objects.bulk_create(
        [
            DirtyBucket(
                tenant_id=tenant_id,
                application_id=application_id,
                bucket_start=bucket,
                of_host=of_host,
            )
            for application_id, bucket in sorted(pairs)
        ],
        batch_size=10_000,
    )
