"""The database lets an invoice go the ways of core/lifecycle.py and no other."""

from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from billing.core.lifecycle import TRANSITIONS, may_follow
from billing.models import Invoice, InvoiceLine, InvoiceTax, Payment
from billing.operations import close_due, finalize_invoice
from tenants.refusals import constraint_of
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

# The ways that lead from a draft to each status.
_WAY = {
    "draft": (),
    "in_review": ("in_review",),
    "finalized": ("finalized",),
    "sent": ("finalized", "sent"),
    "partly_paid": ("finalized", "partly_paid"),
    "paid": ("finalized", "paid"),
    "overdue": ("finalized", "overdue"),
    "void": ("finalized", "void"),
    "uncollectible": ("finalized", "uncollectible"),
}


def go(invoice: Invoice, status: str) -> None:
    changed: dict[str, Any] = {"status": status}
    if status not in {"draft", "in_review"} and invoice.finalized_at is None:
        changed |= {"number": 7, "finalized_at": NOVEMBER}
    Invoice.objects.filter(pk=invoice.pk).update(**changed)
    invoice.refresh_from_db()


def draft_of_october() -> Invoice:
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    return draft


def refusal(change: Any) -> str | None:
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        change()
    return constraint_of(refused.value)


def test_the_table_names_every_status() -> None:
    statuses = set(Invoice.Status.values)
    assert set(TRANSITIONS) == statuses == set(_WAY)
    assert set().union(*TRANSITIONS.values()) <= statuses


@pytest.mark.usefixtures("inside")
class TestAnInvoice:
    @pytest.mark.parametrize(
        ("before", "after"),
        [pair for pair in product(Invoice.Status.values, repeat=2) if pair[0] != pair[1]],
    )
    def test_goes_from_a_status_to_those_of_the_table_alone(self, before: str, after: str) -> None:
        invoice = draft_of_october()
        for step in _WAY[before]:
            go(invoice, step)
        if may_follow(before, after):
            go(invoice, after)
            assert invoice.status == after
        else:
            with pytest.raises(IntegrityError), transaction.atomic():
                go(invoice, after)

    def test_begins_as_a_draft(self) -> None:
        draft = draft_of_october()
        values = {
            field.attname: getattr(draft, field.attname)
            for field in Invoice._meta.concrete_fields
            if field.name not in {"id", "status", "number", "finalized_at", "period_start"}
        }
        issued = Invoice(
            **values, status="sent", number=9, finalized_at=NOVEMBER, period_start=at(9, 1)
        )
        assert refusal(lambda: issued.save(force_insert=True)) == "invoice_begins_as_draft"


@pytest.mark.usefixtures("inside")
class TestAnIssuedInvoice:
    @pytest.mark.parametrize(
        "column",
        [
            field.column
            for field in Invoice._meta.concrete_fields
            if field.name
            not in {"id", "tenant", "status", "sent_at", "amount_paid", "amount_credited"}
        ],
    )
    def test_keeps_all_but_what_happens_to_it(self, column: str) -> None:
        invoice = finalize_invoice(draft_of_october(), as_of=NOVEMBER)
        changed = {
            "boolean": f"NOT {column}",
            "uuid": "gen_random_uuid()",
            "numeric": f"{column} + 1",
            "integer": f"{column} + 1",
            "jsonb": """'{"other": 1}'""",
            "timestamp with time zone": f"coalesce({column}, now()) - interval '1 hour'",
        }
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT data_type FROM information_schema.columns "
                "WHERE table_name = 'billing_invoice' AND column_name = %s",
                [column],
            )
            (kind,) = cursor.fetchone()

        def change() -> None:
            with connection.cursor() as cursor:
                value = changed.get(kind, f"left('x' || coalesce({column}, ''), 3)")
                cursor.execute(f"UPDATE billing_invoice SET {column} = {value}")  # noqa: S608

        assert refusal(change) == "finalized_is_immutable"
        invoice.refresh_from_db()

    def test_gets_and_loses_no_line_and_no_tax(self) -> None:
        invoice = finalize_invoice(draft_of_october(), as_of=NOVEMBER)
        line = invoice.lines.get()
        for change in (
            lambda: invoice.lines.update(label="other"),
            lambda: invoice.lines.all().delete(),
            lambda: InvoiceLine.objects.create(
                invoice=invoice, position=9, label="more", raw_quantity=0, quantity=0,
                unrounded=0, amount=0, steps=[], price=line.price,
            ),
            lambda: InvoiceTax.objects.create(
                invoice=invoice, category="S", percent=19, taxable=1, tax=0
            ),
            lambda: Invoice.objects.filter(pk=invoice.pk)._raw_delete("default"),
        ):  # fmt: skip
            assert refusal(change) == "finalized_is_immutable"

    def test_keeps_its_payments(self) -> None:
        invoice = finalize_invoice(draft_of_october(), as_of=NOVEMBER)
        Payment.objects.create(
            invoice=invoice, amount=1, received_on=NOVEMBER.date(), reference="a"
        )
        for change in (lambda: Payment.objects.update(amount=2), Payment.objects.all().delete):
            assert refusal(change) == "payment_is_immutable"

    def test_has_taxes_that_sum_to_its_tax(self) -> None:
        invoice = draft_of_october()

        def issue() -> None:
            Invoice.objects.filter(pk=invoice.pk).update(tax_total=Decimal("0.19"))
            go(invoice, "finalized")
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

        assert refusal(issue) == "invoice_taxes_sum"
