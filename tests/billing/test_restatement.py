"""Usage that becomes known after finalizing is billed once, and the invoice stays as it is."""

from datetime import timedelta
from decimal import Decimal

import pytest

from billing.closing import restate_tenant
from billing.models import BillingSettings, Invoice, InvoiceLine, LateUsage
from billing.operations import (
    accept_late_usage,
    close_due,
    finalize_invoice,
    mark_sent,
    record_payment,
    restate_invoice,
    void_invoice,
)
from billing.queries import changes_since_finalized
from billing.queries.restatement import changed_invoices, refused_late_usage
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.agreements import begin_contract, close_next, cpu
from tests.billing.at_once import at_once
from tests.billing.late import deliver, note_at, stored
from tests.billing.test_database_guards import meanwhile
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    Story,
    at,
    begin_story,
    cpu_price,
    publish,
    use,
)

LATER = at(11, 5)


def invoiced(*, cpu_hours: int = 100) -> tuple[Story, Invoice]:
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=cpu_hours * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    return story, finalize_invoice(draft, as_of=NOVEMBER)


def refused() -> tuple[Story, Invoice]:
    """An invoice with 250 CPU-hours that came eleven days after its period."""
    story, invoice = invoiced()
    use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
    note_at(at(11, 11))
    assert restate_invoice(invoice, as_of=at(11, 11)) is None
    assert refused_late_usage().get().invoice == invoice
    return story, invoice


def settings(**chosen: object) -> BillingSettings:
    return BillingSettings.objects.create(legal_name="First Host", country="DE", **chosen)


