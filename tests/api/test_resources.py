"""What programs read and do."""

from typing import Any

import pytest
from django.utils import timezone

from metering.core.cloudevents import BATCHED, STRUCTURED
from metering.stated_models import Event
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db


class TestCustomer:
    def test_is_added_read_and_changed(self, provider: Provider, program: Program) -> None:
        made = done(
            program.post(
                "/customers",
                {"reference": "reed", "name": "Reed", "billing": {"country": "DE"}},
            ),
            201,
        )
        assert (made["time_zone"], made["billing"]["country"]) == ("UTC", "DE")
        assert done(program.get(f"/customers/{made['id']}")) == made
        change = {"name": "Reed Ltd", "billing": {"city": "Bonn", "peppol_id": "0204:9-1"}}
        changed = done(program.patch(f"/customers/{made['id']}", change))
        assert (changed["name"], changed["reference"]) == ("Reed Ltd", "reed")
        assert (changed["billing"]["city"], changed["billing"]["country"]) == ("Bonn", "DE")
        assert changed["billing"]["peppol_id"] == "0204:9-1"

    def test_has_no_vat_id_of_another_form(self, provider: Provider, program: Program) -> None:
        billing = {"country": "DE", "vat_id": "DE136695978"}
        fresh = {"reference": "new-1", "name": "New", "billing": billing}
        refused = problem(program.post("/customers", fresh), 422)
        assert refused["errors"][0]["field"] == "billing.vat_id"
        assert "no VAT id of DE" in refused["errors"][0]["reason"]
        fresh["billing"] = billing | {"vat_id": "DE136695976"}
        made = done(program.post("/customers", fresh), 201)
        address = f"/customers/{made['id']}"
        problem(program.patch(address, {"billing": {"country": "AT"}}), 422)
        assert done(program.get(address)) == made

    def test_keeps_a_reference_that_another_has(self, provider: Provider, program: Program) -> None:
        refused = problem(program.post("/customers", {"reference": "ours", "name": "A"}), 409)
        assert refused["type"] == "reference-in-use"
        assert [
            row["reference"] for row in done(program.get("/customers", reference="ours"))["data"]
        ] == ["ours"]


class TestPlan:
    def test_is_published_version_by_version(self, provider: Provider, program: Program) -> None:
        plan = done(program.post("/plans", {"name": "Fair", "currency": "EUR"}), 201)
        version = {
            "effective_from": "2026-12-01T00:00:00Z",
            "prices": [
                {"label": "CPU", "meter": "cpu.time", "unit": "CPU-hour", "unit_price": "0.015"},
                {
                    "label": "Disk",
                    "meter": "disk.written",
                    "unit": "GB",
                    "kind": "graduated",
                    "tiers": [
                        {"up_to": "10", "unit_price": "0.05"},
                        {"up_to": None, "unit_price": "0.04", "flat_fee": "1"},
                    ],
                },
            ],
        }
        path = f"/plans/{plan['id']}"
        made = done(program.post(f"{path}/versions", version), 201)
        assert made["effective_from"] == "2026-12-01T00:00:00Z"
        assert [price["position"] for price in made["prices"]] == [1, 2]
        assert made["prices"][0]["unit_price"] == "0.015"
        assert done(program.get(path))["versions"] == [made]

    @pytest.mark.parametrize(
        ("price", "wrong"),
        [
            ({"unit_price": 0.5}, "prices.0.unit_price"),
            ({"unit_price": "-1"}, "prices.0.unit_price"),
            ({"unit_price": "0.0000000000001"}, "prices.0.unit_price"),
            ({"unit_price": "1", "unit": "GB"}, "prices.0"),
            ({}, "prices.0"),
        ],
    )
    def test_says_which_price_cannot_be(
        self, provider: Provider, program: Program, price: dict[str, Any], wrong: str
    ) -> None:
        body = {
            "effective_from": "2026-12-01T00:00:00Z",
            "prices": [{"label": "CPU", "meter": "cpu.time", "unit": "CPU-hour", **price}],
        }
        answer = program.post(f"/plans/{provider.story.plan.pk}/versions", body)
        assert fields(answer) == {wrong}


class TestSubscription:
    def test_begins_and_ends(self, provider: Provider, program: Program) -> None:
        customer = done(program.post("/customers", {"reference": "reed", "name": "R"}), 201)
        body = {
            "customer_id": customer["id"],
            "plan_id": str(provider.story.plan.pk),
            "starts_at": "2026-11-01T00:03:00+01:00",
        }
        made = done(program.post("/subscriptions", body), 201)
        assert made["starts_at"] == "2026-10-31T23:00:00Z"
        problem(program.post("/subscriptions", body), 409)
        path = f"/subscriptions/{made['id']}"
        end = {"ends_at": "2026-11-20T00:00:00Z"}
        assert done(program.post(f"{path}/end", end))["ends_at"] == end["ends_at"]
        done(program.post(f"{path}/end", end))
        assert done(program.get(path))["ends_at"] == end["ends_at"]

    def test_does_not_end_in_what_is_invoiced(self, provider: Provider, program: Program) -> None:
        path = f"/subscriptions/{provider.story.subscription.pk}/end"
        refused = problem(program.post(path, {"ends_at": "2026-10-20T00:00:00Z"}), 409)
        assert refused["type"] == "subscription-not-endable"


