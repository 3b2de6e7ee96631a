"""What happens to an invoice, by the API: each step once, and only where it may."""

from pathlib import Path
from typing import Any

import pytest

from billing.models import Invoice
from billing.operations import mark_overdue
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem
from tests.api.conftest import Provider
from tests.billing.timeline import at

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
        ahead = program.post(f"{issued}/payments", {**PAYMENT, "received_on": "9999-12-31"})
        assert fields(ahead) == {"received_on"}
        nothing = program.post(f"{issued}/payments", {**PAYMENT, "amount": "0.001"})
        assert problem(nothing, 422)["errors"][0]["field"] == "amount"

    def test_takes_what_is_too_much_as_credit_and_counts_a_reference_once(
        self, program: Program, issued: str
    ) -> None:
        more = {**PAYMENT, "amount": "10", "excess_to_credit": True}
        paid = done(program.post(f"{issued}/payments", more), 201)
        assert paid["to_credit"] == "10"
        again = done(program.post(f"{issued}/payments", more))
        assert again["id"] == paid["id"]
        (listed,) = done(program.get(f"{issued}/payments"))["data"]
        assert listed == {name: value for name, value in paid.items() if name != "invoice"}
        other = {**more, "amount": "11"}
        assert "payment-differs" in kind_of(program.post(f"{issued}/payments", other))


# The steps that lead from a draft to each status.
WAYS: dict[str, tuple[str, ...]] = {
    "draft": (),
    "in_review": ("review",),
    "finalized": ("finalize",),
    "sent": ("finalize", "send"),
    "partly_paid": ("finalize", "part"),
    "paid": ("finalize", "rest"),
    "overdue": ("finalize", "wait"),
    "void": ("finalize", "void"),
    "uncollectible": ("finalize", "write-off"),
}
BODIES: dict[str, Any] = {
    "payments": {**PAYMENT, "amount": "0.01"},
    "part": {**PAYMENT, "amount": "0.01", "reference": "transfer 2"},
    "rest": {**PAYMENT, "excess_to_credit": True, "amount": "1000", "reference": "3"},
    "void": {"reason": "by mistake"},
}


def written_table() -> dict[tuple[str, str], str]:
    """What docs/api.md says that each step answers in each status."""
    text = (Path(__file__).parents[2] / "docs/api.md").read_text()
    lines = text.split("<!-- transitions -->\n")[1].split("\n\n")[0].replace("`", "").splitlines()
    (_, *steps), _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {
        (status, step): cell
        for status, *cells in rows
        for step, cell in zip(steps, cells, strict=True)
    }


def test_the_document_has_every_status() -> None:
    assert {status for status, _ in written_table()} == set(Invoice.Status.values) == set(WAYS)


@pytest.mark.parametrize(("status", "step"), written_table())
class TestAStep:
    def test_answers_as_it_is_written(
        self, provider: Provider, program: Program, status: str, step: str
    ) -> None:
        path = f"/invoices/{provider.invoice.pk}"
        # It would pay the invoice as soon as that is finalized.
        done(program.post(f"/credit-grants/{provider.grant.pk}/void", {"reason": "none"}))
        for each in WAYS[status]:
            take(provider, program, path, each)
        before = done(program.get(path))
        assert before["status"] == status

        answer = take(provider, program, path, step)

        expected, _, after = written_table()[status, step].partition(" ")
        assert answer.status_code == int(expected), answer.content
        assert done(program.get(path))["status"] == (after or status)
        if expected == "409":
            problem(answer, 409)
            assert done(program.get(path)) == before


def take(provider: Provider, program: Program, path: str, step: str) -> Any:
    if step == "wait":
        with tenant_scope(provider.tenant.pk):
            return mark_overdue(as_of=at(12, 31))
    name = "payments" if step in {"part", "rest"} else step
    return program.post(f"{path}/{name}", BODIES.get(step))


class TestARepeatedStep:
    def test_of_sending_keeps_the_first_time(self, program: Program, issued: str) -> None:
        done(program.post(f"{issued}/send"))
        sent = done(program.get(issued))
        done(program.post(f"{issued}/void", {"reason": "by mistake"}), 201)
        assert done(program.post(f"{issued}/send"))["status"] == "void"
        assert done(program.get(issued)) == {**sent, "status": "void"}

    def test_of_voiding_gives_the_same_credit_note(self, program: Program, issued: str) -> None:
        note = done(program.post(f"{issued}/void", {"reason": "by mistake"}), 201)
        assert done(program.post(f"{issued}/void", {"reason": "once more"})) == note
        for step in ("void", "payments", "write-off"):
            problem(program.post(f"/invoices/{note['id']}/{step}", BODIES.get(step)), 409)
