"""Billing's share of the background work."""

import logging
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from billing.core.periods import Period
from billing.models import Subscription
from billing.operations import UsageNotRolledUp, close_billing_period
from billing.queries import due_periods
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope

logger = logging.getLogger(__name__)


@shared_task(name="billing.tasks.close_due_periods")
def close_due_periods() -> int:
    """Draft the invoices of all periods that have ended; how many, over all tenants.

    Each is a transaction of its own, so a task that is killed or runs twice loses and doubles
    nothing: the next run does what is left.
    """
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.values_list("pk", flat=True))
    closed = 0
    for tenant_id in tenant_ids:
        roll_up(tenant_id)
        with tenant_scope(tenant_id):
            due = due_periods(as_of=as_of)
        for subscription, period in due:
            closed += _close(tenant_id, subscription, period, as_of)
    return closed


def _close(tenant_id: UUID, subscription: Subscription, period: Period, as_of: datetime) -> bool:
    try:
        with tenant_scope(tenant_id):
            close_billing_period(subscription, period, as_of=as_of)
    except UsageNotRolledUp as pending:
        # Usage came in since the roll-up above; the next run closes this one.
        logger.info("%s is not closed yet: %s", subscription, pending)
        return False
    return True
