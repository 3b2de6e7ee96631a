"""A provider's own domain: its people see its name there, and nothing of anybody else."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from billing.models import BillingSettings
from tenants.domains import address_of
from tenants.mail import SEALED_FOR
from tenants.mail_models import MailMessage
from tenants.models import Member, Tenant, User
from tenants.scope import installation_scope, tenant_scope
from tenants.sealing import unseal
from tenants.team import invite_colleague
from tests.admin.signing_in import signed_in
from tests.portal.test_look import LOGO
from tests.portal.world import PASSWORD, World, make_person

DOMAIN = "billing.first.example"
MOMENT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def browser(world: World) -> Client:
    """A browser under the domain of the world's tenant."""
    with installation_scope():
        Tenant.objects.filter(pk=world.tenant.pk).update(domain=DOMAIN)
    with tenant_scope(world.tenant.pk):
        BillingSettings.objects.create(colour="#117733", logo_svg=LOGO.format(9))
    return Client(headers={"host": DOMAIN})


def sign_in(browser: Client, email: str) -> bool:
    """By the page's own form, from the domain's own origin."""
    answer = browser.post(
        "/sign-in/",
        {"username": email, "password": PASSWORD},
        headers={"origin": f"http://{DOMAIN}"},
    )
    return answer.status_code == 302


class TestBeforeSignIn:
    def test_the_page_is_the_providers(self, browser: Client, world: World) -> None:
        page = browser.get("/sign-in/").content.decode()
        assert f"<span>{world.tenant.name}</span>" in page
        assert "/brand/117733" in page
        logo = page.split('<img src="')[1].split('"')[0]
        assert browser.get(logo).headers["Content-Type"] == "image/svg+xml"
        # Elsewhere nobody has that logo, and the page is the product's.
        assert Client().get(logo).status_code == 404
        assert "<span>Hostmeter</span>" in Client().get("/sign-in/").content.decode()

    @pytest.mark.parametrize("host", ["billing.other.example", "x", "", "a b", "[", "é.example"])
    def test_a_name_of_nobodys_is_refused(self, browser: Client, host: str) -> None:
        assert browser.get("/sign-in/", headers={"host": host}).status_code == 400

    def test_its_port_and_case_do_not_matter(self, browser: Client) -> None:
        for host in (f"{DOMAIN}:8000", DOMAIN.upper()):
            assert browser.get("/sign-in/", headers={"host": host}).status_code == 200


class TestSigningIn:
    def test_is_for_its_own_people(
        self, browser: Client, world: World, other_tenant: Tenant
    ) -> None:
        make_person("own@first.example", world.tenant, Member.Role.VIEWER, world.customer)
        make_person("other@second.example", other_tenant, Member.Role.OWNER)
        assert not sign_in(browser, "other@second.example")
        assert sign_in(browser, "own@first.example")
        assert world.customer.name in browser.get("/?refresh=off").content.decode()

    def test_is_refused_from_another_origin(self, world: World, browser: Client) -> None:
        strict = Client(enforce_csrf_checks=True, headers={"host": DOMAIN})
        strict.get("/sign-in/")
        form = {"csrfmiddlewaretoken": strict.cookies["csrftoken"].value}
        for origin, status in ((f"http://{DOMAIN}", 200), ("http://testserver", 403)):
            answer = strict.post("/sign-in/", form, headers={"origin": origin})
            assert answer.status_code == status

    def test_of_two_memberships_shows_the_domains(
        self, browser: Client, world: World, other_tenant: Tenant
    ) -> None:
        email = "both@first.example"
        person = make_person(email, world.tenant, Member.Role.OWNER)
        User.objects.filter(pk=person.pk).update(is_staff=True)
        with tenant_scope(other_tenant.pk):
            other = Member.objects.create(user=person, role=Member.Role.OWNER)
        assert sign_in(browser, email)
        switch = reverse("portal:switch")
        assert other_tenant.name not in browser.get(switch).content.decode()
        browser.post(switch, {"membership": str(other.pk)})
        assert other_tenant.name not in browser.get("/admin/").content.decode()
        assert world.tenant.name in browser.get("/admin/").content.decode()

    def test_gives_nobody_the_installation(self, browser: Client, world: World) -> None:
        owner = User.objects.create_superuser("root@installation.example", PASSWORD)
        assert not sign_in(browser, owner.email)
        # As after a membership there that has ended since.
        browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
        assert browser.get("/").status_code == 403
        tenants = browser.get(reverse("admin:tenants_tenant_changelist"))
        assert str(world.tenant.pk) not in tenants.content.decode()


class TestAddresses:
    @override_settings(BASE_URL="https://metering.example:8443")
    def test_lead_under_the_domain(
        self, browser: Client, world: World, other_tenant: Tenant
    ) -> None:
        with tenant_scope(world.tenant.pk):
            assert address_of("/a/") == f"https://{DOMAIN}:8443/a/"
            invite_colleague(world.customer, "new@first.example", Member.Role.VIEWER, as_of=MOMENT)
            mail = MailMessage.objects.get(kind="invitation")
            said = json.loads(unseal(mail.sealed_context, SEALED_FOR))
        assert said["url"].startswith(f"https://{DOMAIN}:8443/join/")
        with tenant_scope(other_tenant.pk):
            assert address_of("/a/") == "https://metering.example:8443/a/"

    def test_no_tenant_takes_a_name_of_the_installations(self, other_tenant: Tenant) -> None:
        owner = signed_in(None)
        page = reverse("admin:tenants_tenant_change", args=[other_tenant.pk])
        form = {"name": "N", "slug": "n", "currency": "EUR", "time_zone": "UTC"}
        with override_settings(ALLOWED_HOSTS=["testserver", ".metering.example"]):
            answer = owner.post(page, {**form, "domain": "a.metering.example"})
        assert "ALLOWED_HOSTS" in answer.content.decode()
