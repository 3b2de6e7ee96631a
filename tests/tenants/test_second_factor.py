"""A tenant that asks for second factors lets nobody in without one, and no program is asked."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.access_models import AuditEntry
from tenants.models import Customer, Member, Tenant
from tenants.operations import issue_api_key
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.portal.test_access import code_of

FIRST = "A second factor first"
PAGE = "admin:tenants_member_require_second_factor"


def ask(browser: Client, *groups: str) -> int:
    return browser.post(reverse(PAGE), dict.fromkeys(groups, "on")).status_code


def is_held_up(browser: Client, page: str) -> bool:
    answer = browser.get(page)
    assert (answer.status_code == 403) == (FIRST in answer.content.decode())
    return answer.status_code == 403


def set_up(browser: Client) -> None:
    session = browser.session
    user_id = session["_auth_user_id"]
    # As after signing in a moment ago.
    session["account_authentication_methods"] = [{"method": "password", "at": time.time()}]
    session["account_authentication_methods_user"] = user_id
    session.save()
    page = browser.get(reverse("mfa_activate_totp"))
    secret = re.search(r'value="([A-Z2-7]{32})"', page.content.decode())
    assert secret
    browser.post(reverse("mfa_activate_totp"), {"code": code_of(secret[1])})


@pytest.fixture
def customer(tenant: Tenant) -> Customer:
    with tenant_scope(tenant.pk):
        return Customer.objects.create(name="Shop", reference="shop")


class TestAskedFor:
    def test_of_the_team_in_the_admin_and_the_portal(
        self, tenant: Tenant, customer: Customer
    ) -> None:
        owner, staff = signed_in(tenant), signed_in(tenant, "viewer")
        shop = signed_in(tenant, "viewer", customer=customer)
        assert ask(owner, "of_staff") == 302
        for browser in (owner, staff):
            for page in (reverse("admin:index"), reverse(PAGE), "/", "/invoices/"):
                assert is_held_up(browser, page)
        assert not is_held_up(shop, "/")
        assert ask(owner) == 403
        set_up(staff)
        assert not is_held_up(staff, reverse("admin:index"))
        assert is_held_up(owner, reverse("admin:index"))
        with tenant_scope(tenant.pk):
            noted = AuditEntry.objects.get(action="second_factor_required")
        assert noted.details == {"team": True, "customers": False}

    def test_of_customers_people(self, tenant: Tenant, customer: Customer) -> None:
        owner, shop = signed_in(tenant), signed_in(tenant, "owner", customer=customer)
        assert ask(owner, "of_customers") == 302
        assert is_held_up(shop, "/")
        assert is_held_up(shop, reverse("portal:team"))
        assert shop.post(reverse("portal:team"), {}).status_code == 403
        assert not is_held_up(owner, reverse("admin:index"))
        # Codes for the day that one is lost are none by themselves.
        user_id = shop.session["_auth_user_id"]
        Authenticator.objects.create(user_id=user_id, type="recovery_codes", data={})
        assert is_held_up(shop, "/")
        Authenticator.objects.create(user_id=user_id, type="webauthn", data={"name": "Key"})
        assert not is_held_up(shop, "/")
        assert ask(owner) == 302
        with tenant_scope(tenant.pk):
            assert AuditEntry.objects.filter(action="second_factor_required").count() == 2

    def test_leaves_the_ways_out(self, tenant: Tenant, other_tenant: Tenant) -> None:
        browser = signed_in(tenant)
        with tenant_scope(other_tenant.pk):
            elsewhere = Member.objects.create(
                user_id=browser.session["_auth_user_id"], role="owner"
            )
        ask(browser, "of_staff")
        for name in ("sessions", "portal:switch", "portal:password"):
            assert not is_held_up(browser, reverse(name))
        # Another tenant's pages are that tenant's to ask for.
        browser.post(reverse("portal:switch"), {"membership": str(elsewhere.pk)})
        page = browser.get(reverse("admin:index"))
        assert other_tenant.name in page.content.decode()
        assert browser.post(reverse("portal:sign-out")).status_code == 302

    def test_not_of_programs(self, tenant: Tenant) -> None:
        ask(signed_in(tenant), "of_staff", "of_customers")
        with tenant_scope(tenant.pk):
            key = issue_api_key("robot", ["usage:read"], as_of=timezone.now())
        answer = Client().get("/api/v1/environments", headers={"Authorization": f"Bearer {key}"})
        assert "second factor" not in answer.content.decode()
        assert answer.status_code == 403
        assert answer.json()["type"] != "tenant-suspended"

    def test_by_owners_alone(self, tenant: Tenant, other_tenant: Tenant) -> None:
        for role in ("operator", "billing", "viewer"):
            assert ask(signed_in(tenant, role), "of_staff") == 403
        assert ask(signed_in(tenant), "of_staff") == 302
        assert not is_held_up(signed_in(other_tenant), reverse("admin:index"))
