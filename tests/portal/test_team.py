"""A customer's owners keep their own people and keys, and nobody else's."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from portal import words
from tenants import audit
from tenants.access_models import AuditEntry
from tenants.models import ApiKey, Customer, Member, Tenant, User
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person


def member_of(world: World, email: str, role: str, customer: Customer | None = None) -> Member:
    make_person(email, world.tenant, role, customer or world.customer)
    with tenant_scope(world.tenant.pk):
        return Member.objects.get(user__email=email)


@pytest.fixture
def owner(world: World) -> Client:
    """Signed in as an owner of the first customer."""
    client = Client()
    member = member_of(world, "owner@pine.example", "owner")
    client.force_login(User.objects.get(pk=member.user_id))
    return client


def noted(world: World, action: str) -> AuditEntry:
    with tenant_scope(world.tenant.pk):
        return AuditEntry.objects.get(action=action)


class TestInviting:
    def test_leads_a_colleague_into_this_customer_alone(self, owner: Client, world: World) -> None:
        asked = {"email": "New@pine.example", "role": "billing"}
        page = owner.post(reverse("portal:team"), asked).content.decode()
        link = re.search(r"/join/[\w-]+/", page)
        assert link
        colleague = Client()
        chosen = {"new_password1": "a long new secret", "new_password2": "a long new secret"}
        assert colleague.post(link[0], chosen).status_code == 302
        assert "Pine Mail" in colleague.get("/").content.decode()
        assert colleague.get("/admin/").status_code == 302
        with tenant_scope(world.tenant.pk):
            member = Member.objects.get(user__email="new@pine.example")
            assert (member.role, member.customer_id) == ("billing", world.customer.pk)
        assert noted(world, "member_invited").actor == "owner@pine.example"
        assert noted(world, "member_joined").actor == "new@pine.example"

    @pytest.mark.parametrize(
        ("email", "role", "said"),
        [
            ("owner@pine.example", "viewer", "on the team already"),
            ("nonsense", "viewer", "valid email"),
            ("a@pine.example", "operator", "not one of the available choices"),
        ],
    )
    def test_says_what_is_wrong(self, owner: Client, email: str, role: str, said: str) -> None:
        answer = owner.post(reverse("portal:team"), {"email": email, "role": role})
        assert answer.status_code == 400
        assert said in answer.content.decode()

    def test_again_replaces_the_link(self, owner: Client, world: World) -> None:
        asked = {"email": "new@pine.example", "role": "viewer"}
        first = re.search(
            r"/join/[\w-]+/", owner.post(reverse("portal:team"), asked).content.decode()
        )
        with tenant_scope(world.tenant.pk):
            member = Member.objects.get(user__email="new@pine.example")
        again = owner.post(reverse("portal:member-again", args=[member.pk])).content.decode()
        second = re.search(r"/join/[\w-]+/", again)
        assert first
        assert second
        assert Client().get(first[0]).status_code == 404
        assert Client().get(second[0]).status_code == 200


class TestMembers:
    def test_get_another_role(self, owner: Client, world: World) -> None:
        member = member_of(world, "v@pine.example", "viewer")
        owner.post(reverse("portal:member-role", args=[member.pk]), {"role": "billing"})
        assert "billing" in owner.get(reverse("portal:team")).content.decode()
        entry = noted(world, "member_role_changed")
        assert entry.details == {"role": "billing", "before": "viewer"}

    def test_see_nothing_once_removed(self, owner: Client, world: World) -> None:
        member = member_of(world, "v@pine.example", "viewer")
        theirs = Client()
        theirs.force_login(User.objects.get(pk=member.user_id))
        assert theirs.get("/").status_code == 200
        page = reverse("portal:member-remove", args=[member.pk])
        assert "Remove v@pine.example?" in owner.get(page).content.decode()
        assert owner.post(page).status_code == 302
        assert theirs.get("/").status_code == 403

    def test_keep_an_owner(self, owner: Client, world: World) -> None:
        make_person("boss@first.example", world.tenant, "owner")
        with tenant_scope(world.tenant.pk):
            me = Member.objects.get(user__email="owner@pine.example")
        for name, data in (("member-remove", {}), ("member-role", {"role": "viewer"})):
            page = owner.post(reverse(f"portal:{name}", args=[me.pk]), data, follow=True)
            assert "A team keeps an owner" in page.content.decode()
        with tenant_scope(world.tenant.pk):
            assert Member.objects.get(pk=me.pk).role == "owner"

    @pytest.mark.parametrize("role", ["viewer", "billing"])
    def test_who_are_no_owners_change_nothing(self, world: World, role: str) -> None:
        me = member_of(world, f"{role}@pine.example", role)
        client = Client()
        client.force_login(User.objects.get(pk=me.user_id))
        page = client.get(reverse("portal:team")).content.decode()
        assert f"{role}@pine.example" in page
        assert "Invite someone" not in page
        asked = {"email": "x@pine.example", "role": "owner"}
        assert client.post(reverse("portal:team"), asked).status_code == 403
        raised = client.post(reverse("portal:member-role", args=[me.pk]), {"role": "owner"})
        assert raised.status_code == 403
        key = {"name": "Mine", "scopes": ["usage:read"]}
        assert client.post(reverse("portal:keys"), key).status_code == 403


class TestKeys:
    def made(self, owner: Client) -> str:
        asked = {"name": "Nightly", "scopes": ["usage:read"], "days": "90"}
        page = owner.post(reverse("portal:keys"), asked)
        assert "no-store" in page["Cache-Control"]
        found = re.search(r"hmk_[0-9a-f]{32}_[\w-]{43}", page.content.decode())
        assert found
        return found[0]

    def test_open_the_customers_data_until_revoked(self, owner: Client, world: World) -> None:
        key = self.made(owner)
        headers = {"Authorization": f"Bearer {key}"}
        usage = "/api/v1/meters"
        before = Client().get(usage, headers=headers)
        assert before.status_code != 401
        assert key not in owner.get(reverse("portal:keys")).content.decode()
        with tenant_scope(world.tenant.pk):
            stored = ApiKey.objects.get(name="Nightly")
        assert stored.customer_id == world.customer.pk
        owner.post(reverse("portal:key-revoke", args=[stored.pk]))
        assert Client().get(usage, headers=headers).status_code == 401
        assert noted(world, "api_key_revoked").subject == "Nightly"

    @pytest.mark.parametrize("scopes", [[], ["invoices:write"], ["hosts:all"]])
    def test_read_and_nothing_else(self, owner: Client, scopes: list[str]) -> None:
        asked = {"name": "Nightly", "scopes": scopes}
        assert owner.post(reverse("portal:keys"), asked).status_code == 400


class TestAnotherCustomers:
    def test_people_and_keys_are_not_named(self, owner: Client, world: World) -> None:
        theirs = member_of(world, "boss@reed.example", "owner", world.other_customer)
        other = Client()
        other.force_login(User.objects.get(pk=theirs.user_id))
        other.post(reverse("portal:keys"), {"name": "Reedkey", "scopes": ["usage:read"]})
        other.post(reverse("portal:team"), {"email": "x@reed.example", "role": "viewer"})
        assert "Reedkey" in other.get(reverse("portal:audit-log")).content.decode()
        for name in ("team", "keys", "audit-log"):
            page = owner.get(reverse(f"portal:{name}")).content.decode()
            assert "reed.example" not in page
            assert "Reedkey" not in page

    def test_are_answered_as_missing(
        self, owner: Client, world: World, other_tenant: Tenant
    ) -> None:
        theirs = member_of(world, "boss@reed.example", "owner", world.other_customer)
        make_person("boss@second.example", other_tenant, "owner")
        with tenant_scope(other_tenant.pk):
            elsewhere = Member.objects.get()
        with tenant_scope(world.tenant.pk):
            key = ApiKey.objects.create(name="R", digest=b"1", customer=world.other_customer)
        for name in ("member-again", "member-role", "member-remove", "key-revoke"):
            answers = [
                owner.post(reverse(f"portal:{name}", args=[pk]), {"role": "viewer"})
                for pk in (theirs.pk, elsewhere.pk, key.pk, uuid4())
            ]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.content for answer in answers}) == 1


class TestLog:
    def test_is_found_by_person_and_by_what_was_done(self, owner: Client, world: World) -> None:
        owner.post(reverse("portal:keys"), {"name": "Nightly", "scopes": ["usage:read"]})
        owner.post(reverse("portal:team"), {"email": "x@pine.example", "role": "viewer"})
        page = reverse("portal:audit-log")
        keys = owner.get(page, {"action": "api_key_issued"}).content.decode()
        assert "Nightly" in keys
        assert "x@pine.example" not in keys
        assert "Nightly" in owner.get(page, {"person": "OWNER@pine\0"}).content.decode()
        nobody = owner.get(page, {"person": "nobody"}).content.decode()
        assert "Nothing found" in nobody

    def test_shows_who_of_the_provider_looked_and_why(self, owner: Client, staff: Client) -> None:
        page = owner.get(reverse("portal:audit-log")).content.decode()
        assert "billing@first.example" in page
        assert "Request 4711" in page

    def test_has_a_word_for_all_that_is_noted(self) -> None:
        assert {key: str(said) for key, said in words.ACTIONS.items()} == audit.ACTIONS
