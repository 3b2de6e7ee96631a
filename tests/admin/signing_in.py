"""People of a tenant, signed in to the admin."""

from django.test import Client

from tenants.models import Customer, Member, Tenant, User
from tenants.scope import tenant_scope


def signed_in(
    tenant: Tenant | None, role: str = "owner", *, customer: Customer | None = None
) -> Client:
    """A browser of a fresh person with this role; without a tenant, the installation's owner."""
    email = f"{role}{User.objects.count()}@demo.example"
    if tenant is None:
        user = User.objects.create_superuser(email)
    else:
        user = User.objects.create_user(email, is_staff=customer is None)
        with tenant_scope(tenant.pk):
            Member.objects.create(user=user, role=role, customer=customer)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
