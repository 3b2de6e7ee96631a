"""How many hosts a tenant may have in service, and whether it may have another one."""

from http import HTTPStatus

from metering.models import Host
from tenants.models import Tenant
from tenants.problems import Problem
from tenants.scope import current_tenant_id


def require_tenants_room(hosts: int = 1) -> None:
    """Raises Problem 403 where the tenant is suspended, or so many hosts more are too many. Until
    the transaction ends no other host comes in beside them."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(pk=current_tenant_id())
    if tenant.is_suspended:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "This provider is suspended: its hosts go on delivering, and no host is added.",
            kind="tenant-suspended",
            title="Provider suspended",
        )
    if tenant.hosts_max is None:
        return
    if hosts_in_service() + hosts > tenant.hosts_max:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"This provider may have {tenant.hosts_max} hosts in service and has them. Retire one, "
            "or ask the installation's owner for more.",
            kind="hosts-limit",
            title="No room for another host",
            hosts_max=tenant.hosts_max,
        )


def hosts_in_service() -> int:
    """Real ones: what the demo made up takes nobody's place."""
    return Host.objects.filter(retired_at__isnull=True, generated=False).count()
