"""A suspended tenant is refused plainly and loses nothing; what it may is not its own to change."""

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.tasks import close_due_periods
from metering.models import Host, Sample
from tenants.models import Customer, Member, Tenant
from tenants.operations import issue_api_key
from tenants.scope import installation_scope, tenant_scope
from tenants.suspension import lift_suspension, suspend_tenant
from tests.admin.signing_in import signed_in
from tests.billing.timeline import at, begin_story, use
from tests.metering.delivering import Agent, batch, fresh_token
from tests.metering.test_ingest import accepted

WHY = "An invoice of ours is unpaid."


def suspend(tenant: Tenant) -> None:
    with installation_scope():
        suspend_tenant(tenant, WHY, as_of=timezone.now())


class TestSuspended:
    def test_people_read_why_in_the_admin_and_the_portal(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
        suspend(tenant)
        for client, page in (
            (signed_in(tenant), reverse("admin:index")),
            (signed_in(tenant, "viewer", customer=customer), reverse("portal:overview")),
        ):
            answer = client.get(page)
            assert answer.status_code == 403
            assert WHY in answer.content.decode()

    def test_a_person_can_still_sign_out(self, tenant: Tenant) -> None:
        suspend(tenant)
        assert signed_in(tenant).post(reverse("portal:sign-out")).status_code == 302

    def test_a_person_of_two_providers_works_in_the_other(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        client = signed_in(tenant)
        with tenant_scope(tenant.pk):
            user = Member.objects.get().user
        with tenant_scope(other_tenant.pk):
            Member.objects.create(user=user, role=Member.Role.OWNER)
        suspend(tenant)
        page = client.get(reverse("admin:index"))
        assert page.status_code == 200
        assert other_tenant.name in page.content.decode()

    def test_the_installations_owner_is_not_shut_out(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        with tenant_scope(tenant.pk):
            user = Member.objects.get().user
        user.is_superuser = True
        user.save()
        suspend(tenant)
        assert client.get(reverse("admin:tenants_tenant_changelist")).status_code == 200

    def test_programs_get_a_problem_that_says_so(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            key = issue_api_key("robot", ["usage:read"], as_of=timezone.now())
        suspend(tenant)
        answer = Client().get("/api/v1/environments", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 403
        assert answer.json()["type"] == "tenant-suspended"
        assert WHY in answer.json()["detail"]

    def test_hosts_go_on_delivering_and_none_is_added(self, tenant: Tenant) -> None:
        agent, token = Agent(tenant).enrol(), fresh_token(tenant)
        suspend(tenant)
        accepted(agent.deliver(batch()))
        with tenant_scope(tenant.pk):
            assert Sample.objects.count() == 1
        refused = Agent(tenant).ask_to_enrol(token)
        assert (refused.status_code, refused.json()["type"]) == (403, "tenant-suspended")
        with installation_scope():
            lift_suspension(Tenant.objects.get())
        # The token was not spent on the refusal.
        assert Agent(tenant).ask_to_enrol(token).status_code == 201


@pytest.mark.django_db(transaction=True)
class TestBilling:
    def test_waits_and_is_made_up_for_when_it_is_lifted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            use(begin_story().shop, at(10, 3), cpu_us=1)
        suspend(tenant)
        assert close_due_periods() == 0
        with installation_scope():
            lift_suspension(Tenant.objects.get())
        assert close_due_periods() > 0


class TestWhatATenantMay:
    @pytest.mark.parametrize(
        "changed",
        [{"hosts_max": 9}, {"suspended_at": None}, {"retention_days": 500}, {"slug": "mine"}],
        ids=lambda changed: next(iter(changed)),
    )
    def test_is_not_changed_from_inside(self, tenant: Tenant, changed: dict[str, object]) -> None:
        suspend(tenant)
        with (
            tenant_scope(tenant.pk),
            pytest.raises(DatabaseError, match="only the installation's owner"),
            transaction.atomic(),
        ):
            Tenant.objects.update(**changed)

    def test_a_host_too_many_is_refused_until_another_retires(self, tenant: Tenant) -> None:
        with installation_scope():
            Tenant.objects.update(hosts_max=1)
        Agent(tenant).enrol()
        token = fresh_token(tenant)
        refused = Agent(tenant).ask_to_enrol(token)
        assert (refused.status_code, refused.json()["type"]) == (403, "hosts-limit")
        assert "1 hosts in service" in refused.json()["detail"]
        with tenant_scope(tenant.pk):
            Host.objects.update(retired_at=timezone.now())
        assert Agent(tenant).ask_to_enrol(token).status_code == 201
