"""A second factor keeps who has only the password out; sessions are one's own to end."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks

from tenants.access_models import AuditEntry
from tenants.models import User
from tenants.scope import tenant_scope
from tests.portal.world import PASSWORD, World, make_person

EMAIL = "viewer@first.example"


def sign_in(client: Client) -> str:
    """Where the password alone leads."""
    answer = client.post("/sign-in/", {"username": EMAIL, "password": PASSWORD})
    assert answer.status_code == 302
    return answer["Location"]


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


@pytest.fixture
def person(world: World) -> User:
    return make_person(EMAIL, world.tenant, "viewer", world.customer)


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    """Signed in, and a moment ago asked for the password once more."""
    assert sign_in(client) == "/"
    answer = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert answer.status_code == 302
    return client


def with_second_factor(browser: Client) -> str:
    page = browser.get(reverse("mfa_activate_totp")).content.decode()
    found = re.search(r'value="([A-Z2-7]{32})"', page)
    assert found
    answer = browser.post(reverse("mfa_activate_totp"), {"code": code_of(found[1])})
    assert answer.status_code == 302
    return found[1]


def noted(world: World) -> list[str]:
    with tenant_scope(world.tenant.pk):
        return list(AuditEntry.objects.order_by("occurred_at").values_list("action", flat=True))


class TestSecondFactor:
    def test_is_asked_for_after_the_password(
        self,
        browser: Client,
        world: World,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            secret = with_second_factor(browser)
        stranger = Client()
        assert sign_in(stranger) == reverse("mfa_authenticate")
        assert stranger.get("/").status_code == 302
        assert stranger.get("/admin/").status_code == 302
        stranger.post(reverse("mfa_authenticate"), {"code": "000000"})
        assert "_auth_user_id" not in stranger.session
        # A code works once, and the last one was used to switch this on.
        cache.clear()
        assert sign_in(stranger) == reverse("mfa_authenticate")
        stranger.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        assert "Pine Mail" in stranger.get("/").content.decode()
        assert {"sign_in", "second_factor_added", "recovery_codes_made"} <= set(noted(world))

    def test_is_replaced_by_a_recovery_code_once(self, browser: Client) -> None:
        with_second_factor(browser)
        page = browser.get(reverse("mfa_view_recovery_codes")).content.decode()
        code = re.search(r"\b\d{8}\b", page)
        assert code
        first, second = Client(), Client()
        sign_in(first)
        first.post(reverse("mfa_authenticate"), {"code": code[0]})
        assert first.get("/").status_code == 200
        sign_in(second)
        second.post(reverse("mfa_authenticate"), {"code": code[0]})
        assert second.get("/").status_code == 302

    def test_is_stored_sealed(self, browser: Client) -> None:
        secret = with_second_factor(browser)
        assert secret not in str(Authenticator.objects.get(type="totp").data)

    def test_is_removed_only_after_a_recent_sign_in(self, browser: Client) -> None:
        with_second_factor(browser)
        session = browser.session
        session["account_authentication_methods"] = [
            {"method": "password", "at": time.time() - 3600, "reauthenticated": True}
        ]
        session.save()
        answer = browser.post(reverse("mfa_deactivate_totp"))
        assert answer.status_code == 302
        assert "/account/" in answer["Location"]
        assert Authenticator.objects.filter(type="totp").exists()

    def test_ends_the_sessions_that_began_without_it(
        self,
        browser: Client,
        world: World,
        person: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        lost, other = Client(), Client()
        make_person("other@first.example", world.tenant, "viewer", world.customer)
        other.post("/sign-in/", {"username": "other@first.example", "password": PASSWORD})
        assert sign_in(lost) == "/"
        with django_capture_on_commit_callbacks(execute=True):
            secret = with_second_factor(browser)
        # The own stays, and so does whoever is somebody else.
        found = [each.get("/").status_code for each in (browser, other, lost)]
        assert found == [200, 200, 302]
        assert noted(world).count("sessions_ended") == 1
        # Whoever signed in with it is not sent away by another.
        assert sign_in(lost) == reverse("mfa_authenticate")
        lost.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
        another = Authenticator.objects.create(
            user=person, type=Authenticator.Type.WEBAUTHN, data={"name": "key"}
        )
        authenticator_added.send(
            sender=Authenticator, request=lost.get("/").wsgi_request, user=person,
            authenticator=another,
        )  # fmt: skip
        assert browser.get("/").status_code == 200


class TestOwnAccount:
    @pytest.mark.parametrize(
        "name",
        [
            "mfa_index", "mfa_authenticate", "mfa_reauthenticate", "mfa_activate_totp",
            "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes",
            "mfa_download_recovery_codes", "mfa_list_webauthn", "mfa_add_webauthn",
            "mfa_reauthenticate_webauthn", "account_reauthenticate", "account_login", "sessions",
        ],
    )  # fmt: skip
    def test_shows_a_stranger_nothing(self, client: Client, world: World, name: str) -> None:
        answer = client.get(reverse(name))
        assert answer.status_code == 302
        assert "sign-in" in answer["Location"]

    @pytest.mark.parametrize("name", ["mfa_remove_webauthn", "mfa_edit_webauthn"])
    def test_has_no_one_elses_keys(self, browser: Client, world: World, name: str) -> None:
        other = make_person("other@first.example", world.tenant)
        key = Authenticator.objects.create(user=other, type="webauthn", data={"name": "Theirs"})
        for pk in (key.pk, key.pk + 1):
            assert browser.get(reverse(name, args=[pk])).status_code == 404

    def test_is_never_made_by_oneself(self, client: Client, world: World) -> None:
        assert client.get("/account/signup/").status_code == 404

    def test_opens_each_of_its_pages(self, browser: Client, person: User) -> None:
        names = ("mfa_index", "mfa_add_webauthn", "mfa_activate_totp", "sessions")
        answers = [browser.get(reverse(name)) for name in names]
        data = {"name": "Laptop", "credential": {"clientExtensionResults": {}}}
        key = Authenticator.objects.create(user=person, type="webauthn", data=data)
        answers.append(browser.get(reverse("mfa_list_webauthn")))
        assert "Laptop" in answers[-1].content.decode()
        for name in ("mfa_edit_webauthn", "mfa_remove_webauthn"):
            answers.append(browser.get(reverse(name, args=[key.pk])))
        for answer in answers:
            assert answer.status_code == 200
            assert "<script>" not in answer.content.decode()


class TestFailure:
    def test_is_noted_for_the_person(self, person: User, client: Client, world: World) -> None:
        client.post("/sign-in/", {"username": EMAIL, "password": "wrong"})
        assert noted(world) == ["sign_in_failed"]


class TestSessions:
    def test_are_ones_own(self, browser: Client, world: World, person: User) -> None:
        make_person("other@first.example", world.tenant, "viewer", world.customer)
        other = Client(REMOTE_ADDR="192.0.2.7")
        other.post("/sign-in/", {"username": "other@first.example", "password": PASSWORD})
        assert "192.0.2.7" not in browser.get(reverse("sessions")).content.decode()
        theirs = UserSession.objects.get(ip="192.0.2.7")
        browser.post(reverse("end-sessions"), {"session": str(theirs.pk)})
        browser.post(reverse("end-sessions"))
        assert other.get("/").status_code == 200

    def test_end_elsewhere(self, browser: Client, world: World) -> None:
        lost = Client(REMOTE_ADDR="192.0.2.9")
        assert sign_in(lost) == "/"
        page = browser.get(reverse("sessions")).content.decode()
        assert "192.0.2.9" in page
        one = re.search(r'name="session" value="(\d+)"', page)
        assert one
        browser.post(reverse("end-sessions"), {"session": one[1]})
        assert lost.get("/").status_code == 302
        assert browser.get("/").status_code == 200
        assert "sessions_ended" in noted(world)