@pytest.mark.usefixtures("inside")
class TestLateUsage:
    def test_makes_a_debit_note_with_the_difference_and_its_windows(self) -> None:
        story, invoice = invoiced()
        before = stored(invoice)
        batch = deliver(story.shop, at(10, 4, 7), cpu_us=250 * HOUR_US, received_at=at(11, 2))
        note = restate_invoice(invoice, as_of=LATER)
        assert note is not None
        assert (note.kind, note.reference, note.total) == ("debit_note", "DN-1", Decimal("2.50"))
        assert (note.refers_to, note.period_end) == (invoice, invoice.period_end)
        assert "became known" in note.reason
        line = note.lines.get()
        assert (line.amount, line.raw_quantity) == (Decimal("2.50"), Decimal(250 * HOUR_US))
        assert [step["words"] for step in line.steps] == [
            "Billed so far: 100 CPU-hour: 1.00 EUR",
            "By the usage known now: 350 CPU-hour: 3.50 EUR",
            "The difference: 250 CPU-hour: 2.50 EUR",
        ]
        (window,) = line.facts["windows"]
        assert (window["from"], window["to"]) == ("2026-10-04T07:00:00Z", "2026-10-04T08:00:00Z")
        assert window["batches"] == [
            {
                "host": "web-1",
                "epoch": str(batch.epoch),
                "sequence": batch.sequence,
                "received_at": "2026-11-02T00:00:00Z",
            }
        ]
        assert stored(invoice) == before

    def test_is_billed_once_however_often_it_is_looked_at(self) -> None:
        story, invoice = invoiced()
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 2))
        assert restate_invoice(invoice, as_of=LATER) is not None
        assert changes_since_finalized(invoice) is None
        assert restate_invoice(invoice, as_of=LATER) is None
        # A batch that is delivered again marks its hour, and changes nothing.
        Rollup.objects.filter(bucket_start=at(10, 4)).update(samples=2)
        assert LateUsage.objects.filter(invoice=invoice).exists()
        note_at(at(11, 3))
        assert restate_invoice(invoice, as_of=LATER) is None
        assert not LateUsage.objects.exists()

    def test_in_several_parts_comes_to_what_one_invoice_would_have(self) -> None:
        story = begin_story()
        publish(story.plan, cpu_price("0.03", allowance="150"), effective_from=at(1, 2))
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert invoice.total == 0
        totals = []
        for day, hours in ((5, 60), (6, 1), (7, 1000)):
            use(story.mail, at(10, day), cpu_us=hours * HOUR_US)
            note_at(at(11, 2))
            note = restate_invoice(invoice, as_of=LATER)
            totals.append(note.total if note else None)
        # 160 hours are 10 above the allowance, then one more, then 1,000 more.
        assert totals == [Decimal("0.30"), Decimal("0.03"), Decimal("30.00")]

    def test_within_the_allowance_makes_no_note(self) -> None:
        story = begin_story()
        publish(story.plan, cpu_price("0.03", allowance="150"), effective_from=at(1, 2))
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        note_at(at(11, 2))
        assert restate_invoice(invoice, as_of=LATER) is None
        assert changed_invoices(noted_before=LATER) == []

    def test_that_counts_towards_a_minimum_makes_no_note_of_nothing(self) -> None:
        story = begin_contract(cpu("1"), minimum="100")
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        invoice = close_next(story.subscription, as_of=NOVEMBER, finalize=True)
        assert invoice.total == 100
        deliver(story.shop, at(10, 4, 7), cpu_us=20 * HOUR_US, received_at=at(11, 2))
        assert restate_invoice(invoice, as_of=LATER) is None
        assert not Invoice.objects.filter(refers_to=invoice).exists()
        assert not changed_invoices(noted_before=LATER)
        deliver(story.shop, at(10, 5, 7), cpu_us=90 * HOUR_US, received_at=at(11, 6))
        note = restate_invoice(invoice, as_of=at(11, 7))
        assert note is not None
        assert (note.kind, note.total) == ("debit_note", Decimal(20))

    def test_that_was_too_much_makes_a_credit_note(self) -> None:
        _, invoice = invoiced(cpu_hours=1000)
        Rollup.objects.filter(bucket_start=at(10, 3)).update(cpu_time=400 * HOUR_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=LATER)
        assert note is not None
        assert (note.kind, note.reference, note.total) == ("credit_note", "CN-1", Decimal("6.00"))
        assert note.lines.get().raw_quantity == 600 * HOUR_US
        invoice.refresh_from_db()
        assert (invoice.amount_credited, invoice.open_amount) == (Decimal(6), Decimal(4))

    def test_past_the_deadline_is_refused_and_listed(self) -> None:
        settings(late_usage_days=10)
        story, invoice = invoiced()
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        # October ended on the 31st at 23:00 UTC.
        note_at(at(11, 10, 23))
        assert restate_invoice(invoice, as_of=at(11, 11)) is None
        (refused,) = refused_late_usage()
        assert (refused.invoice, refused.application, refused.hour) == (
            invoice,
            story.shop,
            at(10, 4),
        )
        assert changed_invoices(noted_before=at(12, 1)) == []

    def test_that_was_refused_is_billed_with_a_change_that_is_accepted(self) -> None:
        settings(late_usage_days=10)
        story, invoice = refused()
        assert restate_invoice(invoice, as_of=at(11, 12)) is None
        use(story.shop, at(10, 5), cpu_us=10 * HOUR_US)
        note_at(at(11, 5))
        note = restate_invoice(invoice, as_of=at(11, 12))
        assert note is not None
        assert note.total == Decimal("2.60")
        assert note.reason.startswith("Usage that became known after the invoice was issued. ")
        assert "refused as too late" in note.reason
        windows = note.lines.get().facts["windows"]
        assert [each.get("refused", False) for each in windows] == [True, False]
        assert not refused_late_usage().exists()

    def test_that_was_refused_is_billed_once_it_is_accepted(self) -> None:
        settings(late_usage_days=10)
        _, invoice = refused()
        assert accept_late_usage(invoice, as_of=at(11, 12)) == 1
        assert not refused_late_usage().exists()
        note = restate_invoice(invoice, as_of=at(11, 12))
        assert note is not None
        assert note.total == Decimal("2.50")
        assert "too late" not in note.reason
        assert accept_late_usage(invoice, as_of=at(11, 12)) == 0
        assert restate_invoice(invoice, as_of=at(11, 12)) is None

    def test_of_a_void_invoice_is_not_billed(self) -> None:
        story, invoice = invoiced()
        void_invoice(invoice, "wrong customer", as_of=NOVEMBER)
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 2))
        assert changed_invoices(noted_before=LATER) == []
        assert restate_invoice(invoice, as_of=LATER) is None

    def test_of_a_sent_and_paid_invoice_is_billed_like_any(self) -> None:
        story, invoice = invoiced()
        mark_sent(invoice, as_of=NOVEMBER)
        record_payment(invoice, Decimal(1), received_on=LATER.date(), reference="a", as_of=LATER)
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=LATER)
        assert note is not None
        assert note.open_amount == Decimal("2.50")

    def test_after_a_debit_note_was_taken_back_is_billed_again(self) -> None:
        story, invoice = invoiced()
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 2))
        first = restate_invoice(invoice, as_of=LATER)
        assert first is not None
        void_invoice(first, "made in error", as_of=LATER)
        use(story.shop, at(10, 5), cpu_us=50 * HOUR_US)
        note_at(at(11, 6))
        second = restate_invoice(invoice, as_of=at(11, 7))
        assert second is not None
        assert second.total == Decimal("3.00")


