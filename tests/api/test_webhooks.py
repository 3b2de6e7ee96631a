"""Programs keep webhook endpoints and send again what did not arrive."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Customer, IdempotencyRecord, Tenant
from tenants.scope import tenant_scope
from tenants.webhook_delivery import deliver_due
from tenants.webhooks import emit
from tests.api.calling import Program, done, fields, problem, program_of
from tests.tenants.receiving import Receiver, receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with receiving() as one:
        yield one


@pytest.fixture
def program(tenant: Tenant) -> Program:
    return program_of(tenant)


def happen(tenant: Tenant, key: str = "one") -> None:
    with tenant_scope(tenant.pk):
        emit("invoice.paid", key, {"total": "0.10"}, as_of=timezone.now())


def deliver(tenant: Tenant) -> None:
    deliver_due([tenant.pk], as_of=timezone.now())


class TestAnEndpoint:
    def test_is_told_with_the_secret_that_its_answer_shows(
        self, tenant: Tenant, program: Program, receiver: Receiver
    ) -> None:
        added = done(program.post("/webhook-endpoints", {"url": receiver.url}), 201)
        happen(tenant)
        deliver(tenant)
        assert receiver.messages[0].opened(added["secret"])["data"] == {"total": "0.10"}
        read = done(program.get(f"/webhook-endpoints/{added['id']}"))
        assert "secret" not in read
        assert read == {name: value for name, value in added.items() if name != "secret"}

    def test_is_added_once_and_its_secret_is_kept_sealed(
        self, tenant: Tenant, program: Program
    ) -> None:
        body = {"url": "https://example.com/"}
        first = done(program.post("/webhook-endpoints", body, named="one"), 201)
        again = done(program.post("/webhook-endpoints", body, named="one"), 201)
        assert first == again
        with tenant_scope(tenant.pk):
            kept = IdempotencyRecord.objects.get().body
        assert first["secret"].removeprefix("whsec_") not in kept

    def test_is_refused_inside_and_for_types_that_are_none(self, program: Program) -> None:
        path = "/webhook-endpoints"
        assert fields(program.post(path, {"url": "https://127.0.0.1/"})) == {"url"}
        assert fields(program.post(path, {"url": "http://example.com/"})) == {"url"}
        wrong = {"url": "https://example.com/", "event_types": ["invoice.eaten"]}
        assert fields(program.post(path, wrong)) == {"event_types"}

    def test_is_changed_disabled_and_enabled(self, program: Program) -> None:
        added = done(program.post("/webhook-endpoints", {"url": "https://example.com/"}), 201)
        path = f"/webhook-endpoints/{added['id']}"
        changed = done(program.patch(path, {"event_types": ["invoice.paid"], "enabled": False}))
        assert changed["event_types"] == ["invoice.paid"]
        assert changed["disabled_because"] == "disabled through the API"
        kind = problem(program.post(f"{path}/test"), 409)["type"]
        assert kind == "endpoint-disabled"
        assert done(program.patch(path, {"enabled": True}))["disabled_at"] is None

    def test_that_is_removed_is_gone(self, program: Program) -> None:
        added = done(program.post("/webhook-endpoints", {"url": "https://example.com/"}), 201)
        path = f"/webhook-endpoints/{added['id']}"
        assert program.delete(path).status_code == 204
        problem(program.get(path), 404)
        problem(program.delete(path), 404)
        assert done(program.get("/webhook-endpoints"))["data"] == []

    def test_of_a_customer_is_read_with_its_key_and_changed_with_none(
        self, tenant: Tenant, program: Program
    ) -> None:
        with tenant_scope(tenant.pk):
            pine = Customer.objects.create(name="Pine", reference="pine")
        body = {"url": "https://example.com/"}
        done(program.post("/webhook-endpoints", body), 201)
        own = done(program.post("/webhook-endpoints", {**body, "customer_id": str(pine.pk)}), 201)
        theirs = program_of(tenant, customer=pine)
        assert [each["id"] for each in done(theirs.get("/webhook-endpoints"))["data"]] == [
            own["id"]
        ]
        problem(theirs.delete(f"/webhook-endpoints/{own['id']}"), 403)


class TestASecret:
    def test_is_replaced_while_the_one_before_still_signs(
        self, tenant: Tenant, program: Program, receiver: Receiver
    ) -> None:
        added = done(program.post("/webhook-endpoints", {"url": receiver.url}), 201)
        path = f"/webhook-endpoints/{added['id']}/rotate-secret"
        rotated = done(program.post(path, named="one"))
        assert done(program.post(path, named="one")) == rotated
        happen(tenant)
        deliver(tenant)
        receiver.messages[0].opened(added["secret"])
        receiver.messages[0].opened(rotated["secret"])


class TestADelivery:
    def test_shows_each_attempt_and_is_replayed(
        self, tenant: Tenant, program: Program, receiver: Receiver
    ) -> None:
        added = done(program.post("/webhook-endpoints", {"url": receiver.url}), 201)
        receiver.answers = [(500, "no"), (200, "yes")]
        happen(tenant)
        deliver(tenant)
        path = f"/webhook-endpoints/{added['id']}/deliveries"
        (listed,) = done(program.get(path, state="pending"))["data"]
        assert done(program.get(path, state="failed"))["data"] == []
        one = f"/webhook-deliveries/{listed['id']}"
        done(program.post(f"{one}/replay"))
        deliver(tenant)
        read = done(program.get(one))
        assert (read["state"], read["attempts"]) == ("delivered", 2)
        assert [(each["status"], each["answer"]) for each in read["tries"]] == [
            (200, "yes"),
            (500, "no"),
        ]
        assert read["message_id"] == receiver.messages[0].headers["webhook-id"]

    def test_of_a_test_message_is_told_to_that_endpoint(
        self, tenant: Tenant, program: Program, receiver: Receiver
    ) -> None:
        added = done(program.post("/webhook-endpoints", {"url": receiver.url}), 201)
        sent = done(program.post(f"/webhook-endpoints/{added['id']}/test"), 201)
        deliver(tenant)
        said = receiver.messages[0].opened(added["secret"])
        assert said["data"] == {"endpoint_id": added["id"]}
        assert done(program.get(f"/webhook-deliveries/{sent['id']}"))["state"] == "delivered"
