"""What is posted of hosts' allocated hours, as events: read and made. Inside a tenant's scope."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Count, Sum
from hostmeter_agent.wire import NAME_LENGTH_MAX, VALUE_MAX

from metering.allocation import capacity_of, owners_of
from metering.core.allocation import HostAllocation
from metering.core.cloudevents import ALLOCATED_TYPE, ALLOCATION_SOURCE, Property, said_digest
from metering.core.hours import HOUR, hour_of
from metering.core.posting import Place, Posted, Posting, allocated_meter
from metering.models import Application, Host, Instance
from metering.registration import InstanceKey, instance_ids
from metering.sql import statement
from metering.stated_models import AllocationRule, Event

# The name of an instance that allocated parts stand on, before the host's.
ALLOCATED_FROM: Final = "allocated from "

_MICROSECOND: Final = timedelta.resolution
_HOUR_US: Final = HOUR // _MICROSECOND

# A host's id and a meter that is spread.
HostMeter = tuple[UUID, str]


class AllocationTooLarge(ValueError):
    """A part of a host's hour is more than usage can hold: see what it sent, and its memory."""


@dataclass(slots=True)
class PostedHour:
    """All that is posted of a host's hour, with the rule and the capacity that held when it was
    posted first. `instances` are those that applications' parts stand on."""

    rule_id: UUID
    capacity: int | None
    places: dict[Place, Posted] = field(default_factory=dict)
    instances: dict[UUID, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HourPostings:
    """What is to be posted of a host's hour, and what it follows from."""

    host: Host
    meter: str
    hour: datetime
    rule: AllocationRule
    capacity: int | None
    found: HostAllocation
    changes: list[Posting]
    instances: Mapping[UUID, UUID]


def require_postable(changes: Iterable[Posting]) -> None:
    """Raises AllocationTooLarge."""
    for each in changes:
        if abs(each.quantity) > VALUE_MAX:
            raise AllocationTooLarge(
                f"{each.quantity} is more than usage can hold; see the memory that is stated for "
                "the host, and correct what it sent"
            )


def posted_in(hour: datetime) -> dict[HostMeter, PostedHour]:
    """What is posted of the hour, by host and meter."""
    rows = (
        Event.objects.filter(
            type=ALLOCATED_TYPE, bucket_start__gte=hour, bucket_start__lt=hour + HOUR
        )
        .order_by()
        .values_list(
            *("source", "application_id", "bucket_start", "instance_id"),
            *("data__of", "data__rule_id", "data__capacity"),
        )
        .annotate(quantity=Sum("quantity"), postings=Count("pk"))
    )
    found: dict[HostMeter, PostedHour] = {}
    for source, application_id, bucket, instance_id, meter, rule_id, capacity, *sums in rows:
        key = UUID(source.removeprefix(ALLOCATION_SOURCE)), meter
        own = found.setdefault(key, PostedHour(UUID(rule_id), capacity))
        own.places[application_id, bucket.astimezone(UTC)] = Posted(int(sums[0]), sums[1])
        own.instances[application_id] = instance_id
    return found


def post(hours: Iterable[HourPostings], as_of: datetime) -> list[Place]:
    """Post them, which `require_postable` has let pass; the place of each posting."""
    made = [(hour, each) for hour in hours for each in hour.changes]
    if not made:
        return []
    applications = _subjects({each.application_id for _, each in made})
    instances = _instances(made, as_of)
    columns: defaultdict[str, list[object]] = defaultdict(list)
    for hour, each in made:
        instance_id = hour.instances.get(each.application_id) or instances[_instance(hour, each)]
        row = _row(hour, each, applications[each.application_id], instance_id)
        for name, value in row.items():
            columns[name].append(value)
    with connection.cursor() as cursor:
        cursor.execute(
            statement("insert_allocated_events"),
            {**columns, "type": ALLOCATED_TYPE, "received_at": as_of},
        )
    return [(each.application_id, each.bucket_start) for _, each in made]


def _subjects(application_ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    rows = Application.objects.filter(pk__in=application_ids).values_list(
        "pk", "environment__name", "name"
    )
    return {pk: (environment, name) for pk, environment, name in rows}


def _instance(hour: HourPostings, posting: Posting) -> InstanceKey:
    return posting.application_id, f"{ALLOCATED_FROM}{hour.host.name}"[:NAME_LENGTH_MAX]


def _instances(
    made: Sequence[tuple[HourPostings, Posting]], as_of: datetime
) -> dict[InstanceKey, UUID]:
    """Of the parts that stand on none yet. A host may be renamed: what is posted of an hour goes on
    to stand where it stood."""
    wanted = {_instance(*each) for each in made if each[1].application_id not in each[0].instances}
    known = Instance.objects.filter(
        host__isnull=True,
        application_id__in={application_id for application_id, _ in wanted},
        name__in={name for _, name in wanted},
    ).values_list("application_id", "name", "pk")
    found = {(application_id, name): pk for application_id, name, pk in known}
    missing = wanted - found.keys()
    return found | (instance_ids(missing, None, seen_at=as_of) if missing else {})


def _row(
    hour: HourPostings, posting: Posting, subject: tuple[str, str], instance_id: UUID
) -> dict[str, object]:
    data, meter, bucket = _data(hour, posting), allocated_meter(hour.meter), posting.bucket_start
    return {
        "source": f"{ALLOCATION_SOURCE}{hour.host.pk}",
        "event_id": _event_id(hour, posting),
        "subject": "/".join(subject),
        "bucket_start": bucket,
        "application_id": posting.application_id,
        "instance_id": instance_id,
        "meter": meter,
        "quantity": posting.quantity,
        "data": json.dumps(data),
        "digest": said_digest(ALLOCATED_TYPE, subject, bucket, meter, posting.quantity, data),
    }


def _event_id(hour: HourPostings, posting: Posting) -> str:
    """The same for the same posting, whoever makes it."""
    return (
        f"{hour.meter} {hour.hour:%Y-%m-%dT%HZ} {posting.application_id} "
        f"{posting.bucket_start:%H:%M} {posting.revision}"
    )


def _data(hour: HourPostings, posting: Posting) -> dict[str, Property]:
    """All that it takes to redo the posting by hand, in the meter's unit."""
    part, found = posting.part, hour.found
    return {
        "host": hour.host.name,
        "hour": f"{hour.hour:%Y-%m-%dT%H:%MZ}",
        "of": hour.meter,
        "rule": hour.rule.spread,
        "rule_id": str(hour.rule.pk),
        "capacity": hour.capacity,
        "host_used": found.used,
        "host_unattributed": found.unattributed,
        "host_idle": found.idle,
        "host_weight": found.weight,
        "own": 0 if part is None else part.share.own,
        "weight": 0 if part is None else part.weight,
        "weight_before": 0 if part is None else part.weight_before,
        "idle": 0 if part is None else part.idle,
        "unattributed": 0 if part is None else part.unattributed,
        "posted_before": posting.before,
        "revision": posting.revision,
    }


def capacity_over(host: Host, meter: str, start: datetime, end: datetime) -> int | None:
    """What the host could do of the meter in [start, end): in each posted hour by the capacity with
    which it was posted first, else by what it states now; None where that is not known."""
    now = capacity_of(host, meter, HOUR)
    rows = (
        Event.objects.filter(
            type=ALLOCATED_TYPE,
            source=f"{ALLOCATION_SOURCE}{host.pk}",
            meter=allocated_meter(meter),
            application__in=Instance.objects.filter(host=host).values("application_id"),
            bucket_start__gte=hour_of(start),
            bucket_start__lt=end,
        )
        .order_by()
        .values_list("bucket_start", "data__capacity")
        .distinct()
    )
    stated = {hour_of(bucket): capacity for bucket, capacity in rows if capacity is not None}
    whole, rest_us = 0, (end - start) // _MICROSECOND
    for hour, capacity in stated.items():
        inside_us = (min(end, hour + HOUR) - max(start, hour)) // _MICROSECOND
        whole += capacity * inside_us // _HOUR_US
        rest_us -= inside_us
    if not rest_us:
        return whole
    return None if now is None else whole + now * rest_us // _HOUR_US


def spread_from(
    host: Host, meter: str, start: datetime, end: datetime
) -> dict[tuple[UUID, UUID | None], int]:
    """What was spread of the host's usage of the meter in [start, end), by application and the
    customer whose it was."""
    own = Instance.objects.filter(host=host).values("application_id")
    rows = (
        Event.objects.filter(
            type=ALLOCATED_TYPE,
            source=f"{ALLOCATION_SOURCE}{host.pk}",
            meter=allocated_meter(meter),
            application__in=own,
            bucket_start__gte=start,
            bucket_start__lt=end,
        )
        .order_by()
        .values_list("application_id", "bucket_start")
        .annotate(quantity=Sum("quantity"))
    )
    found = list(rows)
    owners = owners_of({application_id for application_id, _, _ in found})
    spread: defaultdict[tuple[UUID, UUID | None], int] = defaultdict(int)
    for application_id, bucket, quantity in found:
        spread[application_id, owners.of(application_id, bucket)] += int(quantity)
    return dict(spread)
