"""Billing's share of the background work."""

import logging
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from billing.closing import close_tenant
from billing.operations import UsageNotRolledUp
from tenants.models import Tenant
from tenants.scope import installation_scope

logger = logging.getLogger(__name__)


@shared_task(name="billing.tasks.close_due_periods")
def close_due_periods() -> int:
    """Draft the invoices of all periods that have ended; how many, over all tenants.

    Each is a transaction of its own, so a task that is killed or runs twice loses and doubles
    nothing: the next run does what is left. What fails is logged, and the next run tries again.
    """
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    return sum(_close(tenant_id, as_of) for tenant_id in tenant_ids)


def _close(tenant_id: UUID, as_of: datetime) -> int:
    try:
        outcome = close_tenant(tenant_id, as_of=as_of)
    except Exception:
        logger.exception("tenant %s: nothing was closed", tenant_id)
        return 0
    for failure in outcome.failures:
        if isinstance(failure.error, UsageNotRolledUp):
            # Usage came in since the roll-up; the next run closes this one.
            logger.info("tenant %s: not closed yet: %s", tenant_id, failure)
        else:
            logger.error("tenant %s: not closed: %s", tenant_id, failure, exc_info=failure.error)
    return len(outcome.invoices)
