"""A tenant's people sign in through its OpenID Connect provider, and get no further than it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from tenants.access_models import AuditEntry
from tenants.invitations import invite
from tenants.models import Member, Tenant, User
from tenants.scope import installation_scope, tenant_scope
from tenants.sign_in_models import SignInProvider
from tenants.sign_in_providers import keep, remove, unlink
from tests.admin.signing_in import signed_in
from tests.portal.openid import CLIENT, SECRET, Provider, providing
from tests.portal.test_access import code_of
from tests.portal.world import PASSWORD, World, make_person

EMAIL = "ann@first.example"


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with providing() as provider:
        provider.userinfo = {"email": EMAIL, "email_verified": True}
        yield provider


@pytest.fixture
def kept(world: World, provider: Provider) -> SignInProvider:
    with tenant_scope(world.tenant.pk):
        kept = SignInProvider(name="First Login", issuer=provider.issuer, client_id=CLIENT)
        keep(kept, SECRET, as_of=timezone.now())
    return kept


def start(tenant: Tenant) -> str:
    return reverse("openid_connect_login", args=[tenant.pk])


def come(browser: Client, tenant: Tenant, provider: Provider, subject: str = "4711") -> Any:
    """What the browser gets when it is back from the provider."""
    there = browser.get(f"{start(tenant)}?next=/invoices/")
    assert there.status_code == 302, there.content
    back = urlsplit(provider.agreed(there["Location"], subject))
    return browser.get(f"{back.path}?{back.query}")


def is_in(browser: Client) -> bool:
    return browser.get("/?refresh=off").status_code == 200


def noted(tenant: Tenant) -> list[tuple[str, str, Any]]:
    with tenant_scope(tenant.pk):
        rows = AuditEntry.objects.filter(action__startswith="sign_in")
        return [(each.action, each.subject, each.details) for each in rows.order_by("occurred_at")]


@pytest.mark.usefixtures("kept")
class TestSigningIn:
    def test_is_for_a_member_by_their_proven_address(
        self, world: World, provider: Provider, client: Client
    ) -> None:
        make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        answer = come(client, world.tenant, provider)
        assert (answer.status_code, answer["Location"]) == (302, "/invoices/")
        assert world.customer.name in client.get("/?refresh=off").content.decode()
        # Nothing of the provider's answer is kept but who it was.
        (link,) = SocialAccount.objects.all()
        assert (link.uid, link.extra_data) == ("4711", {})
        assert noted(world.tenant)[-1][:2] == ("sign_in", EMAIL)

    def test_goes_by_the_subject_from_then_on(
        self, world: World, provider: Provider, client: Client
    ) -> None:
        make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        make_person("bob@first.example", world.tenant, Member.Role.VIEWER, world.customer)
        come(client, world.tenant, provider)
        # Ann's address there becomes Bob's, and somebody new gets hers.
        provider.userinfo["email"] = "bob@first.example"
        again, new = Client(), Client()
        come(again, world.tenant, provider)
        assert again.session["_auth_user_id"] == client.session["_auth_user_id"]
        provider.userinfo["email"] = EMAIL
        refused = come(new, world.tenant, provider, subject="9999")
        assert "belongs to another account" in refused.content.decode()
        assert not is_in(new)

    def test_accepts_an_open_invitation(
        self, world: World, provider: Provider, client: Client
    ) -> None:
        with tenant_scope(world.tenant.pk):
            invite(Member(role=Member.Role.VIEWER, customer=world.customer), EMAIL,
                   as_of=timezone.now())  # fmt: skip
        come(client, world.tenant, provider)
        assert is_in(client)

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"email": "eve@evil.example"}, "Nobody here has"),
            ({"email": "root@installation.example"}, "Nobody here has"),
            ({"email": "other@second.example"}, "Nobody here has"),
            ({"email": ""}, "did not tell"),
            ({"email_verified": False}, "does not say that"),
            ({"email_verified": "true"}, "does not say that"),
            ({"sub": "9"}, "no answer that could be used"),
            ({"email": ["a"]}, "no answer that could be used"),
        ],
    )
    def test_is_refused_in_words(
        self, world: World, other_tenant: Tenant, provider: Provider, client: Client,
        said: dict[str, Any], why: str,
    ) -> None:  # fmt: skip
        make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        make_person("other@second.example", other_tenant, Member.Role.OWNER)
        root = User.objects.create_superuser("root@installation.example", PASSWORD)
        with tenant_scope(world.tenant.pk):
            Member.objects.create(user=root, role=Member.Role.OWNER)
        provider.userinfo |= said
        answer = come(client, world.tenant, provider)
        assert (answer.status_code, why in answer.content.decode()) == (403, True)
        assert not is_in(client)
        assert not SocialAccount.objects.exists()
        assert noted(world.tenant)[-1][0] == "sign_in_failed"

    @pytest.mark.parametrize(
        "said", [{"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}, {"sub": 5}]
    )
    def test_takes_no_id_token_of_anything_else(
        self, world: World, provider: Provider, client: Client, said: dict[str, Any]
    ) -> None:
        make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        provider.id_token = said
        answer = come(client, world.tenant, provider)
        assert "no answer that could be used" in answer.content.decode()
        assert not is_in(client)

    def test_takes_a_code_once_and_in_the_browser_that_asked(
        self, world: World, provider: Provider, client: Client
    ) -> None:
        make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        there = client.get(start(world.tenant))["Location"]
        back = provider.agreed(there, "4711")
        stranger = Client()
        assert stranger.get(back).status_code == 403
        assert not is_in(stranger)
        client.get(back)
        assert is_in(client)
        assert client.get(back).status_code == 403

    def test_asks_a_second_factor_of_who_has_one(
        self, world: World, provider: Provider, client: Client
    ) -> None:
        person = make_person(EMAIL, world.tenant, Member.Role.VIEWER, world.customer)
        secret = generate_totp_secret()
        TOTP.activate(person, secret)
        answer = come(client, world.tenant, provider)
        assert answer["Location"] == reverse("mfa_authenticate")
        assert not is_in(client)
        client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        assert is_in(client)
        assert client.get(reverse("sessions")).status_code == 403


class TestTheSession:
    @pytest.fixture
    def both(self, world: World, other_tenant: Tenant, kept: SignInProvider) -> User:
        """Somebody of two tenants, of which only the first has a provider."""
        person = make_person(EMAIL, world.tenant, Member.Role.OWNER)
        User.objects.filter(pk=person.pk).update(is_staff=True)
        with tenant_scope(other_tenant.pk):
            Member.objects.create(user=person, role=Member.Role.OWNER)
        return person

    def test_shows_the_providers_tenant_alone(
        self, world: World, other_tenant: Tenant, both: User, provider: Provider, client: Client
    ) -> None:
        come(client, world.tenant, provider)
        with tenant_scope(other_tenant.pk):
            other = Member.objects.get(user=both)
        switch = reverse("portal:switch")
        client.post(switch, {"membership": str(other.pk)})
        for page in (switch, reverse("admin:index")):
            shown = client.get(page).content.decode()
            assert (world.tenant.name in shown, other_tenant.name in shown) == (True, False)
        # Not under the other's domain either, whoever carries the cookie there.
        with installation_scope():
            Tenant.objects.filter(pk=other_tenant.pk).update(domain="billing.second.example")
        elsewhere = {"host": "billing.second.example"}
        assert client.get("/", headers=elsewhere).status_code == 403
        # A password opens both, in the same browser.
        client.post(reverse("portal:sign-out"))
        client.post("/sign-in/", {"username": EMAIL, "password": PASSWORD})
        assert other_tenant.name in client.get(switch).content.decode()

    @pytest.mark.parametrize(
        "page", ["portal:password", "sessions", "mfa_index", "mfa_activate_totp"]
    )
    @pytest.mark.usefixtures("both")
    def test_changes_nothing_of_the_account(
        self, world: World, provider: Provider, client: Client, page: str
    ) -> None:
        come(client, world.tenant, provider)
        assert client.get(reverse(page)).status_code == 403
        assert client.post(reverse(page)).status_code == 403

    def test_ends_for_who_becomes_the_installations_owner(
        self, world: World, both: User, provider: Provider, client: Client
    ) -> None:
        come(client, world.tenant, provider)
        User.objects.filter(pk=both.pk).update(is_superuser=True)
        assert client.get(reverse("admin:tenants_tenant_changelist")).status_code == 302
        assert "_auth_user_id" not in client.session

    @pytest.mark.parametrize("how", ["off", "removed", "replaced", "unlinked"])
    def test_ends_where_the_provider_answers_no_more(
        self, world: World, both: User, kept: SignInProvider, provider: Provider, client: Client,
        how: str,
    ) -> None:  # fmt: skip
        come(client, world.tenant, provider)
        by_password = Client()
        by_password.post("/sign-in/", {"username": EMAIL, "password": PASSWORD})
        assert client.get(reverse("admin:index")).status_code == 200
        with tenant_scope(world.tenant.pk):
            if how == "off":
                kept.is_enabled = False
                keep(kept, "", as_of=timezone.now())
            elif how == "replaced":
                kept.client_id = "another"
                keep(kept, SECRET, as_of=timezone.now())
            elif how == "removed":
                remove(kept, as_of=timezone.now())
            else:
                unlink(Member.objects.get(user=both), as_of=timezone.now())
        assert client.get(reverse("admin:index"))["Location"] == reverse("portal:sign-in")
        assert "_auth_user_id" not in client.session
        assert by_password.get(reverse("admin:index")).status_code == 200

    @pytest.mark.usefixtures("both")
    def test_is_not_another_links(
        self, world: World, kept: SignInProvider, provider: Provider, client: Client
    ) -> None:
        come(client, world.tenant, provider)
        with tenant_scope(world.tenant.pk):
            unlink(Member.objects.get(user__email=EMAIL), as_of=timezone.now())
        # Linked anew in another browser, before the first one asks for anything.
        other = Client()
        come(other, world.tenant, provider, subject="4712")
        assert other.get(reverse("admin:index")).status_code == 200
        assert client.get(reverse("admin:index"))["Location"] == reverse("portal:sign-in")

    def test_needs_no_second_factor_where_the_tenant_asks_for_one(
        self, world: World, both: User, provider: Provider, client: Client
    ) -> None:
        with installation_scope():
            Tenant.objects.filter(pk=world.tenant.pk).update(staff_need_second_factor=True)
        come(client, world.tenant, provider)
        assert client.get(reverse("admin:index")).status_code == 200
        assert not Authenticator.objects.filter(user=both).exists()

    @pytest.mark.usefixtures("both")
    def test_of_somebody_signed_in_is_not_changed_by_a_link(
        self, world: World, provider: Provider
    ) -> None:
        browser = signed_in(world.tenant)
        assert browser.get(start(world.tenant))["Location"] == reverse("portal:overview")
        assert provider.asked == []


@pytest.mark.usefixtures("kept")
class TestTheEntrance:
    def test_stands_on_the_page_under_the_tenants_domain(
        self, world: World, other_tenant: Tenant
    ) -> None:
        with installation_scope():
            Tenant.objects.filter(pk=world.tenant.pk).update(domain="billing.first.example")
            Tenant.objects.filter(pk=other_tenant.pk).update(domain="billing.second.example")
        for host, stands in (
            ("billing.first.example", True),
            ("billing.second.example", False),
            ("testserver", False),
        ):
            page = Client(headers={"host": host}).get("/sign-in/?next=/usage/").content.decode()
            assert ("Sign in with First Login" in page) is stands
            assert (f"{start(world.tenant)}?next=%2Fusage%2F" in page) is stands
        # Under a domain there are no others' providers.
        foreign = Client(headers={"host": "billing.second.example"})
        assert foreign.get(start(world.tenant)).status_code == 404

    def test_is_missing_where_there_is_none(self, other_tenant: Tenant, world: World) -> None:
        assert Client().get(start(other_tenant)).status_code == 404
        with tenant_scope(world.tenant.pk):
            SignInProvider.objects.update(is_enabled=False)
        assert Client().get(start(world.tenant)).status_code == 404

    def test_says_when_the_provider_cannot_be_asked(
        self, world: World, provider: Provider, settings: Settings
    ) -> None:
        provider.document = {"token_endpoint": 5}
        assert Client().get(start(world.tenant)).status_code == 502
        # As for everything that somebody entered: nothing private is asked.
        settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
        provider.document = {}
        asked = len(provider.asked)
        assert Client().get(start(world.tenant)).status_code == 502
        assert len(provider.asked) == asked


class TestConfiguring:
    def post(self, browser: Client, provider: Provider, **said: str) -> Any:
        given = {"name": "First Login", "issuer": provider.issuer, "client_id": CLIENT,
                 "client_secret": SECRET, "is_enabled": "on"}  # fmt: skip
        kept = SignInProvider.objects.first
        with tenant_scope(self.tenant.pk):
            known = kept()
        page = "change" if known else "add"
        args = [known.pk] if known else []
        return browser.post(
            reverse(f"admin:tenants_signinprovider_{page}", args=args), given | said
        )

    @pytest.fixture(autouse=True)
    def of(self, tenant: Tenant) -> None:
        self.tenant = tenant

    def test_tries_the_provider_first(self, provider: Provider) -> None:
        owner = signed_in(self.tenant)
        for said, why in (
            ({"issuer": f"{provider.issuer}/"}, "calls itself"),
            ({"issuer": "http://127.0.0.1:9"}, "refused"),
            ({"client_secret": ""}, "gives one with the client ID"),
        ):
            assert why in self.post(owner, provider, **said).content.decode()
        assert self.post(owner, provider).status_code == 302
        with tenant_scope(self.tenant.pk):
            kept = SignInProvider.objects.get()
            assert SECRET not in kept.sealed_secret
        shown = owner.get(reverse("admin:tenants_signinprovider_change", args=[kept.pk]))
        assert SECRET not in shown.content.decode()
        assert reverse("openid_connect_callback", args=[self.tenant.pk]) in shown.content.decode()

    def test_with_another_client_knows_nobody_any_more(self, provider: Provider) -> None:
        owner, browser = signed_in(self.tenant), Client()
        make_person(EMAIL, self.tenant)
        self.post(owner, provider)
        come(browser, self.tenant, provider)
        self.post(owner, provider, name="Other name", client_secret="")
        assert SocialAccount.objects.count() == 1
        self.post(owner, provider, client_id="another", client_secret="")
        assert not SocialAccount.objects.exists()

    def test_unlinks_a_member(self, provider: Provider) -> None:
        owner, first, second = signed_in(self.tenant), Client(), Client()
        person = make_person(EMAIL, self.tenant)
        self.post(owner, provider)
        come(first, self.tenant, provider)
        assert come(second, self.tenant, provider, subject="new").status_code == 403
        with tenant_scope(self.tenant.pk):
            member = Member.objects.get(user=person)
        owner.post(reverse("admin:tenants_member_unlink", args=[member.pk]))
        assert come(second, self.tenant, provider, subject="new").status_code == 302

    def test_is_the_owners(self, provider: Provider) -> None:
        for role in ("operator", "billing", "viewer"):
            assert self.post(signed_in(self.tenant, role), provider).status_code == 403
