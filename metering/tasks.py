"""What runs by itself: rollups every few seconds, allocation every 10 minutes, partitions every
hour."""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from metering import tenant_usage
from metering.allocating import allocate_tenant
from metering.limit_breaches import days_to_watch, watch_limits
from metering.local_days import keep_local_days
from metering.rollups import roll_up
from metering.watching import watch_hosts
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope

logger = logging.getLogger(__name__)

# A rule that begins months ago is caught up with over some ticks, and holds no tenant up.
HOURS_PER_TICK: Final = 200


@shared_task(name="metering.tasks.roll_up_all")
def roll_up_all() -> int:
    """Bring every tenant's rollups up to date. A tick that finds another at work takes what that
    one has not claimed, so ticks share the work and never repeat it. A tenant whose roll-up fails
    is logged and left to the next tick."""
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    return sum(_roll_up(tenant_id) for tenant_id in tenant_ids)


def _roll_up(tenant_id: UUID) -> int:
    try:
        return roll_up(tenant_id)
    except Exception:
        logger.exception("tenant %s: its usage is not rolled up", tenant_id)
        return 0


@shared_task(name="metering.tasks.allocate_all")
def allocate_all() -> int:
    """Post what is spread of every tenant's hosts; how many postings were made. A tenant that
    fails is logged and left to the next tick; an hour, to whoever marks it again."""
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    return sum(_allocate(tenant_id) for tenant_id in tenant_ids)


def _allocate(tenant_id: UUID) -> int:
    try:
        outcome = allocate_tenant(tenant_id, as_of=timezone.now(), hours_max=HOURS_PER_TICK)
    except Exception:
        logger.exception("tenant %s: its hosts' idle usage is not spread", tenant_id)
        return 0
    for failure in outcome.failures:
        logger.error("tenant %s: not spread: %s", tenant_id, failure)
    return outcome.postings


@shared_task(name="metering.tasks.watch_hosts_all")
def watch_hosts_all() -> int:
    """Notice hosts that fall silent, are back or too old; how many notices changed, over all
    tenants. A tenant in which it fails is logged and left to the next tick."""
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    return sum(_watch(tenant_id) for tenant_id in tenant_ids)


def _watch(tenant_id: UUID) -> int:
    try:
        with tenant_scope(tenant_id):
            return watch_hosts(as_of=timezone.now())
    except Exception:
        logger.exception("tenant %s: its hosts are not watched", tenant_id)
        return 0


@shared_task(name="metering.tasks.watch_limits_all")
def watch_limits_all() -> int:
    """Bring the breaches of policies' limits up to date, of today and of days whose usage may have
    come late; how many those days have, over all tenants. A tenant in which it fails is logged and
    left to the next tick."""
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    return sum(_watch_limits(tenant_id, as_of) for tenant_id in tenant_ids)


def _watch_limits(tenant_id: UUID, as_of: datetime) -> int:
    found = 0
    try:
        for day in days_to_watch(as_of):
            with tenant_scope(tenant_id):
                found += watch_limits(day, as_of=as_of)
    except Exception:
        logger.exception("tenant %s: its limits are not watched", tenant_id)
    return found


@shared_task(name="metering.tasks.keep_local_days_all")
def keep_local_days_all() -> int:
    """Keep the days of the zones that tenants' customers live in; of how many applications they
    were filled in, over all tenants. A tenant in which it fails is logged and left to the next
    tick; what was filled in before stays so."""
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    return sum(_keep_local_days(tenant_id) for tenant_id in tenant_ids)


def _keep_local_days(tenant_id: UUID) -> int:
    try:
        return keep_local_days(tenant_id, as_of=timezone.now())
    except Exception:
        logger.exception("tenant %s: the days of its customers' zones are not kept", tenant_id)
        return 0


@shared_task(name="metering.tasks.prune_samples")
def prune_samples() -> int:
    """Delete what is past a tenant's own, shorter retention; how many samples, over all tenants.
    A tenant that fails is logged, and the next day tries again."""
    with installation_scope():
        shorter = Tenant.objects.filter(retention_days__isnull=False).order_by("id")
        tenant_ids = list(shorter.values_list("id", flat=True))
    deleted = 0
    for tenant_id in tenant_ids:
        try:
            with tenant_scope(tenant_id):
                deleted += tenant_usage.prune_samples(as_of=timezone.now())
        except Exception:
            logger.exception("tenant %s: its old samples are not deleted", tenant_id)
    return deleted


@shared_task(name="metering.tasks.keep_partitions")
def keep_partitions() -> int:
    """Make the coming months' partitions of samples and drop those past their retention."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_keep_partitions(%s)", [settings.SAMPLE_RETENTION_DAYS])
        (changed,) = cursor.fetchone() or (0,)
    return int(changed)
