"""A tenant is shut out, and let in again, from the installation's scope. What is refused meanwhile
stands where it is refused: tenants.middleware, tenants.api.caller, metering.host_limit."""

from datetime import datetime
from uuid import UUID

from tenants.models import Tenant
from tenants.scope import installation_scope


def active_tenant_ids() -> list[UUID]:
    """Those in whose name something is done by itself; of a suspended one it waits until it is
    lifted."""
    with installation_scope():
        active = Tenant.objects.filter(suspended_at=None).order_by("pk")
        return list(active.values_list("pk", flat=True))


def suspend_tenant(tenant: Tenant, reason: str, *, as_of: datetime) -> None:
    """Refuse the tenant's people, customers and programs from now on; usage goes on being stored.
    One that is suspended already stays so since when it was, for the new reason."""
    tenant.suspended_at = tenant.suspended_at or as_of
    tenant.suspended_for = reason
    tenant.save(update_fields=["suspended_at", "suspended_for"])


def lift_suspension(tenant: Tenant) -> None:
    """Let them in again."""
    tenant.suspended_at, tenant.suspended_for = None, ""
    tenant.save(update_fields=["suspended_at", "suspended_for"])
