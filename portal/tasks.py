"""What workers do so that pages need not wait."""

import logging
from datetime import timedelta
from typing import Final
from uuid import UUID

from celery import shared_task
from django.db.models import Count
from django.utils import timezone

from metering.models import Assignment
from portal.kept import WAITED_FOR_MAX, answered, is_stale, keep_month
from tenants.models import Customer
from tenants.scope import tenant_scope
from tenants.suspension import active_tenant_ids

_KEEPING_TAKES: Final = timedelta(minutes=4)

logger = logging.getLogger(__name__)


@shared_task(name="portal.tasks.keep_running_month")
def keep_running_month(tenant_id: str, customer_id: str) -> bool:
    """Count what a page has asked for, unless that was done meanwhile; whether it was. What cannot
    be counted raises, and is asked for again when the last time asked is some minutes ago."""
    with tenant_scope(UUID(tenant_id)):
        customer = Customer.objects.filter(pk=customer_id).first()
        if customer is None:
            return False
        as_of = timezone.now()
        stale = is_stale(customer, as_of=as_of)
        if stale:
            keep_month(customer, as_of=as_of)
        answered(customer)
    return stale


@shared_task(name="portal.tasks.keep_large_months")
def keep_large_months() -> int:
    """Count the running periods that no page waits for, before somebody looks, for as long as the
    task may take; how many. The next one goes on with those that have become old."""
    began, kept = timezone.now(), 0
    for tenant_id in active_tenant_ids():
        for customer_id in _large(tenant_id):
            if timezone.now() - began > _KEEPING_TAKES:
                return kept
            try:
                kept += keep_running_month(str(tenant_id), str(customer_id))
            except Exception:
                logger.exception("customer %s: the running period was not counted", customer_id)
    return kept


def _large(tenant_id: UUID) -> list[UUID]:
    with tenant_scope(tenant_id):
        owned = Assignment.objects.order_by().values("customer")
        counted = owned.annotate(applications=Count("application", distinct=True))
        large = counted.filter(applications__gt=WAITED_FOR_MAX)
        return list(large.values_list("customer", flat=True))
