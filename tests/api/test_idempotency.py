"""Requests that come twice."""

from datetime import timedelta
from threading import Event, Thread

import pytest
from django.db import connection
from django.utils import timezone

from tenants.models import Customer, IdempotencyRecord, Tenant
from tenants.operations import prune_idempotency_records
from tenants.scope import tenant_scope
from tenants.tasks import prune_idempotency_records as prune_task
from tests.api.calling import Program, done, problem, program_of

PINE = {"reference": "pine", "name": "Pine"}


def customers(tenant: Tenant) -> int:
    with tenant_scope(tenant.pk):
        return Customer.objects.count()


def name_is_held() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
            "WHERE locktype = 'advisory' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
class TestRepeatedRequest:
    def test_gets_the_first_answer_and_has_no_effect(
        self, tenant: Tenant, program: Program
    ) -> None:
        first = program.post("/customers", PINE, named="one")
        again = program.post("/customers", PINE, named="one")
        assert done(first, 201) == done(again, 201)
        assert again["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first
        assert customers(tenant) == 1

    def test_with_another_body_or_address_is_refused(
        self, tenant: Tenant, program: Program
    ) -> None:
        done(program.post("/customers", PINE, named="one"), 201)
        for answer in (
            program.post("/customers", {**PINE, "name": "Reed"}, named="one"),
            program.post("/plans", PINE, named="one"),
        ):
            assert problem(answer, 422)["type"] == "idempotency-key-reused"
        assert customers(tenant) == 1

    def test_of_another_key_is_another_request(self, tenant: Tenant, program: Program) -> None:
        done(program.post("/customers", PINE, named="one"), 201)
        other = program_of(tenant).post("/customers", {**PINE, "reference": "reed"}, named="one")
        done(other, 201)

    def test_is_free_to_be_mended_while_it_is_refused(self, program: Program) -> None:
        problem(program.post("/customers", {"name": "Pine"}, named="one"), 422)
        done(program.post("/customers", PINE, named="one"), 201)

    def test_needs_its_name(self, tenant: Tenant, program: Program) -> None:
        refused = problem(program.post("/customers", PINE, named=None), 400)
        assert "Idempotency-Key" in refused["detail"]
        problem(program.post("/customers", PINE, named="a b"), 400)
        problem(program.post("/customers", PINE, named="a" * 256), 400)
        assert customers(tenant) == 0

    def test_is_remembered_for_two_days(self, tenant: Tenant, program: Program) -> None:
        done(program.post("/customers", PINE, named="one"), 201)
        now = timezone.now()
        with tenant_scope(tenant.pk):
            assert prune_idempotency_records(as_of=now + timedelta(hours=47)) == 0
            IdempotencyRecord.objects.update(created_at=now - timedelta(hours=49))
        assert prune_task() == 1


@pytest.mark.django_db(transaction=True)
def test_a_request_at_work_lets_its_double_wait(tenant: Tenant) -> None:
    program = program_of(tenant)
    written, go_on = Event(), Event()

    def write_and_hold() -> None:
        with tenant_scope(tenant.pk):
            # Another writer of the same reference: the first request waits for it.
            Customer.objects.create(name="Pine", reference="pine")
            written.set()
            go_on.wait(timeout=30)
            Customer.objects.all().delete()
        connection.close()

    answers: list[object] = []

    def ask() -> None:
        answers.append(Program(program.secret).post("/customers", PINE, named="one"))
        connection.close()

    holder, first = Thread(target=write_and_hold), Thread(target=ask)
    holder.start()
    assert written.wait(timeout=30)
    first.start()
    while not name_is_held() and first.is_alive():
        pass
    double = program.post("/customers", PINE, named="one")
    go_on.set()
    holder.join(timeout=30)
    first.join(timeout=30)
    assert problem(double, 409)["type"] == "idempotency-key-in-use"
    assert double["Retry-After"] == "1"
    assert done(answers[0], 201) == done(program.post("/customers", PINE, named="one"), 201)
    assert customers(tenant) == 1
