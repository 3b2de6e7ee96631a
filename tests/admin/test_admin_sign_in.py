"""Owners see how their people sign in and end it, unless they are another tenant's people too."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse

from tenants.access_models import AuditEntry
from tenants.mail_models import MailMessage
from tenants.models import Member, Tenant, User
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.portal.world import PASSWORD, make_person

EMAIL = "ann@first.example"


def page(name: str, member: Member) -> str:
    return reverse(f"admin:tenants_member_{name}", args=[member.pk])


def member_of(tenant: Tenant, user: User) -> Member:
    with tenant_scope(tenant.pk):
        return Member.objects.get(user=user)


@pytest.fixture
def person(tenant: Tenant) -> User:
    person = make_person(EMAIL, tenant)
    Authenticator.objects.create(user=person, type="recovery_codes", data={})
    return person


@pytest.fixture
def browser(person: User) -> Client:
    """The person's own."""
    browser = Client(headers={"user-agent": "Ann's browser"})
    browser.post("/sign-in/", {"username": EMAIL, "password": PASSWORD})
    assert browser.get(reverse("sessions")).status_code == 200
    return browser


def test_owners_end_sessions_and_reset_factors(
    tenant: Tenant, person: User, browser: Client
) -> None:
    owner, member = signed_in(tenant), member_of(tenant, person)
    shown = owner.get(page("change", member)).content.decode()
    assert "recovery codes, never used" in shown
    assert "Ann&#x27;s browser" in shown
    assert "End all sessions of" in owner.get(page("end_sessions", member)).content.decode()
    assert owner.post(page("end_sessions", member)).status_code == 302
    assert browser.get(reverse("sessions")).status_code == 302
    Authenticator.objects.create(user=person, type="totp", data={"secret": "sealed"})
    assert owner.post(page("reset_second_factors", member)).status_code == 302
    assert not Authenticator.objects.filter(user=person).exists()
    # Nothing is left to end, so nothing is told.
    owner.post(page("reset_second_factors", member))
    owner.post(page("end_sessions", member))
    with tenant_scope(tenant.pk):
        told = MailMessage.objects.filter(kind="account_changed").order_by("created_at")
        noted = AuditEntry.objects.filter(subject=EMAIL).order_by("occurred_at")
        assert [(each.recipient, each.context["what"]) for each in told] == [
            (EMAIL, "sessions_ended"),
            (EMAIL, "second_factors_reset"),
        ]
        ended = [each for each in noted if each.action != "sign_in"]
    assert [each.action for each in ended] == ["sessions_ended", "second_factors_reset"]
    assert all(each.actor.startswith("owner") for each in ended)


def test_of_people_of_another_tenant_too_nothing_is_shown(
    tenant: Tenant, other_tenant: Tenant, person: User, browser: Client
) -> None:
    owner, member = signed_in(tenant), member_of(tenant, person)
    with tenant_scope(other_tenant.pk):
        theirs = Member.objects.create(user=person, role="viewer")
    shown = owner.get(page("change", member)).content.decode()
    assert "belongs to other tenants as well" in shown
    assert "Ann&#x27;s browser" not in shown
    for name in ("end_sessions", "reset_second_factors"):
        owner.post(page(name, member))
        # Another tenant's membership answers as a missing one.
        assert owner.post(page(name, theirs))["Location"].endswith("/member/")
    assert browser.get(reverse("sessions")).status_code == 200
    assert Authenticator.objects.filter(user=person).exists()


def test_not_of_oneself_and_not_by_others(tenant: Tenant, person: User) -> None:
    owner = signed_in(tenant)
    user = User.objects.get(pk=owner.session["_auth_user_id"])
    Authenticator.objects.create(user=user, type="recovery_codes", data={})
    owner.post(page("reset_second_factors", member_of(tenant, user)))
    member = member_of(tenant, person)
    for role in ("operator", "billing", "viewer"):
        other = signed_in(tenant, role)
        assert "Signed in" not in other.get(page("change", member)).content.decode()
        assert other.post(page("reset_second_factors", member)).status_code == 403
    assert Authenticator.objects.count() == 2
    assert UserSession.objects.count() == 0