class TestInvoice:
    def test_is_read_with_the_steps_behind_each_amount(
        self, provider: Provider, program: Program
    ) -> None:
        (listed,) = done(program.get("/invoices", status="draft"))["data"]
        invoice = done(program.get(f"/invoices/{listed['id']}"))
        assert listed["total"] == invoice["total"]
        cpu = next(line for line in invoice["lines"] if line["meter"] == "cpu.time")
        assert (cpu["quantity"], cpu["amount"]) == ("4", "0.04")
        assert cpu["steps"][0]["words"]

    def test_is_finalized_once(self, provider: Provider, program: Program) -> None:
        path = f"/invoices/{provider.invoice.pk}/finalize"
        first = done(program.post(path))
        # The customer's credit pays it.
        assert (first["status"], first["number"]) == ("paid", "1")
        assert done(program.post(path))["number"] == "1"
        assert done(program.get("/invoices", status="draft"))["data"] == []

    def test_of_the_period_that_runs_is_upcoming(
        self, provider: Provider, program: Program
    ) -> None:
        path = f"/customers/{provider.story.customer.pk}/upcoming-invoice"
        answer = program.get(path)
        assert done(answer)["currency"] == "EUR"
        assert program.get(path, headers={"If-None-Match": answer["ETag"]}).status_code == 304


class TestCredit:
    def test_is_granted_and_taken_back(self, provider: Provider, program: Program) -> None:
        body = {
            "customer_id": str(provider.story.customer.pk),
            "kind": "promotional",
            "currency": "EUR",
            "amount": "10.50",
        }
        made = done(program.post("/credit-grants", body), 201)
        assert (made["amount"], made["left"]) == ("10.5", "10.5")
        path = f"/credit-grants/{made['id']}"
        voided = done(program.post(f"{path}/void", {"reason": "a mistake"}))
        assert (voided["left"], voided["void_reason"]) == ("0", "a mistake")
        assert fields(program.post("/credit-grants", {**body, "amount": "0.001"})) == {"amount"}
        unknown = problem(program.post("/credit-grants", {**body, "price_codes": ["gpu"]}), 422)
        assert [each["field"] for each in unknown["errors"]] == ["price_codes"]
        assert "no price has the code 'gpu'; there are" in unknown["errors"][0]["reason"]


class TestCorrection:
    def test_is_a_record_with_reason_and_author(self, provider: Provider, program: Program) -> None:
        body = {
            "application_id": str(provider.story.shop.pk),
            "starts_at": "2026-10-05T00:00:00Z",
            "ends_at": "2026-10-05T00:05:00Z",
            "quantities": {"cpu.time": 1_000_000},
            "reason": "The clock ran twice as fast.",
            "author": "Operator",
        }
        made = done(program.post("/corrections", body), 201)
        assert made["kind"] == "replace"
        assert made["author"].startswith("Operator")
        newest, _ = done(program.get("/corrections"))["data"]
        assert newest == made == done(program.get(f"/corrections/{made['id']}"))
        assert fields(program.post("/corrections", {**body, "ends_at": body["starts_at"]})) == {
            "correction"
        }


def event(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/shop",
        "type": "hostmeter.usage.v1",
        "subject": "production/checkout",
        "time": timezone.now().isoformat(),
        "data": {"meter": "orders", "quantity": 1},
        **changes,
    }


class TestEvents:
    def test_each_get_their_result(self, provider: Provider, program: Program) -> None:
        one = event("1")
        batch = [one, one, {**one, "data": {"meter": "orders", "quantity": 2}}, event("2", id="")]
        answer = program.post("/events", batch, named=None, content_type=BATCHED)
        results = done(answer)["results"]
        assert [each["status"] for each in results] == [
            "stored",
            "duplicate",
            "conflict",
            "refused",
        ]
        assert [each["index"] for each in results] == [0, 1, 2, 3]
        assert results[3]["reason"]
        with tenant_scope(provider.tenant.pk):
            assert Event.objects.count() == 1

    def test_come_one_by_one_too(self, provider: Provider, program: Program) -> None:
        answer = program.post("/events", event("1"), named=None, content_type=STRUCTURED)
        assert done(answer)["results"][0]["status"] == "stored"

    def test_are_at_most_a_thousand_of_8_mib(self, provider: Provider, program: Program) -> None:
        problem(program.post("/events", [{}] * 1_001, content_type=BATCHED), 400)
        problem(program.post("/events", b" " * (8 * 2**20 + 1), content_type=BATCHED), 413)
        problem(program.post("/events", [], content_type="application/json"), 415)

    def test_of_another_tenants_environment_are_refused(
        self, provider: Provider, other_provider: Provider, program: Program
    ) -> None:
        body = event("1", subject="elsewhere/checkout")
        answer = program.post("/events", body, content_type=STRUCTURED)
        assert done(answer)["results"][0]["status"] == "refused"
        program_of(other_provider.tenant).post("/events", event("1"), content_type=STRUCTURED)
        with tenant_scope(provider.tenant.pk):
            assert not Event.objects.exists()


def test_a_program_finds_applications_and_environments(
    provider: Provider, program: Program
) -> None:
    shown = done(program.get("/applications", customer=str(provider.story.customer.pk)))["data"]
    assert {row["name"] for row in shown} == {"ours-shop", "ours-mail"}
    assert {row["customer_id"] for row in shown} == {str(provider.story.customer.pk)}
    (environment,) = done(program.get("/environments"))["data"]
    assert environment["name"] == "production"
