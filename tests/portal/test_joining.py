"""A person becomes a member by accepting an invitation, and nobody else in their place."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.invitations import invite
from tenants.models import Member, Tenant, User
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.portal.world import PASSWORD

pytestmark = pytest.mark.django_db

EMAIL = "boss@victim.example"
CHOSEN = {"new_password1": "a long new secret", "new_password2": "a long new secret"}


def invitation(tenant: Tenant, role: str = "owner") -> str:
    with tenant_scope(tenant.pk):
        secret = invite(Member(role=role), EMAIL, as_of=timezone.now())
    return reverse("portal:join", args=[secret])


def can_sign_in(password: str) -> bool:
    return Client().login(username=EMAIL, password=password)


class TestNewPerson:
    def test_chooses_a_password_and_is_in(self, tenant: Tenant) -> None:
        page, browser = invitation(tenant), Client()
        assert f"Join {tenant.name}" in browser.get(page).content.decode()
        assert browser.post(page, CHOSEN).status_code == 302
        assert browser.get("/admin/tenants/member/").status_code == 200
        assert can_sign_in("a long new secret")

    def test_hears_what_is_wrong_with_the_password(self, tenant: Tenant) -> None:
        page = invitation(tenant)
        answer = Client().post(page, {"new_password1": "12345", "new_password2": "12345"})
        assert "too short" in answer.content.decode()
        assert not User.objects.get(email=EMAIL).has_usable_password()

    def test_cannot_use_an_invitation_twice_or_late(self, tenant: Tenant) -> None:
        page = invitation(tenant)
        assert Client().post(page, CHOSEN).status_code == 302
        again = Client().get(page)
        assert again.status_code == 404
        assert "This invitation is over" in again.content.decode()
        with tenant_scope(tenant.pk):
            long_ago = timezone.now() - timedelta(days=7)
            late = invite(Member(role="viewer"), "late@victim.example", as_of=long_ago)
        assert Client().get(reverse("portal:join", args=[late])).status_code == 404


class TestPersonOfTwoTenants:
    def test_a_tenants_invitation_gives_nothing_before_it_is_accepted(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        """Whoever made the account for one tenant does not get into another that invites it."""
        impostor = Client()
        impostor.post(invitation(other_tenant), CHOSEN)
        theirs = invitation(tenant)
        assert impostor.get("/admin/tenants/member/").status_code == 200
        assert tenant.name not in impostor.get("/admin/tenants/tenant/").content.decode()
        with tenant_scope(tenant.pk):
            assert Member.objects.get().is_invited
        impostor.get(theirs.replace(tenant.pk.hex, other_tenant.pk.hex))
        with tenant_scope(tenant.pk):
            assert Member.objects.get().is_invited

    def test_signs_in_to_accept(self, tenant: Tenant, other_tenant: Tenant) -> None:
        browser = Client()
        browser.post(invitation(other_tenant), CHOSEN)
        page = invitation(tenant)
        stranger = Client()
        assert "sign in to accept" in stranger.get(page).content.decode()
        stranger.post(page, CHOSEN)
        assert can_sign_in("a long new secret")
        with tenant_scope(tenant.pk):
            assert Member.objects.get().is_invited
        assert "signed in as" in signed_in(other_tenant).get(page).content.decode()
        assert browser.post(page).status_code == 302
        with tenant_scope(tenant.pk):
            assert not Member.objects.get().is_invited


class TestInvitedAgain:
    def page_of(self, tenant: Tenant) -> str:
        with tenant_scope(tenant.pk):
            member = Member.objects.get(user__email=EMAIL)
        return reverse("admin:tenants_member_invite_again", args=[member.pk])

    def test_chooses_a_new_password(self, tenant: Tenant) -> None:
        browser = Client()
        browser.post(invitation(tenant, "viewer"), CHOSEN)
        answer = signed_in(tenant).post(self.page_of(tenant))
        link = re.search(r"/join/[\w-]+/", answer.content.decode())
        assert link is not None
        assert "no-store" in answer["Cache-Control"]
        assert not can_sign_in("a long new secret")
        assert browser.get(reverse("portal:overview")).status_code == 302
        other = {"new_password1": "another long one", "new_password2": "another long one"}
        assert Client().post(link[0], other).status_code == 302
        assert can_sign_in("another long one")

    def test_is_refused_for_who_belongs_to_other_tenants_too(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        browser = Client()
        browser.post(invitation(other_tenant), CHOSEN)
        browser.post(invitation(tenant))
        answer = signed_in(tenant).post(self.page_of(tenant), follow=True)
        assert "other tenants" in answer.content.decode()
        assert can_sign_in("a long new secret")


class TestPassword:
    def test_is_changed_by_its_owner(self, tenant: Tenant) -> None:
        browser = Client()
        browser.post(invitation(tenant), CHOSEN)
        page = reverse("portal:password")
        new = {"new_password1": "another long one", "new_password2": "another long one"}
        wrong = browser.post(page, {"old_password": PASSWORD, **new})
        assert "incorrectly" in wrong.content.decode()
        browser.post(page, {"old_password": "a long new secret", **new})
        assert can_sign_in("another long one")
        assert Client().get(page).status_code == 302

    def test_is_replaced_by_whoever_runs_the_installation(
        self, tenant: Tenant, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Client().post(invitation(tenant), CHOSEN)
        call_command("new_password", EMAIL)
        assert can_sign_in(capsys.readouterr().out.strip())
        with pytest.raises(CommandError, match="nobody has"):
            call_command("new_password", "x@victim.example")


class TestAdminsDoor:
    def test_is_the_one_with_the_limit(self) -> None:
        answer = Client().get("/admin/", follow=True)
        assert answer.redirect_chain[-1][0] == "/sign-in/?next=%2Fadmin%2F"
        assert (
            Client().post("/admin/login/", {"username": EMAIL, "password": "x"}).status_code == 302
        )

    def test_says_no_to_who_is_no_staff(self, tenant: Tenant) -> None:
        person = User.objects.create_user("reader@victim.example")
        with tenant_scope(tenant.pk):
            Member.objects.create(user=person, role="viewer")
        browser = Client()
        browser.force_login(person)
        assert browser.get("/admin/", follow=True).status_code == 403
