"""What runs by itself: answers that nobody asks for again are forgotten."""

from celery import shared_task
from django.utils import timezone

from tenants import operations
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope


@shared_task(name="tenants.tasks.prune_idempotency_records")
def prune_idempotency_records() -> int:
    """How many were forgotten, over all tenants; each tenant is a transaction of its own."""
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("id").values_list("id", flat=True))
    forgotten = 0
    for tenant_id in tenant_ids:
        with tenant_scope(tenant_id):
            forgotten += operations.prune_idempotency_records(as_of=as_of)
    return forgotten
