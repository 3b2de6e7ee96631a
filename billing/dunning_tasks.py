"""Dunning in the background: hourly, each tenant by itself and each invoice in a transaction."""

import logging
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from billing.operations.dunning import dun, end_needless_suspensions
from billing.queries.dunning import overdue_invoices, schedule
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope

logger = logging.getLogger(__name__)


@shared_task(name="billing.tasks.dun_overdue")
def dun_overdue() -> int:
    """Take the steps of dunning that are due; how many, over all tenants. What fails is logged, and
    the next run tries again."""
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    return sum(dun_tenant(each, as_of=as_of) for each in tenant_ids)


def dun_tenant(tenant_id: UUID, *, as_of: datetime) -> int:
    """One tenant's share of dun_overdue. An invoice that fails keeps no other from its steps."""
    with tenant_scope(tenant_id):
        invoices = list(overdue_invoices(as_of=as_of)) if schedule() else []
        end_needless_suspensions(as_of=as_of)
    taken = 0
    for invoice in invoices:
        try:
            with tenant_scope(tenant_id):
                taken += len(dun(invoice, as_of=as_of))
        except Exception:
            logger.exception("tenant %s: %s was not dunned", tenant_id, invoice)
    return taken