@pytest.mark.usefixtures("inside")
class TestLateUsageOnTheNextInvoice:
    def test_that_was_refused_is_there_once_it_is_accepted(self) -> None:
        settings(late_usage="next_invoice", late_usage_days=10)
        _, invoice = refused()
        (draft,) = close_due(as_of=at(12, 2))
        assert draft.total == 0
        accept_late_usage(invoice, as_of=at(12, 3))
        issued = finalize_invoice(draft, as_of=at(12, 3))
        assert issued.lines.get(kind=InvoiceLine.Kind.LATE_USAGE).amount == Decimal("2.50")
        assert not LateUsage.objects.exists()

    def test_is_a_line_there_once(self) -> None:
        settings(late_usage="next_invoice")
        story, invoice = invoiced()
        deliver(story.shop, at(10, 4), cpu_us=250 * HOUR_US, received_at=at(11, 2))
        use(story.shop, at(11, 8), cpu_us=10 * HOUR_US)
        assert restate_invoice(invoice, as_of=LATER) is None
        (draft,) = close_due(as_of=at(12, 2))
        issued = finalize_invoice(draft, as_of=at(12, 2))
        late = issued.lines.get(kind=InvoiceLine.Kind.LATE_USAGE)
        assert (late.amount, issued.total) == (Decimal("2.50"), Decimal("2.60"))
        assert late.facts["reference"] == invoice.reference
        assert late.facts["windows"][0]["batches"][0]["received_at"] == "2026-11-02T00:00:00Z"
        assert changes_since_finalized(invoice) is None
        assert changes_since_finalized(issued) is None
        assert not LateUsage.objects.exists()

    def test_is_a_note_where_no_invoice_follows(self) -> None:
        settings(late_usage="next_invoice")
        story, invoice = invoiced()
        story.subscription.ends_at = invoice.period_end
        story.subscription.save()
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=LATER)
        assert note is not None
        assert note.total == Decimal("2.50")

    def test_is_left_out_past_the_deadline(self) -> None:
        settings(late_usage="next_invoice", late_usage_days=10)
        story, _ = invoiced()
        use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
        note_at(at(11, 20))
        (draft,) = close_due(as_of=at(12, 2))
        assert finalize_invoice(draft, as_of=at(12, 2)).total == 0


