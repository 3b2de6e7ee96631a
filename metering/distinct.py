"""How many different values a property of usage has. Every query runs inside a tenant's scope.

The property is `instance`, `host` or `environment`, of whatever used some of the meter; or the name
of a property in the data of the meter's events, whose values are compared as text.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform

from metering.models import Role
from metering.rollup_models import Rollup
from metering.stated_models import Correction, Event
from metering.usage import quantity_of
from metering.usage_rows import UsagePeriod

_OF_ROLLUPS: Final = {
    "instance": "instance_id",
    "host": "instance__host_id",
    "environment": "application__environment_id",
}


@dataclass(frozen=True, slots=True)
class DistinctValue:
    """One value that an application's instance in a role has."""

    application_id: UUID
    instance_id: UUID
    role: str
    value: str


def distinct_values(
    periods: Sequence[UsagePeriod], meter: str, name: str, *, without: Collection[UUID] = ()
) -> set[DistinctValue]:
    """Every value of the property `name`; usage with one of the profiles `without` is left out."""
    if not periods:
        return set()
    column = _OF_ROLLUPS.get(name)
    if column is None:
        return _of_events(periods, meter, name)
    rows = Rollup.objects.order_by().filter(_within(periods)).annotate(used=quantity_of(meter))
    if without:
        rows = rows.exclude(measurements__overlap=list(without))
    found = rows.filter(used__gt=0).values_list("application_id", "instance_id", "role", column)
    return {
        DistinctValue(application_id, instance_id, role, str(value))
        for application_id, instance_id, role, value in found.distinct()
        if value is not None
    }


def _within(periods: Sequence[UsagePeriod]) -> Q:
    wanted = Q()
    for period in periods:
        wanted |= Q(
            application_id=period.application_id,
            bucket_start__gte=period.start,
            bucket_start__lt=period.end,
        )
    return wanted


def _of_events(periods: Sequence[UsagePeriod], meter: str, name: str) -> set[DistinctValue]:
    deleted = Correction.objects.filter(
        Q(meters__isnull=True) | Q(meters__contains=[meter]),
        Q(instance__isnull=True) | Q(instance_id=OuterRef("instance_id")),
        kind=Correction.Kind.DELETE,
        application_id=OuterRef("application_id"),
        starts_at__lte=OuterRef("bucket_start"),
        ends_at__gt=OuterRef("bucket_start"),
    )
    rows = Event.objects.filter(_within(periods), ~Exists(deleted), meter=meter)
    valued = rows.annotate(value=KeyTextTransform(name, "data"))
    found = valued.filter(value__isnull=False).values_list("application_id", "instance_id", "value")
    return {
        DistinctValue(application_id, instance_id, Role.PRIMARY, value)
        for application_id, instance_id, value in found.distinct()
    }
