"""A customer runs hosts of its own."""

import re
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from metering.models import Host, HostKey
from tenants.models import EnrolmentToken, Environment, Member
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person


@pytest.fixture
def owner(world: World) -> Client:
    return signed_in(world, Member.Role.OWNER)


def signed_in(world: World, role: str) -> Client:
    client = Client()
    client.force_login(make_person(f"{role}-h@first.example", world.tenant, role, world.customer))
    return client


def environment(world: World, name: str = "pine-own", *, others: bool = False) -> Environment:
    owner = world.other_customer if others else world.customer
    with tenant_scope(world.tenant.pk):
        return Environment.objects.create(name=name, owner_customer=owner)


def host_in(world: World, place: Environment, name: str = "pine-1") -> tuple[Host, HostKey]:
    with tenant_scope(world.tenant.pk):
        host = Host.objects.create(
            name=name, environment=place, last_seen_at=timezone.now(),
            last_window_end=timezone.now(),
        )  # fmt: skip
        key = HostKey.objects.create(
            host=host, key_id=f"{world.tenant.pk.hex}.{name}", public_key=uuid4().bytes * 2
        )
    return host, key


class TestWithoutHosts:
    def test_says_how_to_begin(self, world: World, owner: Client) -> None:
        assert "ask First-Host for an environment" in owner.get("/hosts/").content.decode()
        environment(world)
        assert "Add your first host" in owner.get("/hosts/").content.decode()


class TestAddingAHost:
    def test_shows_the_command_once_and_how_far_it_has_come(
        self, world: World, owner: Client
    ) -> None:
        place = environment(world)
        answer = owner.post(reverse("portal:enrol-host"), {"environment": str(place.pk)})
        page = answer.content.decode()
        assert "no-store" in answer["Cache-Control"]
        token = re.search(r"--token (\S+)<", page)
        assert token is not None
        assert "Waiting for the host to enrol" in page
        with tenant_scope(world.tenant.pk):
            stored = EnrolmentToken.objects.get()
        again = owner.get(reverse("portal:host-enrolment", args=[stored.pk])).content.decode()
        assert token[1] not in again
        assert "Waiting for the host to enrol" in again
        with tenant_scope(world.tenant.pk):
            Host.objects.create(name="pine-1", environment=place, enrolled_with=stored)
        state = owner.get(reverse("portal:host-enrolment-state", args=[stored.pk]))
        assert "pine-1" in state.content.decode()
        assert "<html" not in state.content.decode()

    def test_a_token_is_revoked(self, world: World, owner: Client) -> None:
        place = environment(world)
        owner.post(reverse("portal:enrol-host"), {"environment": str(place.pk)})
        with tenant_scope(world.tenant.pk):
            token = EnrolmentToken.objects.get()
        owner.post(reverse("portal:revoke-host-token", args=[token.pk]))
        page = owner.get(reverse("portal:host-enrolment", args=[token.pk])).content.decode()
        assert "was revoked before a host used it" in page


class TestAKey:
    def test_is_revoked_after_asking(self, world: World, owner: Client) -> None:
        host, key = host_in(world, environment(world))
        page = reverse("portal:revoke-host-key", args=[host.pk, key.pk])
        assert page in owner.get("/hosts/").content.decode()
        assert "This is not undone." in owner.get(page).content.decode()
        with tenant_scope(world.tenant.pk):
            assert HostKey.objects.get(pk=key.pk).revoked_at is None
        for _ in range(2):
            owner.post(page)
        with tenant_scope(world.tenant.pk):
            assert HostKey.objects.get(pk=key.pk).revoked_at is not None


class TestWhoOnlyLooks:
    @pytest.mark.parametrize("role", [Member.Role.BILLING, Member.Role.VIEWER])
    def test_changes_nothing(self, world: World, role: str) -> None:
        place = environment(world)
        host, key = host_in(world, place)
        client = signed_in(world, role)
        assert "pine-1" in client.get("/hosts/").content.decode()
        enrol = client.post(reverse("portal:enrol-host"), {"environment": str(place.pk)})
        revoke = client.post(reverse("portal:revoke-host-key", args=[host.pk, key.pk]))
        assert (enrol.status_code, revoke.status_code) == (403, 403)


class TestIsolation:
    def test_what_is_anothers_answers_as_missing(self, world: World, owner: Client) -> None:
        theirs = environment(world, "reed-own", others=True)
        host, key = host_in(world, theirs, "reed-1")
        with tenant_scope(world.tenant.pk):
            token = EnrolmentToken.objects.create(
                environment=theirs, digest=uuid4().bytes * 2, expires_at=timezone.now()
            )
        none = uuid4()
        assert "reed" not in owner.get("/hosts/").content.decode()
        asked = [("enrol-host", (), {"environment": str(theirs.pk)}),
                 ("revoke-host-token", (token.pk,), {}),
                 ("revoke-host-key", (host.pk, key.pk), {})]  # fmt: skip
        for name, ids, form in asked:
            found = owner.post(reverse(f"portal:{name}", args=ids), form)
            missing = owner.post(
                reverse(f"portal:{name}", args=[none for _ in ids]), dict.fromkeys(form, str(none))
            )
            assert found.status_code == missing.status_code == 404
            assert found.content == missing.content
        for name in ("host-enrolment", "host-enrolment-state"):
            found = owner.get(reverse(f"portal:{name}", args=[token.pk]))
            assert found.status_code == 404


def test_more_hosts_cost_no_more_queries(world: World, owner: Client) -> None:
    place = environment(world)
    counts = []
    for number in range(1, 8):
        host_in(world, place, f"pine-{number}")
        if number in {2, 7}:
            with CaptureQueriesContext(connection) as asked:
                owner.get("/hosts/")
            counts.append(len(asked))
    assert counts[0] == counts[1]
