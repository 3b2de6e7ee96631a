"""An environment may name whom its new applications are billed to."""

from datetime import timedelta

from django.utils import timezone

from metering.models import Application, Assignment
from metering.operations import unassign_application
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample


def bill_new_applications(tenant: Tenant) -> Customer:
    with tenant_scope(tenant.pk):
        customer = Customer.objects.create(name="Shop", reference="shop")
        Environment.objects.filter(name="production").update(default_customer=customer)
    return customer


class TestANewApplication:
    def test_is_billed_from_its_first_window_on(self, tenant: Tenant, agent: Agent) -> None:
        customer = bill_new_applications(tenant)
        early = last_bucket() - timedelta(hours=2)
        window = [early.isoformat(), (early + timedelta(seconds=10)).isoformat()]
        agent.deliver(batch(sample(), sample(window=window)))
        with tenant_scope(tenant.pk):
            assignment = Assignment.objects.get(application__name="shop")
            assert (assignment.customer, assignment.starts_at) == (customer, early)
            assert assignment.ends_at is None

    def test_stays_unassigned_without_such_a_customer(self, tenant: Tenant, agent: Agent) -> None:
        agent.deliver(batch())
        with tenant_scope(tenant.pk):
            assert Application.objects.filter(name="shop").exists()
            assert not Assignment.objects.exists()

    def test_alone_is_assigned_and_never_again(self, tenant: Tenant, agent: Agent) -> None:
        agent.deliver(batch())
        bill_new_applications(tenant)
        agent.deliver(batch(sample(instance="shop-2"), sample(application="mail")))
        with tenant_scope(tenant.pk):
            assert [each.application.name for each in Assignment.objects.all()] == ["mail"]
            mail = Application.objects.get(name="mail")
            unassign_application(mail, as_of=timezone.now())
        agent.deliver(batch(sample(application="mail", instance="mail-2")))
        with tenant_scope(tenant.pk):
            assert not Assignment.objects.filter(ends_at__isnull=True).exists()
