"""A new password by e-mail: for the holder of the mailbox, once, and past no second factor."""

import json
import re
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.tokens import default_token_generator
from django.test import Client, override_settings
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode

from tenants.access_models import AuditEntry
from tenants.mail import SEALED_FOR
from tenants.mail_models import MailMessage
from tenants.models import Member, Tenant, User
from tenants.scope import installation_scope, tenant_scope
from tenants.sealing import unseal
from tests.portal.world import PASSWORD, make_person

pytestmark = pytest.mark.django_db

EMAIL = "ann@first.example"
DOMAIN = "billing.first.example"
NEW = "a long new secret"
CHOSEN = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def person(tenant: Tenant) -> User:
    return make_person(EMAIL, tenant, Member.Role.OWNER)


def ask(browser: Client, email: str = EMAIL) -> tuple[int, str]:
    """What is answered: the status and the page that follows."""
    answer = browser.post(reverse("portal:forgotten"), {"email": email}, follow=True)
    # Each page has a token of its own against forged requests.
    page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
    return answer.status_code, page


def links(tenant: Tenant) -> list[str]:
    """Sent to people, in the tenant's name."""
    with tenant_scope(tenant.pk):
        sealed = MailMessage.objects.filter(kind="password_reset").values_list(
            "sealed_context", flat=True
        )
        return [json.loads(unseal(each, SEALED_FOR))["url"] for each in sealed]


def opened(browser: Client, link: str) -> str:
    """The page with the form, behind the link."""
    answer = browser.get(urlsplit(link).path)
    assert answer.status_code == 302
    return str(answer["Location"])


def actions(tenant: Tenant) -> list[str]:
    with tenant_scope(tenant.pk):
        return list(AuditEntry.objects.order_by("occurred_at").values_list("action", flat=True))


class TestForgotten:
    def test_answers_alike_whoever_is_asked_for(
        self, client: Client, tenant: Tenant, person: User
    ) -> None:
        make_person("nobody@first.example", None)
        User.objects.create_superuser("root@installation.example", PASSWORD)
        left = make_person("left@first.example", tenant)
        User.objects.filter(pk=left.pk).update(is_active=False)
        invited = User.objects.create_user("invited@first.example")
        with tenant_scope(tenant.pk):
            Member.objects.create(user=invited, role="viewer")
        known = ask(client, f" {EMAIL.upper()} ")
        unknown = [
            "stranger@else.example", "nobody@first.example", "root@installation.example",
            left.email, invited.email,
        ]  # fmt: skip
        assert {ask(client, each) for each in unknown} == {known}
        assert known[0] == 200
        with tenant_scope(tenant.pk):
            sent = MailMessage.objects.filter(kind="password_reset")
            assert [each.recipient for each in sent] == [EMAIL]
        assert actions(tenant) == ["password_reset_asked"]
        assert ask(client, "no address")[0] == 400
        assert reverse("portal:forgotten") in client.get("/sign-in/").content.decode()
        assert client.get(reverse("portal:reset-done")).status_code == 200

    def test_sends_three_an_hour_and_hears_so_many_from_one_address(
        self, client: Client, tenant: Tenant, person: User
    ) -> None:
        answers = [ask(client)[0] for _ in range(31)]
        assert answers == [200] * 30 + [429]
        assert len(links(tenant)) == 3

    def test_is_nobodys_under_another_tenants_domain(
        self, client: Client, tenant: Tenant, other_tenant: Tenant, person: User
    ) -> None:
        make_person("other@second.example", other_tenant)
        with installation_scope():
            Tenant.objects.filter(pk=tenant.pk).update(domain=DOMAIN)
        there = Client(headers={"host": DOMAIN})
        assert ask(there, "other@second.example") == ask(there)
        ask(client, "other@second.example")
        (link,) = links(other_tenant)
        assert there.get(urlsplit(link).path).status_code == 404
        assert client.get(urlsplit(link).path).status_code == 302
        assert urlsplit(links(tenant)[0]).hostname == DOMAIN

    @override_settings(BASE_URL="https://metering.example")
    def test_of_two_tenants_leads_to_no_domain_of_theirs(
        self, client: Client, tenant: Tenant, other_tenant: Tenant, person: User
    ) -> None:
        with installation_scope():
            Tenant.objects.filter(pk=tenant.pk).update(domain=DOMAIN)
        with tenant_scope(other_tenant.pk):
            Member.objects.create(user=person, role="viewer")
        ask(client)
        (link,) = links(tenant)
        assert link.startswith("https://metering.example/forgotten-password/")
        assert client.post(opened(client, link), CHOSEN).status_code == 302
        assert actions(tenant) == ["password_reset_asked", "password_reset"]
        assert actions(other_tenant) == ["password_reset"]


class TestLink:
    def test_works_once_and_ends_every_session(
        self, client: Client, tenant: Tenant, person: User
    ) -> None:
        elsewhere = Client()
        elsewhere.post("/sign-in/", {"username": EMAIL, "password": PASSWORD})
        assert elsewhere.get(reverse("sessions")).status_code == 200
        ask(client)
        (link,) = links(tenant)
        page = opened(client, link)
        bad = client.post(page, {"new_password1": "12345", "new_password2": "12345"})
        assert "too short" in bad.content.decode()
        second = Client()
        second_page = opened(second, link)
        done = client.post(page, CHOSEN)
        assert done["Location"] == reverse("portal:reset-done")
        # Nobody is signed in by it, and whoever was is no more.
        assert "_auth_user_id" not in client.session
        assert elsewhere.get(reverse("sessions")).status_code == 302
        late = {"new_password1": "something else", "new_password2": "something else"}
        assert second.post(second_page, late).status_code == 404
        assert Client().get(urlsplit(link).path).status_code == 404
        assert Client().login(username=EMAIL, password=NEW)
        with tenant_scope(tenant.pk):
            told = MailMessage.objects.get(kind="account_changed")
        assert (told.recipient, told.context["what"]) == (EMAIL, "password_reset")

    def test_is_over_after_an_hour(self, person: User) -> None:
        uid = urlsafe_base64_encode(str(person.pk).encode())
        made_at = default_token_generator._make_token_with_timestamp
        now = default_token_generator._num_seconds(default_token_generator._now())
        for minutes, status in ((59, 302), (61, 404)):
            token = made_at(person, now - minutes * 60, default_token_generator.secret)
            assert Client().get(reverse("portal:reset", args=[uid, token])).status_code == status
        for wrong in ("%00/x-y", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk/a-b", "x/set-password"):
            assert Client().get(f"/forgotten-password/{wrong}/").status_code == 404

    def test_passes_no_second_factor(self, client: Client, tenant: Tenant, person: User) -> None:
        Authenticator.objects.create(user=person, type="totp", data={"secret": "sealed"})
        ask(client)
        client.post(opened(client, links(tenant)[0]), CHOSEN)
        answer = client.post("/sign-in/", {"username": EMAIL, "password": NEW})
        assert answer["Location"] == reverse("mfa_authenticate")
        assert "_auth_user_id" not in client.session

    def test_opens_for_who_is_signed_in_elsewhere(
        self, client: Client, tenant: Tenant, other_tenant: Tenant, person: User
    ) -> None:
        client.force_login(make_person("other@second.example", other_tenant))
        ask(client)
        assert client.post(opened(client, links(tenant)[0]), CHOSEN).status_code == 302
        assert Client().login(username=EMAIL, password=NEW)
