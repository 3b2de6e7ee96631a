"""What happens to an invoice, by the API: each step once, and only where it may."""

from typing import Any

import pytest

from tests.api.calling import Program, done, problem
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db

PAYMENT = {"amount": "0.05", "received_on": "2026-11-03", "reference": "transfer 1"}


@pytest.fixture
def issued(provider: Provider, program: Program) -> str:
    path = f"/invoices/{provider.invoice.pk}"
    done(program.post(f"{path}/finalize"))
    return path


def kind_of(answer: Any) -> str:
    """The last word of a problem's type."""
    return str(problem(answer, 409)["type"]).rsplit("/", 1)[-1].rsplit(":", 1)[-1]


class TestADraft:
    def test_goes_into_review_and_stays_there(self, provider: Provider, program: Program) -> None:
        path = f"/invoices/{provider.invoice.pk}"
        assert done(program.post(f"{path}/review"))["status"] == "in_review"
        assert done(program.post(f"{path}/review"))["status"] == "in_review"

    @pytest.mark.parametrize(
        ("step", "body", "why"),
        [
            ("send", None, "invoice-not-issued"),
            ("payments", PAYMENT, "invoice-not-issued"),
            ("void", {"reason": "by mistake"}, "invoice-not-voidable"),
            ("write-off", None, "transition-not-allowed"),
        ],
    )
    def test_takes_no_step_of_an_issued_invoice(
        self, provider: Provider, program: Program, step: str, body: Any, why: str
    ) -> None:
        answer = program.post(f"/invoices/{provider.invoice.pk}/{step}", body)
        assert why in kind_of(answer)


class TestAnIssuedInvoice:
    def test_is_sent(self, program: Program, issued: str) -> None:
        sent = done(program.post(f"{issued}/send"))
        assert sent["status"] in {"sent", "paid"}

    def test_is_taken_back_by_a_credit_note(self, program: Program, issued: str) -> None:
        note = done(program.post(f"{issued}/void", {"reason": "by mistake"}), 201)
        assert (note["kind"], note["reason"]) == ("credit_note", "by mistake")
        assert done(program.get(issued))["status"] == "void"
        assert "invoice-not-payable" in kind_of(program.post(f"{issued}/payments", PAYMENT))

    def test_says_why_a_payment_cannot_be(self, program: Program, issued: str) -> None:
        too_much = {**PAYMENT, "amount": "1000"}
        assert "payment-exceeds-open" in kind_of(program.post(f"{issued}/payments", too_much))
        nothing = program.post(f"{issued}/payments", {**PAYMENT, "amount": "0.001"})
        assert problem(nothing, 422)["errors"][0]["field"] == "amount"

    def test_takes_what_is_too_much_as_credit_and_counts_a_reference_once(
        self, program: Program, issued: str
    ) -> None:
        more = {**PAYMENT, "amount": "10", "excess_to_credit": True}
        paid = done(program.post(f"{issued}/payments", more), 201)
        assert paid["to_credit"] == "10"
        again = done(program.post(f"{issued}/payments", more), 201)
        assert again["id"] == paid["id"]
        other = {**more, "amount": "11"}
        assert "payment-differs" in kind_of(program.post(f"{issued}/payments", other))
