"""Taking back what was issued."""

from datetime import date
from decimal import Decimal

import pytest

from billing.models import BillingDetails
from billing.operations import (
    InvoiceNotVoidable,
    ReasonMissing,
    finalize_invoice,
    restate_invoice,
    void_grant,
    void_invoice,
)
from billing.queries import changes_since_finalized
from billing.queries.charged import charged_between
from billing.queries.credit import credit_left
from metering.rollup_models import Rollup
from tests.billing.late import note_at, stored
from tests.billing.money import draft, grant, issue
from tests.billing.test_invoice_life import drafted, issued, pay, reconciled, taxed
from tests.billing.timeline import HOUR_US, NOVEMBER, at, use

DAY = date(2026, 11, 10)
LATER = at(11, 10)


@pytest.mark.usefixtures("inside")
class TestVoiding:
    def test_takes_all_of_it_back_by_a_credit_note(self) -> None:
        taxed()
        story, draft = drafted(333)
        BillingDetails.objects.create(customer=story.customer, country="DE")
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        before = stored(invoice)
        note = void_invoice(invoice, "billed twice", as_of=LATER)
        assert (note.kind, note.reason, note.refers_to) == ("credit_note", "billed twice", invoice)
        assert (note.total, note.tax_total, note.gross) == (
            invoice.total,
            invoice.tax_total,
            Decimal("3.96"),
        )
        invoice.refresh_from_db()
        assert (invoice.status, invoice.open_amount) == ("void", Decimal(0))
        assert stored(invoice) == before
        assert void_invoice(invoice, "again", as_of=LATER) == note
        assert reconciled()

    def test_gives_what_was_paid_back_as_credit(self) -> None:
        invoice = issued()
        pay(invoice, "60")
        note = void_invoice(invoice, "billed twice", as_of=LATER)
        assert (note.gross, note.amount_credited) == (Decimal(100), Decimal(40))
        assert [left.total for left in credit_left(invoice.customer, as_of=LATER)] == [60]
        assert reconciled()
        # As docs/ledger.md says to set it off against an invoice that is open already.
        still_open = issue(draft(invoice.subscription, "80"))
        assert still_open.credit_applied == 60
        unpaid, credit = issue(draft(invoice.subscription, "70")), grant(invoice.customer, "30")
        void_grant(credit, f"set off against {unpaid}", as_of=LATER)
        pay(unpaid, "30", "set off")
        unpaid.refresh_from_db()
        assert unpaid.open_amount == 40
        assert reconciled()

    def test_takes_off_no_more_than_credit_notes_left(self) -> None:
        invoice = issued(1000)
        Rollup.objects.filter(bucket_start=at(10, 3)).update(cpu_time=400 * HOUR_US)
        note_at(at(11, 2))
        first = restate_invoice(invoice, as_of=LATER)
        assert first is not None
        second = void_invoice(invoice, "all of it", as_of=LATER)
        assert (first.total, second.total) == (Decimal(6), Decimal(4))
        assert reconciled()

    def test_asks_for_a_debit_note_to_be_taken_back_first(self) -> None:
        story, draft = drafted()
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        use(story.shop, at(10, 4), cpu_us=100 * HOUR_US)
        note_at(at(11, 2))
        debit = restate_invoice(invoice, as_of=LATER)
        assert debit is not None
        with pytest.raises(InvoiceNotVoidable, match="Debit note DN-1 first"):
            void_invoice(invoice, "all of it", as_of=LATER)
        void_invoice(debit, "all of it", as_of=LATER)
        void_invoice(invoice, "all of it", as_of=LATER)
        assert reconciled()

    def test_charges_back_what_credit_notes_took_off_too_much(self) -> None:
        """10 EUR and 5 EUR more were billed, 12 EUR given back; then the 5 EUR are void as well."""
        story, draft = drafted(1000)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        notes = []
        for hours in (1500, 300):
            Rollup.objects.filter(bucket_start=at(10, 3)).update(cpu_time=hours * HOUR_US)
            note_at(at(11, 2))
            notes.append(restate_invoice(invoice, as_of=LATER))
        debit, credit = notes
        assert debit is not None
        assert credit is not None
        assert (debit.total, credit.total) == (Decimal(5), Decimal(12))
        void_invoice(debit, "all of it", as_of=LATER)
        note = void_invoice(invoice, "all of it", as_of=LATER)
        assert (note.kind, note.total, note.reason) == ("debit_note", Decimal(2), "all of it")
        assert [line.amount for line in note.lines.all()] == [Decimal(-10), Decimal(12)]
        # The 2 EUR that the customer had as credit pay it.
        assert (note.status, note.credit_applied) == ("paid", Decimal(2))
        assert not credit_left(story.customer, as_of=LATER)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.open_amount) == ("void", Decimal(0))
        assert void_invoice(invoice, "again", as_of=LATER) == note
        with pytest.raises(InvoiceNotVoidable, match="it took Invoice 1 back"):
            void_invoice(note, "x", as_of=LATER)
        assert changes_since_finalized(invoice) is None
        assert charged_between(story.subscription, at(9, 1), NOVEMBER) == 0
        assert reconciled()

    def test_answers_with_the_note_that_did_it_whatever_came_after(self) -> None:
        invoice = issued()
        note = void_invoice(invoice, "billed twice", as_of=LATER)
        # As late usage on a later invoice is given back.
        given_back = draft(
            invoice.subscription, "1", kind="credit_note", refers_to=invoice, reason="late usage"
        )
        given_back.lines.update(kind="late_usage")
        issue(given_back, as_of=at(12, 9))
        assert void_invoice(invoice, "again", as_of=at(12, 10)) == note

    def test_needs_an_issued_invoice_and_a_reason(self) -> None:
        _, draft = drafted()
        with pytest.raises(InvoiceNotVoidable, match="no number yet"):
            void_invoice(draft, "x", as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        with pytest.raises(ReasonMissing):
            void_invoice(invoice, " ", as_of=NOVEMBER)
        note = void_invoice(invoice, "x", as_of=NOVEMBER)
        with pytest.raises(InvoiceNotVoidable, match="credit note is not taken back"):
            void_invoice(note, "x", as_of=NOVEMBER)
