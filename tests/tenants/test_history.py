"""Each change of what operators keep is kept, with who made it and why."""

from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering.enrolment import Application as Applying
from metering.enrolment import enrol_host
from metering.known_hosts import known_hosts
from metering.models import Host, HostKey
from tenants.authorship import acting, note_reason
from tenants.history import Change, changes_of
from tenants.history_models import EnvironmentChange
from tenants.models import ApiKey, Customer, EnrolmentToken, Environment, Policy, Tenant
from tenants.operations import issue_api_key
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.api.calling import program_of
from tests.metering.delivering import Agent, batch, fresh_token


def fields(change: Change) -> dict[str, tuple[object, object]]:
    return {field.label: (field.before, field.after) for field in change.fields}


class TestAChange:
    def test_tells_from_what_to_what_by_whom_and_why(self, tenant: Tenant) -> None:
        with acting("anna@example.com", request="r-1"), tenant_scope(tenant.pk):
            calm = Policy.objects.create(name="calm")
            environment = Environment.objects.get()
            note_reason("it moved")
            environment.policy = calm
            environment.name = "live"
            environment.save()
        with tenant_scope(tenant.pk):
            (change, made) = changes_of(Environment, environment.pk)
        assert (change.kind, change.who, change.reason, change.request) == (
            "changed", "anna@example.com", "it moved", "r-1",
        )  # fmt: skip
        assert fields(change) == {"name": ("production", "live"), "policy": (None, "calm")}
        assert (made.kind, made.who, made.reason) == ("made", "", "")

    def test_of_a_removed_record_stays(self, inside: UUID) -> None:
        policy = Policy.objects.create(name="calm")
        policy_id = policy.pk
        policy.delete()
        (removed, made) = changes_of(Policy, policy_id)
        assert (removed.kind, made.kind) == ("removed", "made")
        assert fields(removed)["name"] == ("calm", None)

    def test_is_kept_of_rows_written_in_bulk(self, inside: UUID) -> None:
        made = Customer.objects.bulk_create(
            Customer(name=f"Shop {number}", reference=f"shop-{number}") for number in range(3)
        )
        with acting("task nightly"):
            Customer.objects.update(time_zone="Europe/Berlin")
        for customer in made:
            (changed, _) = changes_of(Customer, customer.pk)
            assert changed.who == "task nightly"
            assert fields(changed) == {"time zone": ("UTC", "Europe/Berlin")}

    def test_that_is_rolled_back_never_was(self, inside: UUID) -> None:
        environment = Environment.objects.get()
        with transaction.atomic():
            Environment.objects.update(name="other")
            transaction.set_rollback(True)
        assert len(changes_of(Environment, environment.pk)) == 1

    def test_holds_no_secrets_hash_and_no_use(self, inside: UUID) -> None:
        issue_api_key("program", ["usage:read"], as_of=timezone.now())
        ApiKey.objects.update(last_used_at=timezone.now())
        key = ApiKey.objects.get()
        (made,) = changes_of(ApiKey, key.pk)
        assert not {"digest", "last used at"} & fields(made).keys()
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_jsonb(c)::text FROM tenants_apikeychange c")
            ((row,),) = cursor.fetchall()
        assert bytes(key.digest).hex() not in row


