"""Which time zones' days of usage a tenant keeps, beside UTC's: those that most of its customers
live in. Usage by local day is read from them: a twenty-fourth of the rows that hours are.

The database keeps the days of each DayZone up to date from the moment that there is one (migration
0018). What was there before is filled in here, an application at a time, under the lock that
whoever rolls it up takes; so no hour falls between the two. Readers use a zone while it is ready
and not left.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Count

from metering.core.hours import has_days_of_hours
from metering.models import Application
from metering.rollup_models import DayZone, LocalDay
from metering.usage_rows import DAYS_OF_UTC
from tenants.models import Customer
from tenants.scope import tenant_scope

# Each is written at every change of usage, so they are few.
ZONES_MAX: Final = 3
# Whoever has just looked which zones there are still finds their days.
_STAYS: Final = timedelta(minutes=5)
_ROWS_AT_ONCE: Final = 20_000


def keep_local_days(tenant_id: UUID, *, as_of: datetime) -> int:
    """Bring the tenant's zones up to date with its customers, and fill in what is missing; of how
    many applications. Any number of workers may do so at once, and be killed: each application is a
    transaction of its own."""
    with tenant_scope(tenant_id):
        _choose(as_of)
        missing = list(DayZone.objects.filter(ready=False).values_list("pk", flat=True))
    _forget_others(tenant_id)
    filled = 0
    for zone_id in missing:
        while _fill_next(tenant_id, zone_id):
            filled += 1
    return filled


def _choose(as_of: datetime) -> None:
    """The zones of the most customers; where as many live in two, the one that is kept already.
    Others are left, and end some minutes later."""
    zones = DayZone.objects
    zones.filter(left_at__lt=as_of - _STAYS).delete()
    kept = set(zones.filter(left_at=None).values_list("time_zone", flat=True))
    lived_in = dict(Customer.objects.order_by().values_list("time_zone").annotate(Count("pk")))
    fitting = [zone for zone in lived_in if zone != DAYS_OF_UTC.key and has_days_of_hours(zone)]
    wanted = sorted(fitting, key=lambda zone: (-lived_in[zone], zone not in kept, zone))[:ZONES_MAX]
    zones.filter(left_at=None).exclude(time_zone__in=wanted).update(left_at=as_of)
    for zone in wanted:
        zones.update_or_create(time_zone=zone, defaults={"left_at": None})


def _forget_others(tenant_id: UUID) -> None:
    """Delete the days of zones that have ended."""
    with tenant_scope(tenant_id):
        kept = set(DayZone.objects.values_list("time_zone", flat=True))
        others = [zone for zone in _zones_with_days() if zone not in kept]
    for zone in others:
        deleted = _ROWS_AT_ONCE
        while deleted == _ROWS_AT_ONCE:
            with tenant_scope(tenant_id), connection.cursor() as cursor:
                cursor.execute(_FORGET, [zone, _ROWS_AT_ONCE])
                deleted = cursor.rowcount


# Asked once more: the zone may have come back since.
_FORGET: Final = """
DELETE FROM metering_localday WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM metering_localday AS day
    WHERE time_zone = %s AND NOT EXISTS (
        SELECT FROM metering_dayzone AS zone WHERE zone.time_zone = day.time_zone
    )
    LIMIT %s
))
"""


def _zones_with_days() -> Iterator[str]:
    """From one to the next by the key, which begins with them."""
    days = LocalDay.objects.order_by("time_zone").values_list("time_zone", flat=True)
    zone = days.first()
    while zone is not None:
        yield zone
        zone = days.filter(time_zone__gt=zone).first()


def _fill_next(tenant_id: UUID, zone_id: UUID) -> bool:
    """Fill in one more application; whether there was one. After the last the zone is ready."""
    with tenant_scope(tenant_id):
        zone = DayZone.objects.select_for_update().filter(pk=zone_id, ready=False).first()
        if zone is None:
            return False
        rest = Application.objects.order_by("pk").select_for_update(no_key=True)
        if zone.filled_to is not None:
            rest = rest.filter(pk__gt=zone.filled_to)
        application = rest.first()
        if application is None:
            zone.ready = True
        else:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT metering_fill_local_days(%s, %s, %s)",
                    [tenant_id, application.pk, zone.time_zone],
                )
            zone.filled_to = application.pk
        zone.save(update_fields=["filled_to", "ready"])
    return application is not None
