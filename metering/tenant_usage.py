"""A tenant's figures for the installation's owner, counted inside the tenant."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Max, Sum

from metering.host_limit import hosts_in_service
from metering.models import Application, DirtyBucket, Host
from metering.queries import completeness
from tenants.models import Tenant
from tenants.scope import current_tenant_id
from tenants.usage_models import TenantUsage

_WAITING_MAX: Final = 10_000
# Before the database has counted its rows.
_SAMPLE_BYTES: Final = 400


def note_usage(*, as_of: datetime, open_jobs: int) -> TenantUsage:
    """Count the day's figures anew; the same call again writes the same. Inside the tenant."""
    hosts = Host.objects.aggregate(samples=Sum("samples_stored"), last=Max("last_seen_at"))
    samples = int(hosts["samples"] or 0)
    before = TenantUsage.objects.filter(counted_at__lt=as_of).order_by("-counted_at").first()
    noted, _ = TenantUsage.objects.update_or_create(
        day=as_of.astimezone(UTC).date(),
        defaults={
            "counted_at": as_of,
            "hosts": hosts_in_service(),
            "late_hosts": len(completeness(as_of).silent_hosts),
            "applications": Application.objects.count(),
            "samples": samples,
            "samples_per_minute": _per_minute(samples, before, as_of),
            "storage_bytes": _kept_samples(samples, as_of) * _sample_bytes(),
            "last_batch_at": hosts["last"],
            "waiting_buckets": len(DirtyBucket.objects.values_list("id")[:_WAITING_MAX]),
            "open_jobs": open_jobs,
        },
    )
    return noted


def retention_days(tenant: Tenant) -> int:
    """How long the tenant's samples are kept: never longer than the installation keeps any."""
    own = tenant.retention_days
    kept: int = settings.SAMPLE_RETENTION_DAYS
    return kept if own is None else min(own, kept)


def prune_samples(*, as_of: datetime) -> int:
    """Delete the tenant's samples of whole months that are past its own retention; how many. What
    the installation's retention ends is dropped with its partition. Inside the tenant."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    days = retention_days(tenant)
    if days == settings.SAMPLE_RETENTION_DAYS:
        return 0
    oldest = (as_of - timedelta(days=days)).astimezone(UTC)
    month = oldest.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM metering_sample WHERE tenant_id = %s AND window_start < %s",
            [tenant.pk, month],
        )
        return int(cursor.rowcount)


def _per_minute(samples: int, before: TenantUsage | None, as_of: datetime) -> int:
    if before is None:
        return 0
    seconds = max(int((as_of - before.counted_at).total_seconds()), 1)
    return max(samples - before.samples, 0) * 60 // seconds


def _kept_samples(samples: int, as_of: datetime) -> int:
    """Those that the retention has not ended."""
    kept_from = as_of - timedelta(days=retention_days(Tenant.objects.get(pk=current_tenant_id())))
    ended = (
        TenantUsage.objects.filter(day__lt=kept_from.astimezone(UTC).date())
        .order_by("-day")
        .values_list("samples", flat=True)
        .first()
    )
    return max(samples - (ended or 0), 0)


def _sample_bytes() -> int:
    """What a sample takes on the disk with its indexes, on average over the installation."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(c.oid)), sum(greatest(c.reltuples, 0)) "
            "FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "WHERE inhparent = 'metering_sample_store'::regclass"
        )
        size, rows = cursor.fetchone() or (0, 0)
    return int(size) // int(rows) if rows and int(rows) > 1_000 else _SAMPLE_BYTES
