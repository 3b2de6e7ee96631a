"""Usage of stretches of time, each a function of what lies in it: 5-minute buckets of samples,
hours of buckets, days of hours."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from hostmeter_agent.wire import METERS

from metering.models import Application, Instance, Role, not_stated
from tenants.models import Tenant, TenantOwned


class Rollup(models.Model):
    """One instance's usage over one 5-minute bucket, recomputed from its samples."""

    pk = models.CompositePrimaryKey("tenant", "application", "bucket_start", "instance", "role")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.PROTECT)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT)
    role = models.TextField(choices=Role.choices)
    bucket_start = models.DateTimeField()
    samples = models.IntegerField()
    window_us = models.BigIntegerField(help_text="The samples' windows added up.")
    covered_us = models.BigIntegerField(help_text="The measured part of those windows.")
    measurements = ArrayField(
        models.UUIDField(null=True),
        default=not_stated,
        help_text="The profiles of its samples; NULL among them for samples without one.",
    )
    more = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "metering_rollup"


class HourRollup(models.Model):
    """An application's rollups whose buckets start in one hour (UTC), all instances together. The
    database keeps it so: a trigger on rollups computes their hours anew, in the same statement."""

    pk = models.CompositePrimaryKey("tenant", "application", "bucket_start", "role")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.PROTECT)
    bucket_start = models.DateTimeField(help_text="The start of the hour.")
    role = models.TextField(choices=Role.choices)
    measurements = ArrayField(
        models.UUIDField(null=True),
        default=not_stated,
        help_text="Those of its rollups.",
    )
    instances = models.IntegerField(
        default=0, help_text="How many instances of a host have a window in it."
    )
    window_us = models.DecimalField(max_digits=30, decimal_places=0, default=0)
    covered_us = models.DecimalField(max_digits=30, decimal_places=0, default=0)
    more = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "metering_hourrollup"


class _Day(models.Model):
    """An application's hours of one day that were measured by the same profiles, so that whatever
    can be asked of hours by role and profile is answered by days alike. The database keeps it so: a
    trigger on hours computes their days anew, in the same statement."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    application = models.ForeignKey(Application, on_delete=models.PROTECT)
    bucket_start = models.DateTimeField(help_text="The start of the day.")
    role = models.TextField(choices=Role.choices)
    measurements = ArrayField(models.UUIDField(null=True), help_text="Those of each of its hours.")
    window_us = models.DecimalField(max_digits=30, decimal_places=0)
    covered_us = models.DecimalField(max_digits=30, decimal_places=0)
    more = models.JSONField(null=True)

    class Meta:
        abstract = True


class DayRollup(_Day):
    """A day of UTC."""

    pk = models.CompositePrimaryKey("tenant", "application", "bucket_start", "role", "measurements")

    class Meta:
        managed = False
        db_table = "metering_dayrollup"


class DayZone(TenantOwned):
    """A time zone, beside UTC, whose days the tenant keeps: one that its customers live in. Days of
    other zones are told by hours, which takes longer."""

    time_zone = models.CharField(max_length=64)
    filled_to = models.UUIDField(
        null=True, help_text="The last application, by id, whose days are all there."
    )
    ready = models.BooleanField(
        default=False, help_text="Whether every application's days are all there."
    )
    left_at = models.DateTimeField(
        null=True, help_text="Since when nobody is to read it: it ends some minutes later."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "time_zone"], name="day_zone_once")
        ]


class LocalDay(_Day):
    """A day of a zone that the tenant keeps, from the moment that there is its DayZone."""

    pk = models.CompositePrimaryKey(
        "tenant", "time_zone", "application", "bucket_start", "role", "measurements"
    )
    time_zone = models.TextField()

    class Meta:
        managed = False
        db_table = "metering_localday"


# Sums of 63-bit integers need more room than the integers.
for _meter in METERS:
    for _rollup in (Rollup, HourRollup, DayRollup, LocalDay):
        _rollup.add_to_class(
            _meter.column, models.DecimalField(max_digits=30, decimal_places=0, null=True)
        )