@pytest.mark.usefixtures("inside")
class TestTheMarks:
    def test_find_every_change_of_an_issued_period_and_no_other(self) -> None:
        story, invoice = invoiced()
        use(story.shop, at(10, 31, 22, 55), cpu_us=1)
        use(story.shop, at(10, 31, 23), cpu_us=1)
        use(story.shop, at(11, 3), cpu_us=1)
        Rollup.objects.filter(bucket_start=at(10, 3)).update(cpu_time=5)
        Rollup.objects.filter(bucket_start=at(11, 3)).delete()
        assert set(LateUsage.objects.values_list("invoice", "application", "hour")) == {
            (invoice.pk, story.shop.pk, at(10, 31, 22)),
            (invoice.pk, story.shop.pk, at(10, 3)),
        }
        LateUsage.objects.all().delete()
        Rollup.objects.filter(bucket_start=at(10, 3)).delete()
        assert LateUsage.objects.get().hour == at(10, 3)

    def test_name_the_invoice_of_whom_the_usage_is_billed_to(self) -> None:
        _, invoice = invoiced()
        other = begin_story("other", "Other")
        (draft,) = close_due(as_of=NOVEMBER)
        use(other.shop, at(10, 4), cpu_us=1)
        assert set(LateUsage.objects.values_list("invoice", flat=True)) == {draft.pk}
        assert changed_invoices(noted_before=at(12, 30)) == []
        assert invoice.pk != draft.pk

    def test_of_a_draft_are_gone_once_it_is_finalized(self) -> None:
        story = begin_story()
        (draft,) = close_due(as_of=NOVEMBER)
        use(story.shop, at(10, 4), cpu_us=100 * HOUR_US)
        assert LateUsage.objects.count() == 1
        assert finalize_invoice(draft, as_of=NOVEMBER).total == 1
        assert LateUsage.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_runs_make_one_note(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story, invoice = invoiced()
            use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
            note_at(at(11, 2))

        def restate() -> str:
            note = restate_invoice(invoice, as_of=LATER)
            return "" if note is None else note.reference

        assert sorted(at_once(tenant.pk, restate, restate)) == ["", "DN-1"]

    def test_notes_of_different_invoices_are_numbered_without_gaps(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoices = []
            for reference in ("one", "two", "three"):
                story = begin_story(reference, reference)
                (draft,) = close_due(as_of=NOVEMBER)
                invoices.append(finalize_invoice(draft, as_of=NOVEMBER))
                use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
            note_at(at(11, 2))

        def restating(invoice: Invoice) -> int:
            note = restate_invoice(invoice, as_of=LATER)
            return (note and note.number) or 0

        numbers = at_once(
            tenant.pk, *(lambda invoice=invoice: restating(invoice) for invoice in invoices)
        )
        assert sorted(numbers) == [1, 2, 3]

    def test_a_change_during_finalizing_is_billed_afterwards(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
            (draft,) = close_due(as_of=NOVEMBER)

        meanwhile(
            tenant,
            lambda: finalize_invoice(draft, as_of=NOVEMBER),
            lambda: use(story.shop, at(10, 4), cpu_us=250 * HOUR_US),
        )
        with tenant_scope(tenant.pk):
            note_at(at(11, 2))
            note = restate_invoice(draft, as_of=LATER)
            assert note is not None
            assert note.total == Decimal("2.50")

    def test_finalizing_waits_for_the_roll_up_that_changes_it(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            (draft,) = close_due(as_of=NOVEMBER)

        meanwhile(
            tenant,
            lambda: deliver(story.shop, at(10, 4), cpu_us=250 * HOUR_US, received_at=at(11, 2)),
            lambda: finalize_invoice(draft, as_of=NOVEMBER),
        )
        with tenant_scope(tenant.pk):
            billed = Invoice.objects.get().total
            note = restate_invoice(draft, as_of=LATER)
            assert billed + (note.total if note else 0) == Decimal("2.50")

    def test_the_task_restates_what_has_settled(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story, _ = invoiced()
            use(story.shop, at(10, 4), cpu_us=250 * HOUR_US)
            note_at(at(11, 2))
        soon = at(11, 2) + timedelta(minutes=59)
        assert restate_tenant(tenant.pk, as_of=soon).invoices == []
        (note,) = restate_tenant(tenant.pk, as_of=at(11, 2, 2)).invoices
        assert note.reference == "DN-1"
        assert restate_tenant(tenant.pk, as_of=at(11, 2, 3)).invoices == []