class TestWhoActs:
    def test_is_forgotten_with_the_transaction(self, tenant: Tenant) -> None:
        with acting("anna@example.com"), tenant_scope(tenant.pk):
            Environment.objects.update(name="one")
        with tenant_scope(tenant.pk):
            Environment.objects.update(name="two")
            environment = Environment.objects.get()
            assert [change.who for change in changes_of(Environment, environment.pk)] == [
                "", "anna@example.com", "",
            ]  # fmt: skip

    def test_is_who_acted_before_once_another_is_done(self, inside: UUID) -> None:
        with acting("anna@example.com"):
            with acting("host web-1"):
                Environment.objects.update(name="one")
            Environment.objects.update(name="two")
        environment = Environment.objects.get()
        (second, first, _) = changes_of(Environment, environment.pk)
        assert (second.who, first.who) == ("anna@example.com", "host web-1")

    def test_is_the_host_that_enrols(self, tenant: Tenant) -> None:
        applying = Applying(fresh_token(tenant), "web-7", b"\x07" * 32)
        enrol_host(applying, as_of=timezone.now())
        with tenant_scope(tenant.pk):
            token = EnrolmentToken.objects.get()
            assert changes_of(EnrolmentToken, token.pk)[0].who == "host web-7"
            assert changes_of(HostKey, HostKey.objects.get().pk)[0].who == "host web-7"

    def test_is_the_programs_key(self, tenant: Tenant) -> None:
        program = program_of(tenant)
        answer = program.post("/customers", {"name": "Shop", "reference": "shop"})
        assert answer.status_code == 201
        assert answer.headers["X-Request-Id"]
        with tenant_scope(tenant.pk):
            (made,) = changes_of(Customer, Customer.objects.get().pk)
        assert made.who.startswith("API key ")
        assert made.request == answer.headers["X-Request-Id"]


class TestTheHistory:
    def test_is_only_added_to(self, inside: UUID) -> None:
        kept = EnvironmentChange.objects.all()
        assert kept.count() == 1
        with (
            pytest.raises(DatabaseError, match="Cannot update"),
            transaction.atomic(),
        ):
            kept.update(pgh_label="update")
        with (
            pytest.raises(DatabaseError, match="Cannot update or delete"),
            transaction.atomic(),
        ):
            kept.delete()

    def test_of_another_tenant_is_not_seen_and_not_written(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
            (kept,) = EnvironmentChange.objects.all()
        with tenant_scope(other_tenant.pk):
            assert changes_of(Environment, environment.pk) == []
            kept.pk = None
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                kept.save(force_insert=True)

    @pytest.mark.django_db
    def test_has_the_tenant_in_its_key(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE contype = 'p' AND conrelid::regclass::text ~ '^(tenants|metering)_.*change$'"
            )
            keys = dict(cursor.fetchall())
        assert len(keys) >= 9
        assert set(keys.values()) == {"PRIMARY KEY (tenant_id, pgh_id)"}

    def test_takes_no_part_in_delivering(self, tenant: Tenant) -> None:
        known_hosts.forget()
        agent = Agent(tenant).enrol()
        with tenant_scope(tenant.pk):
            host = Host.objects.get()
            before = len(changes_of(Host, host.pk))
        assert agent.deliver(batch()).status_code == 200
        with tenant_scope(tenant.pk):
            assert Host.objects.get().last_seen_at is not None
            assert len(changes_of(Host, host.pk)) == before


class TestThePage:
    def test_shows_what_a_form_changed_and_its_reason(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        with tenant_scope(tenant.pk):
            customer = Customer.objects.create(name="Shop", reference="shop")
        change = reverse("admin:tenants_customer_change", args=[customer.pk])
        form = {
            "name": "Shop Ltd", "reference": "shop", "time_zone": "UTC", "reason": "as they wish",
        }  # fmt: skip
        assert client.post(change, form).status_code == 302
        history = reverse("admin:tenants_customer_history", args=[customer.pk])
        assert history in client.get(change).content.decode()
        page = client.get(history).content.decode()
        for text in ("Shop Ltd", "as they wish", "owner0@demo.example"):
            assert text in page

    def test_asks_a_viewer_for_no_reason(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
        page = reverse("admin:tenants_environment_change", args=[environment.pk])
        answer = signed_in(tenant, "viewer").get(page)
        assert answer.status_code == 200
        assert b"Reason" not in answer.content


@pytest.mark.django_db
class TestARequest:
    def test_is_named_by_the_proxy_or_afresh(self) -> None:
        given = Client().get("/health/", headers={"X-Request-Id": "edge-42"})
        assert given.headers["X-Request-Id"] == "edge-42"
        for bad in ("a b", "x" * 65, ""):
            made = Client().get("/health/", headers={"X-Request-Id": bad})
            assert len(made.headers["X-Request-Id"]) == 32
