"""`enrolment_token` without an environment."""

import io
from datetime import UTC, datetime

from django.core.management import call_command

from tenants.models import EnrolmentToken, Environment, Tenant
from tenants.scope import tenant_scope


def test_is_for_the_first_environment_that_is_real(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        Environment.objects.create(
            name="generated", generated=True, created_at=datetime(2020, 1, 1, tzinfo=UTC)
        )
    call_command("enrolment_token", "--tenant", tenant.slug, stdout=io.StringIO())
    with tenant_scope(tenant.pk):
        assert EnrolmentToken.objects.get().environment.name == "production"
