"""Disputes over the API."""

from typing import Any
from uuid import uuid4

import pytest

from billing.models import CreditGrant, Dispute
from billing.operations import Saying, finalize_invoice, open_dispute
from tenants.models import Customer
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, problem, program_of
from tests.api.conftest import Provider
from tests.billing.timeline import at

pytestmark = pytest.mark.django_db

OBJECTION = {"line": 1, "reason": "quantity", "words": "Less.", "author": "ada@shop.example"}
ANSWER = {"side": "operator", "words": "Look at day 5.", "author": "op@host.example"}


def disputed(provider: Provider) -> Dispute:
    """Contests the first line of the provider's invoice, which it issues."""
    with tenant_scope(provider.tenant.pk):
        invoice = finalize_invoice(provider.invoice, as_of=at(11, 1))
        said = Saying(uuid4(), "ada@shop.example", f"{invoice.billed_to} objects")
        line = invoice.lines.earliest("position")
        return open_dispute(line, "price", said, as_of=at(11, 2))


def opened(provider: Provider, program: Program) -> dict[str, Any]:
    done(program.post(f"/invoices/{provider.invoice.pk}/finalize"))
    path = f"/invoices/{provider.invoice.pk}/disputes"
    dispute: dict[str, Any] = done(program.post(path, OBJECTION), 201)
    return dispute


class TestOpening:
    def test_contests_a_line_by_its_position(self, provider: Provider, program: Program) -> None:
        dispute = opened(provider, program)
        assert dispute["status"] == "open"
        assert dispute["line"] == 1
        (message,) = dispute["messages"]
        assert message["words"] == "Less."
        assert message["author"].startswith("ada@shop.example, by key ")

    def test_sent_again_is_the_same(self, provider: Provider, program: Program) -> None:
        first = opened(provider, program)
        again = program.post(f"/invoices/{provider.invoice.pk}/disputes", OBJECTION)
        assert done(again, 201)["id"] == first["id"]

    def test_needs_an_issued_invoice_and_a_line(self, provider: Provider, program: Program) -> None:
        path = f"/invoices/{provider.invoice.pk}/disputes"
        assert problem(program.post(path, OBJECTION), 409)["type"].endswith("invoice-not-issued")
        problem(program.post(path, {**OBJECTION, "line": 99}), 422)
        problem(program.post(path, {**OBJECTION, "words": "   "}), 422)


class TestTalkingAndDeciding:
    def test_ends_with_credit(self, provider: Provider, program: Program) -> None:
        dispute = opened(provider, program)
        path = f"/disputes/{dispute['id']}"
        assert done(program.post(f"{path}/messages", ANSWER))["status"] == "answered"
        decision = {
            "outcome": "upheld", "as_credit": True, "words": "Ours.", "author": "op@host.example",
        }  # fmt: skip
        ended = done(program.post(f"{path}/resolve", decision))
        assert ended["status"] == "resolved"
        assert ended["upheld"] == ended["amount"]
        assert len(ended["messages"]) == 3
        with tenant_scope(provider.tenant.pk):
            assert CreditGrant.objects.filter(pk=ended["grant_id"]).exists()
        late = problem(program.post(f"{path}/messages", ANSWER), 409)
        assert late["type"].endswith("dispute-ended")

    def test_needs_an_amount_for_a_part(self, provider: Provider, program: Program) -> None:
        dispute = opened(provider, program)
        decision = {"outcome": "upheld_in_part", "words": "Half.", "author": "op@host.example"}
        refused = problem(program.post(f"/disputes/{dispute['id']}/resolve", decision), 422)
        assert "more than nothing" in str(refused)

    def test_is_given_up(self, provider: Provider, program: Program) -> None:
        dispute = opened(provider, program)
        path = f"/disputes/{dispute['id']}/withdraw"
        assert done(program.post(path, {"author": "ada"}))["status"] == "withdrawn"


class TestListing:
    def test_is_of_the_callers_own_alone(
        self, provider: Provider, other_provider: Provider, program: Program
    ) -> None:
        own, theirs = disputed(provider), disputed(other_provider)
        listed = done(program.get("/disputes"))["data"]
        assert [each["id"] for each in listed] == [str(own.pk)]
        assert str(theirs.pk) not in str(listed)
        with tenant_scope(provider.tenant.pk):
            other = Customer.objects.create(name="Other", reference="other")
        assert not done(program_of(provider.tenant, customer=other).get("/disputes"))["data"]

    def test_is_by_state(self, provider: Provider, program: Program) -> None:
        disputed(provider)
        assert len(done(program.get("/disputes", status="open"))["data"]) == 1
        assert not done(program.get("/disputes", status="resolved"))["data"]
