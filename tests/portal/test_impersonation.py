"""Staff look through a customer's eyes with a reason, for an hour, and the customer knows."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.access_models import AuditEntry, Impersonation
from tenants.impersonation import begin
from tenants.models import Member, Tenant, User
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person, visit


def person_of(world: World, role: str) -> tuple[User, Client]:
    person, client = make_person(f"{role}@first.example", world.tenant, role), Client()
    client.force_login(person)
    return person, client


class TestBeginning:
    def test_comes_before_any_page_of_a_customer(self, world: World) -> None:
        _, client = person_of(world, Member.Role.OWNER)
        assert client.get("/invoices/")["Location"] == "/switch/?next=/invoices/"

    @pytest.mark.parametrize("reason", ["", "   ", "\0"])
    def test_needs_a_reason(self, world: World, reason: str) -> None:
        _, client = person_of(world, Member.Role.BILLING)
        answer = client.post("/switch/", {"customer": str(world.customer.pk), "reason": reason})
        assert answer.status_code == 400
        assert "Say why" in answer.content.decode()
        assert client.get("/").status_code == 302

    def test_goes_on_to_the_page_that_was_asked_for_on_this_site_alone(self, world: World) -> None:
        _, client = person_of(world, Member.Role.BILLING)
        asked = {"customer": str(world.customer.pk), "reason": "Request 4711"}
        assert client.post("/switch/", asked | {"next": "/invoices/"})["Location"] == "/invoices/"
        evil = asked | {"next": "https://evil.example/"}
        assert client.post("/switch/", evil)["Location"] == "/"

    def test_is_told_to_the_customer(self, world: World) -> None:
        _, client = person_of(world, Member.Role.BILLING)
        visit(client, world.customer, "Why is my bill so high?")
        with tenant_scope(world.tenant.pk):
            entry = AuditEntry.objects.get(action="impersonation_started")
        assert entry.actor == "billing@first.example"
        assert entry.customer_id == world.customer.pk
        assert entry.reason == "Why is my bill so high?"
        assert entry.address == "127.0.0.1"

    def test_is_not_for_a_customers_own_people(self, world: World) -> None:
        client = Client()
        client.force_login(make_person("o@first.example", world.tenant, "owner", world.customer))
        asked = {"customer": str(world.customer.pk), "reason": "Because"}
        assert client.post("/switch/", asked).status_code == 404


class TestLooking:
    def test_says_on_every_page_whose_pages_these_are(self, staff: Client) -> None:
        for page in ("/", "/invoices/", "/applications/"):
            text = staff.get(page).content.decode()
            assert "You see this as Pine Mail does" in text
            assert "You can only read." in text

    def test_changes_nothing(self, staff: Client) -> None:
        answer = staff.post("/invoices/")
        assert answer.status_code == 403
        assert "Nothing was changed" in answer.content.decode()

    def test_changes_things_only_where_that_was_said_and_never_for_viewers(
        self, world: World
    ) -> None:
        asked = {"customer": str(world.customer.pk), "reason": "Because", "may_change": "on"}
        _, viewer = person_of(world, Member.Role.VIEWER)
        assert viewer.post("/switch/", asked).status_code == 403
        _, owner = person_of(world, Member.Role.OWNER)
        assert owner.post("/switch/", asked).status_code == 302
        assert "You may change things" in owner.get("/").content.decode()

    def test_is_over_after_an_hour(self, world: World) -> None:
        person, client = person_of(world, Member.Role.BILLING)
        visit(client, world.customer)
        with tenant_scope(world.tenant.pk):
            long_ago = begin(
                person, world.customer, "Old", as_of=timezone.now() - timedelta(minutes=60)
            )
        session = client.session
        session["hostmeter_visited_customer"] = str(long_ago.pk)
        session.save()
        assert client.get("/")["Location"] == "/switch/?next=/"

    def test_is_not_possible_by_anothers_impersonation(self, world: World, staff: Client) -> None:
        _, client = person_of(world, Member.Role.OPERATOR)
        session = client.session
        session["hostmeter_visited_customer"] = staff.session["hostmeter_visited_customer"]
        session.save()
        assert client.get("/").status_code == 302


class TestEnding:
    def test_leads_back_and_is_noted_once(self, staff: Client, world: World) -> None:
        end = reverse("portal:end-impersonation")
        assert staff.get(end).status_code == 405
        assert staff.post(end)["Location"] == "/switch/"
        assert staff.post(end)["Location"] == "/switch/"
        assert staff.get("/").status_code == 302
        with tenant_scope(world.tenant.pk):
            assert AuditEntry.objects.filter(action="impersonation_ended").count() == 1

    def test_ends_nobody_elses(self, staff: Client, world: World) -> None:
        _, other = person_of(world, Member.Role.OWNER)
        other.post(reverse("portal:end-impersonation"))
        assert "Pine Mail" in staff.get("/").content.decode()

    def test_comes_with_opening_another_customer(self, staff: Client, world: World) -> None:
        visit(staff, world.other_customer)
        with tenant_scope(world.tenant.pk):
            assert Impersonation.objects.filter(ended_at__isnull=True).count() == 1


class TestInstallationsOwner:
    @pytest.fixture
    def root(self, db: None) -> Client:
        client = Client()
        client.force_login(User.objects.create_superuser("root@host.example"))
        return client

    def look(self, root: Client, tenant: Tenant, reason: str = "Asked by phone") -> None:
        page = reverse("admin:tenants_tenant_look_inside", args=[tenant.pk])
        assert "Why" in root.get(page).content.decode()
        root.post(page, {"reason": reason})

    def test_sees_no_customer_without_a_reason(self, root: Client, world: World) -> None:
        customers = reverse("admin:tenants_customer_changelist")
        assert root.get(customers).status_code == 403
        self.look(root, world.tenant, reason=" ")
        assert root.get(customers).status_code == 403

    def test_reads_the_tenant_with_one_and_the_tenant_knows(
        self, root: Client, world: World
    ) -> None:
        self.look(root, world.tenant)
        page = root.get(reverse("admin:tenants_customer_changelist")).content.decode()
        assert "Pine Mail" in page
        assert "Asked by phone" in page
        assert root.get(reverse("admin:tenants_customer_add")).status_code == 403
        with tenant_scope(world.tenant.pk):
            entry = AuditEntry.objects.get()
        assert (entry.actor, entry.reason) == ("root@host.example", "Asked by phone")
        assert entry.customer_id is None
        assert root.post(reverse("portal:end-impersonation")).status_code == 302
        assert root.get(reverse("admin:tenants_customer_changelist")).status_code == 403

    def test_reads_one_tenant_at_a_time(
        self, root: Client, world: World, other_tenant: Tenant
    ) -> None:
        self.look(root, other_tenant)
        page = root.get(reverse("admin:tenants_customer_changelist")).content.decode()
        assert "Pine Mail" not in page


class TestTheLog:
    def test_is_neither_changed_nor_shortened(self, staff: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            entries = AuditEntry.objects.all()
            assert entries.count() == 1
            with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
                entries.update(reason="another")
            with pytest.raises(IntegrityError, match="only ever added"), transaction.atomic():
                entries.delete()
            with pytest.raises(IntegrityError, match="only ends"), transaction.atomic():
                Impersonation.objects.update(reason="another")
