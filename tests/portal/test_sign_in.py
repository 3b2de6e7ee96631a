"""Getting in, getting out, and whose pages one then reads."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from portal.sign_in_limit import FAILURES_MAX
from tenants.models import Member, Tenant, User
from tenants.scope import tenant_scope
from tests.portal.world import PASSWORD, World, make_person, visit

SIGN_IN = "/sign-in/"


def attempt(client: Client, password: str, next_page: str = "") -> int:
    data = {"username": "viewer@first.example", "password": password, "next": next_page}
    return client.post(SIGN_IN, data).status_code


@pytest.fixture
def person(world: World) -> None:
    make_person("viewer@first.example", world.tenant, Member.Role.VIEWER, world.customer)


@pytest.mark.usefixtures("person")
class TestSigningIn:
    def test_opens_the_overview(self, client: Client) -> None:
        data = {"username": "Viewer@First.example", "password": PASSWORD}
        response = client.post(SIGN_IN, data, follow=True)
        assert response.redirect_chain == [("/", 302)]
        assert "Month to date" in response.content.decode()

    def test_goes_on_to_the_page_that_was_asked_for(self, client: Client) -> None:
        assert client.get("/invoices/")["Location"] == "/sign-in/?next=/invoices/"
        data = {"username": "viewer@first.example", "password": PASSWORD, "next": "/invoices/"}
        assert client.post(SIGN_IN, data)["Location"] == "/invoices/"

    @pytest.mark.parametrize(
        "elsewhere", ["https://evil.example/", "//evil.example", "javascript:1"]
    )
    def test_never_leads_to_another_site(self, client: Client, elsewhere: str) -> None:
        data = {"username": "viewer@first.example", "password": PASSWORD, "next": elsewhere}
        assert client.post(SIGN_IN, data)["Location"] == "/"

    @pytest.mark.parametrize("email", ["viewer@first.example", "nobody@first.example"])
    def test_says_the_same_for_a_wrong_password_and_a_wrong_e_mail(
        self, client: Client, email: str
    ) -> None:
        page = client.post(SIGN_IN, {"username": email, "password": "wrong"}).content.decode()
        assert "do not belong together" in page
        assert "wrong" not in page

    def test_ties_each_complaint_to_its_field(self, client: Client) -> None:
        page = client.post(SIGN_IN, {"username": "", "password": "x"}).content.decode()
        assert 'aria-describedby="username-error"' in page
        assert 'class="error" role="alert" id="username-error"' in page

    def test_is_refused_after_too_many_failures_even_with_the_password(
        self, client: Client
    ) -> None:
        for _ in range(FAILURES_MAX):
            assert attempt(client, "wrong") == 200
        response = client.post(SIGN_IN, {"username": "viewer@first.example", "password": PASSWORD})
        assert "Too many failed attempts" in response.content.decode()
        assert "_auth_user_id" not in client.session

    def test_is_not_refused_for_failures_from_elsewhere(self, client: Client) -> None:
        elsewhere = Client(REMOTE_ADDR="192.0.2.7")
        for _ in range(FAILURES_MAX):
            attempt(elsewhere, "wrong")
        assert attempt(client, PASSWORD) == 302

    def test_forgets_failures_once_it_succeeds(self, client: Client) -> None:
        for _ in range(FAILURES_MAX - 1):
            attempt(client, "wrong")
        assert attempt(client, PASSWORD) == 302
        client.logout()
        assert attempt(client, "wrong") == 200
        assert attempt(client, PASSWORD) == 302

    def test_is_refused_while_failures_cannot_be_counted(
        self, client: Client, settings: Settings
    ) -> None:
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1/0",
            }
        }
        data = {"username": "viewer@first.example", "password": PASSWORD}
        page = client.post(SIGN_IN, data).content.decode()
        assert "Signing in is not possible just now" in page
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    def test_of_an_inactive_person_says_no_more_than_of_an_unknown_one(
        self, client: Client, world: World
    ) -> None:
        gone = make_person("gone@first.example", world.tenant)
        gone.is_active = False
        gone.save()
        data = {"username": "gone@first.example", "password": PASSWORD}
        assert "do not belong together" in client.post(SIGN_IN, data).content.decode()


class TestSigningOut:
    def test_takes_a_form_and_not_a_link(self, reader: Client) -> None:
        assert reader.get("/sign-out/").status_code == 405
        assert reader.post("/sign-out/")["Location"] == SIGN_IN
        assert reader.get("/")["Location"] == "/sign-in/?next=/"

    def test_needs_the_forms_token(self, world: World) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(make_person("x@first.example", world.tenant))
        response = strict.post("/sign-out/")
        assert response.status_code == 403
        assert "The form had expired" in response.content.decode()


class TestSwitching:
    def test_lets_staff_read_each_customer_of_their_tenant(
        self, staff: Client, world: World
    ) -> None:
        assert "Pine Mail" in staff.get("/").content.decode()
        page = visit(staff, world.other_customer).get("/").content.decode()
        assert "Reed Shop" in page
        assert "checkout" in page
        assert "postgres" not in page

    def test_finds_customers_by_name_or_reference(self, staff: Client) -> None:
        page = staff.get("/switch/", {"q": "reed"}).content.decode()
        assert "Reed Shop" in page
        assert "Pine Mail</strong>" not in page
        assert "No customer matches" in staff.get("/switch/", {"q": "zzz"}).content.decode()

    def test_finds_them_whatever_else_is_typed(self, staff: Client) -> None:
        assert "Reed Shop" in staff.get("/switch/", {"q": "re\0ed"}).content.decode()

    def test_does_not_let_a_customers_member_read_another(
        self, reader: Client, world: World
    ) -> None:
        response = reader.post("/switch/", {"customer": str(world.other_customer.pk)})
        assert response.status_code == 404
        assert "checkout" not in reader.get("/").content.decode()

    @pytest.mark.parametrize("nonsense", ["", "x", "00000000-0000-0000-0000-000000000000"])
    def test_to_nothing_is_not_found(self, staff: Client, nonsense: str) -> None:
        assert staff.post("/switch/", {"customer": nonsense}).status_code == 404
        assert staff.post("/switch/", {"membership": nonsense}).status_code == 404

    def test_to_another_account_changes_the_tenant(
        self, client: Client, world: World, other_tenant: Tenant
    ) -> None:
        person = make_person("both@first.example", world.tenant, Member.Role.OWNER)
        elsewhere = make_person("other@second.example", other_tenant, Member.Role.OWNER)
        client.force_login(person)
        with tenant_scope(other_tenant.pk):
            second = Member.objects.create(user=person, role=Member.Role.VIEWER)
            theirs = Member.objects.get(user=elsewhere)
        assert "Second-Host" in client.get(reverse("portal:switch")).content.decode()
        assert client.post("/switch/", {"membership": str(theirs.pk)}).status_code == 404
        client.post("/switch/", {"membership": str(second.pk)})
        page = client.get("/").content.decode()
        assert "No customers yet" in page
        # Whoever may enter the admin is led to what comes first there.
        assert reverse("admin-first-steps") not in page
        User.objects.filter(pk=person.pk).update(is_staff=True)
        assert reverse("admin-first-steps") in client.get("/").content.decode()


class TestSomeoneWithoutAnAccount:
    def test_is_told_so(self, client: Client, world: World) -> None:
        client.force_login(make_person("alone@nowhere.example", None))
        response = client.get("/")
        assert response.status_code == 403
        assert "No account to show" in response.content.decode()

    def test_who_owns_the_installation_is_led_to_the_admin(
        self, client: Client, world: World
    ) -> None:
        client.force_login(User.objects.create_superuser("root@host.example"))
        assert client.get("/")["Location"] == reverse("admin:index")
        assert client.get("/invoices/")["Location"] == reverse("admin:index")
