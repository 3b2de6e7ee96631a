"""The list of tenants: the installation's owner makes, limits, watches and suspends them."""

from django.urls import reverse
from django.utils import timezone

from metering.tenant_usage import note_usage
from tenants.models import Customer, Tenant
from tenants.scope import installation_scope, tenant_scope
from tests.admin.signing_in import signed_in
from tests.metering.delivering import Agent, batch
from tests.metering.test_ingest import accepted

LIST = reverse("admin:tenants_tenant_changelist")
ADD = reverse("admin:tenants_tenant_add")
NEW = {
    "name": "Third host", "slug": "third-host", "currency": "EUR", "time_zone": "Europe/Berlin",
    "owner": "boss@third.example", "domain": "billing.third.example", "hosts_max": "20",
    "samples_per_second_max": "500", "retention_days": "401",
}  # fmt: skip


def page_of(tenant: Tenant, name: str = "change") -> str:
    return reverse(f"admin:tenants_tenant_{name}", args=[tenant.pk])


class TestAdding:
    def test_makes_the_tenant_with_its_limits_and_invites_its_owner(self, db: None) -> None:
        answer = signed_in(None).post(ADD, NEW)
        assert "/join/" in answer.content.decode()
        with installation_scope():
            tenant = Tenant.objects.get(slug="third-host")
        assert (tenant.domain, tenant.hosts_max) == ("billing.third.example", 20)
        assert (tenant.samples_per_second_max, tenant.retention_days) == (500, 401)

    def test_takes_no_domain_twice_and_any_number_without_one(self, tenant: Tenant) -> None:
        client = signed_in(None)
        client.post(ADD, NEW)
        again = client.post(ADD, NEW | {"slug": "fourth", "name": "Fourth"})
        assert "already exists" in again.content.decode()
        for slug in ("fifth", "sixth"):
            made = client.post(ADD, NEW | {"slug": slug, "name": slug, "domain": ""})
            assert "/join/" in made.content.decode()

    def test_says_what_is_wrong_with_a_domain(self, db: None) -> None:
        for domain in ("https://billing.example", "under_score.example", "localhost", "-a.example"):
            answer = signed_in(None).post(ADD, NEW | {"domain": domain})
            assert "Write a host name" in answer.content.decode()

    def test_keeps_samples_no_longer_than_the_installation(self, db: None) -> None:
        answer = signed_in(None).post(ADD, NEW | {"retention_days": "500"})
        assert "keeps samples for 401 days" in answer.content.decode()


class TestTheList:
    def test_shows_health_and_usage_and_no_name_from_inside(self, tenant: Tenant) -> None:
        accepted(Agent(tenant).enrol().deliver(batch()))
        with tenant_scope(tenant.pk):
            Customer.objects.create(name="Secretive Ltd", reference="secretive")
            note_usage(as_of=timezone.now(), open_jobs=2)
        client = signed_in(None)
        for page in (LIST, page_of(tenant)):
            shown = client.get(page).content.decode()
            assert "Secretive" not in shown
            assert "web-1" not in shown
        shown = client.get(LIST).content.decode()
        assert "2 billing" in shown
        assert "s ago" in shown

    def test_needs_a_fixed_number_of_queries(
        self, tenant: Tenant, other_tenant: Tenant, django_assert_max_num_queries: object
    ) -> None:
        client = signed_in(None)
        with django_assert_max_num_queries(16):  # type: ignore[operator]
            assert client.get(LIST).status_code == 200


class TestSuspending:
    def test_asks_for_a_reason_and_can_be_lifted(self, tenant: Tenant) -> None:
        client = signed_in(None)
        suspend, lift = page_of(tenant, "suspend"), page_of(tenant, "lift")
        assert "Suspend First-Host?" in client.get(suspend).content.decode()
        assert "This field is required" in client.post(suspend, {}).content.decode()
        page = client.post(suspend, {"reason": "Not paid."}, follow=True).content.decode()
        assert "goes on being stored" in page
        assert "Lift the suspension" in page
        page = client.post(lift, follow=True).content.decode()
        assert "works again" in page
        with installation_scope():
            assert not Tenant.objects.get().is_suspended

    def test_is_not_for_a_tenants_own_people(self, tenant: Tenant, other_tenant: Tenant) -> None:
        client = signed_in(tenant)
        for each in (tenant, other_tenant):
            client.post(page_of(each, "suspend"), {"reason": "mine"})
            client.post(page_of(each), NEW)
        with installation_scope():
            assert not Tenant.objects.filter(suspended_at__isnull=False).exists()
            assert not Tenant.objects.filter(hosts_max__isnull=False).exists()
