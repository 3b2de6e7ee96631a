"""Whom applications are billed to, by the API."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.core.quantity import unit_for
from metering.models import UNATTRIBUTED, Application
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, problem, program_of
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(provider: Provider) -> str:
    return f"/applications/{provider.story.shop.pk}"


@pytest.fixture
def pine(program: Program) -> str:
    return str(done(program.post("/customers", {"reference": "pine", "name": "Pine"}), 201)["id"])


class TestAnApplication:
    def test_is_billed_to_another_from_a_bucket_on(
        self, provider: Provider, program: Program, shop: str, pine: str
    ) -> None:
        body = {"customer_id": pine, "starts_at": "2026-11-20T10:02:00Z"}
        made = done(program.post(f"{shop}/assign", body))
        assert (made["starts_at"], made["ends_at"]) == ("2026-11-20T10:00:00Z", None)
        assert done(program.post(f"{shop}/assign", body)) == made
        assert done(program.get(shop))["customer_id"] == pine
        listed = done(program.get("/assignments", application=made["application_id"]))["data"]
        assert listed[-1] == made
        assert listed[-2]["ends_at"] == made["starts_at"]
        assert done(program.get("/assignments", customer=pine))["data"] == [made]

    def test_stays_its_customers_until_another_begins(
        self, provider: Provider, program: Program, shop: str, pine: str
    ) -> None:
        now = done(program.get(shop))["customer_id"]
        begins = (timezone.now() + timedelta(days=30)).replace(microsecond=0)
        body = {"customer_id": pine, "starts_at": begins.isoformat()}
        done(program.post(f"{shop}/assign", body))
        assert done(program.get(shop))["customer_id"] == now
        (listed,) = done(program.get("/applications", customer=pine))["data"]
        assert listed["customer_id"] == now
        # What is to begin is taken back with it.
        assert done(program.post(f"{shop}/unassign"))["customer_id"] is None
        assert done(program.get("/assignments", customer=pine))["data"] == []

    def test_is_billed_to_nobody_decades_ahead(
        self, program: Program, shop: str, pine: str
    ) -> None:
        body = {"customer_id": pine, "starts_at": "2062-11-20T10:00:00Z"}
        refused = problem(program.post(f"{shop}/assign", body), 422)
        assert refused["errors"][0]["field"] == "starts_at"

    def test_is_billed_to_nobody_from_now_on(self, program: Program, shop: str) -> None:
        assert done(program.post(f"{shop}/unassign"))["customer_id"] is None
        assert done(program.post(f"{shop}/unassign"))["customer_id"] is None

    def test_keeps_what_is_invoiced(
        self, provider: Provider, program: Program, shop: str, pine: str
    ) -> None:
        done(program.post(f"/invoices/{provider.invoice.pk}/finalize"))
        body = {"customer_id": pine, "starts_at": "2026-10-06T00:00:00Z"}
        assert "usage-is-invoiced" in problem(program.post(f"{shop}/assign", body), 409)["type"]
        earlier = {"customer_id": pine, "starts_at": "2020-01-01T00:00:00Z"}
        assert "later-assignment" in problem(program.post(f"{shop}/assign", earlier), 409)["type"]

    def test_that_is_no_program_is_nobodys(
        self, provider: Provider, program: Program, pine: str
    ) -> None:
        with tenant_scope(provider.tenant.pk):
            rest = Application.objects.create(
                environment=provider.story.shop.environment, name=UNATTRIBUTED
            )
        answer = program.post(f"/applications/{rest.pk}/assign", {"customer_id": pine})
        assert "unattributed" in problem(answer, 409)["type"]


def test_a_customers_key_sees_its_own_assignments_alone(
    provider: Provider, program: Program, shop: str, pine: str
) -> None:
    done(program.post(f"{shop}/assign", {"customer_id": pine}))
    own = program_of(provider.tenant, customer=provider.story.customer)
    customers = {each["customer_id"] for each in done(own.get("/assignments"))["data"]}
    assert customers == {str(provider.story.customer.pk)}
    problem(own.post(f"{shop}/unassign"), 403)


def test_meters_can_be_priced_in_what_they_say(program: Program) -> None:
    listed = done(program.get("/meters"))["data"]
    assert {"name": "cpu.time", "kind": "counter", "unit": "µs"}.items() <= listed[0].items()
    for meter in listed:
        assert meter["priced_in"]
        for unit in meter["priced_in"]:
            unit_for(meter["name"], unit)
