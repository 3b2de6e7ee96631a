"""Whether a tenant asks its people for a second factor, and who has none."""

from datetime import datetime

from allauth.mfa.models import Authenticator

from tenants.audit import note
from tenants.models import Member, Tenant
from tenants.scope import current_tenant_id

# Recovery codes stand in for one of these and are none.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_missing(member: Member) -> bool:
    """Whether whoever acts by this membership has to set one up before anything else."""
    tenant, is_staff = member.tenant, member.customer_id is None
    asked = tenant.staff_need_second_factor if is_staff else tenant.customers_need_second_factor
    return asked and not has_one(member.user_id)


def has_one(user_id: int) -> bool:
    found: bool = Authenticator.objects.filter(user_id=user_id, type__in=FACTORS).exists()
    return found


def is_only_one(factor: Authenticator) -> bool:
    others = Authenticator.objects.filter(user=factor.user_id, type__in=FACTORS)
    return not others.exclude(pk=factor.pk).exists()


def require(*, of_staff: bool, of_customers: bool, as_of: datetime) -> None:
    """From their next request on; call it inside the tenant's scope."""
    tenant = Tenant.objects.select_for_update().get(pk=current_tenant_id())
    if (of_staff, of_customers) == (
        tenant.staff_need_second_factor,
        tenant.customers_need_second_factor,
    ):
        return
    tenant.staff_need_second_factor = of_staff
    tenant.customers_need_second_factor = of_customers
    tenant.save(update_fields=["staff_need_second_factor", "customers_need_second_factor"])
    note("second_factor_required", as_of=as_of, team=of_staff, customers=of_customers)
