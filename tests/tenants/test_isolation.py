"""A tenant's rows are invisible to everyone else, whatever the query."""

from uuid import uuid4

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from metering.models import Application
from tenants.models import Customer, Environment, Tenant
from tenants.scope import AnotherTenantScope, OutsideTenantScope, tenant_scope


class TestTenantScope:
    def test_shows_only_the_tenants_own_rows(self, tenant: Tenant, other_tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            Customer.objects.create(name="Ours", reference="ours")
        with tenant_scope(other_tenant.pk):
            assert list(Customer.objects.all()) == []
            assert list(Tenant.objects.all()) == [other_tenant]

    def test_without_one_nothing_is_seen_and_nothing_written(self, tenant: Tenant) -> None:
        assert not Environment.objects.exists()
        assert not Tenant.objects.exists()
        with pytest.raises(OutsideTenantScope):
            Customer.objects.create(name="Nobody's", reference="nobodys")

    def test_refuses_to_write_into_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with (
            tenant_scope(tenant.pk),
            pytest.raises(DatabaseError, match="row-level security"),
            transaction.atomic(),
        ):
            Customer.objects.create(name="Theirs", reference="theirs", tenant=other_tenant)

    def test_refuses_to_open_inside_another_tenants(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with (
            tenant_scope(tenant.pk),
            pytest.raises(AnotherTenantScope),
            tenant_scope(other_tenant.pk),
        ):
            pass

    def test_ends_with_its_transaction(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            assert Environment.objects.count() == 1
        assert not Environment.objects.exists()

    def test_a_row_cannot_point_into_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            theirs = Environment.objects.get()
        with tenant_scope(tenant.pk):
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with pytest.raises(DatabaseError, match="foreign key"), transaction.atomic():
                Application.objects.create(environment_id=theirs.pk, name="nginx")


@pytest.mark.django_db
class TestDatabase:
    def test_closes_every_table_that_has_a_tenant(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
                "WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') "
                "AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
            )
            # A partitioned table holds no rows itself; COPY needs one without a policy.
            assert cursor.fetchall() == [("metering_sample_store",)]

    def test_what_ingest_copies_into_takes_this_tenants_rows_and_shows_none(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        door = "metering_sample_store"
        row = (
            "(tenant_id, application_id, instance_id, batch_id, window_start, window_end, "
            "coverage_ppm, batch_index, role) VALUES (%s, %s, %s, %s, now(), "
            "now() + interval '1 second', 1, 1, 'primary')"
        )
        with tenant_scope(tenant.pk), connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {door} {row}", [tenant.pk] * 4)
            with (
                pytest.raises(DatabaseError, match="metering_sample_own_tenant"),
                transaction.atomic(),
            ):
                cursor.execute(f"INSERT INTO {door} {row}", [other_tenant.pk] * 4)
            for forbidden in (
                f"SELECT count(*) FROM {door}",  # noqa: S608 - a constant
                f"UPDATE {door} SET coverage_ppm = 0",  # noqa: S608
                f"DELETE FROM {door}",  # noqa: S608
            ):
                with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                    cursor.execute(forbidden)

    def test_the_application_owns_nothing_and_bypasses_nothing(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolsuper, rolbypassrls, "
                "(SELECT count(*) FROM pg_class WHERE relowner = r.oid) "
                "FROM pg_roles r WHERE rolname = current_user"
            )
            assert cursor.fetchone() == (False, False, 0)

    def test_a_partition_cannot_be_read_directly(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits "
                "WHERE inhparent = 'metering_sample'::regclass LIMIT 1"
            )
            (name,) = cursor.fetchone() or ("",)
            with pytest.raises(DatabaseError) as refused, transaction.atomic():
                cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 - from the catalogue
        assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)

    def test_an_unknown_tenant_sees_nothing(self) -> None:
        with tenant_scope(uuid4()):
            assert not Tenant.objects.exists()
