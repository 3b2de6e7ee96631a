"""Late usage on later invoices, where the one or the other invoice is taken back."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.closing import restate_tenant
from billing.models import BillingDetails, BillingSettings, Invoice, TaxRate
from billing.operations import end_subscription, restate_invoice, void_invoice
from billing.queries import changes_since_finalized
from billing.queries.credit import credit_left
from billing.queries.reconciliation import Reconciliation
from tenants.models import Tenant
from tests.billing.agreements import begin_contract, close_next
from tests.billing.late import deliver, note_at
from tests.billing.timeline import HOUR_US, Story, at, use

NEW_YEAR = datetime(2027, 1, 2, tzinfo=UTC)
LONG_AFTER = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.fixture
def story(inside: object) -> Story:
    BillingSettings.objects.create(
        legal_name="First Host", country="DE", late_usage="next_invoice", late_usage_days=90
    )
    return begin_contract()


def month(story: Story, number: int, hours: int) -> Invoice:
    """The issued invoice of a month with so many CPU-hours, at 1 EUR."""
    if hours:
        use(story.shop, at(number, 3), cpu_us=hours * HOUR_US)
    after = NEW_YEAR if number == 12 else at(number + 1, 2)
    return close_next(story.subscription, as_of=after, finalize=True)


def late(story: Story, day: int, hours: int, *, became_known: datetime) -> None:
    deliver(story.shop, at(10, day, 7), cpu_us=hours * HOUR_US, received_at=became_known)


def october_with_late_usage_on_november(story: Story) -> tuple[Invoice, Invoice]:
    """100 EUR, and then 10 EUR with 25 EUR for October."""
    october = month(story, 10, 100)
    late(story, 4, 25, became_known=at(11, 5))
    november = month(story, 11, 10)
    assert [october.total, november.total] == [100, 35]
    return october, november


def owed() -> Decimal:
    """All that was issued, less what was taken off."""
    taken_off = Invoice.Kind.CREDIT_NOTE
    return sum(
        (-each.total if each.kind == taken_off else each.total for each in Invoice.objects.all()),
        Decimal(0),
    )


def reconciled() -> bool:
    return not list(Reconciliation.begin().differences())


class TestTakingBackTheInvoiceOfThePeriod:
    def test_gives_its_late_usage_back_on_the_next_invoice(self, story: Story) -> None:
        october, _ = october_with_late_usage_on_november(story)
        void_invoice(october, "wrong customer", as_of=at(12, 5))
        december = month(story, 12, 40)
        (line,) = december.lines.filter(kind="late_usage")
        assert (line.amount, line.facts["reference"]) == (Decimal(-25), october.reference)
        assert [step["words"] for step in line.steps] == [
            "Billed so far: 25 CPU-hour: 25.00 EUR",
            "By the usage known now: 0 CPU-hour: 0.00 EUR",
            "The difference: -25 CPU-hour: -25.00 EUR",
        ]
        assert december.total == 40 - 25
        assert owed() == 10 + 40
        assert reconciled()

    def test_gives_it_back_by_a_note_where_no_invoice_follows(
        self, story: Story, tenant: Tenant
    ) -> None:
        october, _ = october_with_late_usage_on_november(story)
        end_subscription(story.subscription, ends_at=at(12, 1))
        void_invoice(october, "wrong customer", as_of=at(12, 5))
        (note,) = restate_tenant(tenant.pk, as_of=at(12, 6)).invoices
        assert (note.kind, note.total, note.refers_to) == ("credit_note", Decimal(25), october)
        assert "taken back" in note.reason
        (left,) = credit_left(story.customer, as_of=at(12, 6))
        assert left.total == 25
        assert owed() == 10
        assert restate_tenant(tenant.pk, as_of=at(12, 8)).invoices == []
        assert reconciled()

    def test_gives_it_back_once(self, story: Story, tenant: Tenant) -> None:
        october, _ = october_with_late_usage_on_november(story)
        void_invoice(october, "wrong customer", as_of=at(12, 5))
        void_invoice(october, "wrong customer", as_of=at(12, 5))
        month(story, 12, 40)
        # What comes for a period that was taken back is not billed.
        late(story, 6, 7, became_known=at(12, 7))
        end_subscription(story.subscription, ends_at=NEW_YEAR)
        assert restate_tenant(tenant.pk, as_of=LONG_AFTER).invoices == []
        assert changes_since_finalized(Invoice.objects.get(pk=october.pk)) is None
        assert owed() == 10 + 40

    def test_before_the_next_invoice_bills_none_of_it(self, story: Story) -> None:
        october = month(story, 10, 100)
        late(story, 4, 25, became_known=at(11, 5))
        void_invoice(october, "wrong customer", as_of=at(11, 6))
        assert month(story, 11, 10).total == 10
        assert owed() == 10


class TestTakingBackTheInvoiceThatBearsIt:
    def test_bills_it_on_the_one_after_with_the_hours_that_changed(self, story: Story) -> None:
        october, november = october_with_late_usage_on_november(story)
        void_invoice(november, "wrong address", as_of=at(12, 5))
        december = month(story, 12, 40)
        (line,) = december.lines.filter(kind="late_usage")
        assert (line.amount, line.facts["reference"]) == (Decimal(25), october.reference)
        (window,) = line.facts["windows"]
        assert (window["from"], window["to"]) == ("2026-10-04T07:00:00Z", "2026-10-04T08:00:00Z")
        assert window["changed"] == ["2026-11-05T00:00:00Z"] * 2
        assert [batch["received_at"] for batch in window["batches"]] == ["2026-11-05T00:00:00Z"]
        assert owed() == 100 + 25 + 40
        assert reconciled()

    def test_bills_it_however_long_ago_it_came(self, story: Story, tenant: Tenant) -> None:
        october, november = october_with_late_usage_on_november(story)
        end_subscription(story.subscription, ends_at=at(12, 1))
        void_invoice(november, "wrong address", as_of=LONG_AFTER)
        later = LONG_AFTER + timedelta(days=1)
        (note,) = restate_tenant(tenant.pk, as_of=later).invoices
        assert (note.kind, note.total, note.refers_to) == ("debit_note", Decimal(25), october)
        assert "became known" in note.reason
        assert owed() == 100 + 25

    @pytest.mark.parametrize("first", [0, 1])
    def test_and_that_of_the_period_too_leaves_nothing_billed(
        self, story: Story, first: int
    ) -> None:
        invoices = october_with_late_usage_on_november(story)
        void_invoice(invoices[first], "first", as_of=at(12, 5))
        void_invoice(invoices[1 - first], "then", as_of=at(12, 6))
        assert month(story, 12, 40).total == 40
        assert owed() == 40
        assert reconciled()

    def test_after_it_was_given_back_elsewhere_leaves_nothing_billed(
        self, story: Story, tenant: Tenant
    ) -> None:
        october, november = october_with_late_usage_on_november(story)
        void_invoice(october, "wrong customer", as_of=at(12, 5))
        end_subscription(story.subscription, ends_at=NEW_YEAR)
        december = month(story, 12, 40)
        assert december.total == 15
        void_invoice(november, "wrong customer", as_of=NEW_YEAR)
        (note,) = restate_tenant(tenant.pk, as_of=LONG_AFTER).invoices
        # November took the 25 back with itself, and December had as well.
        assert (note.kind, note.total) == ("debit_note", Decimal(25))
        assert owed() == 40
        assert reconciled()


class TestANoteOnAnInvoiceWithLateUsage:
    def test_is_taxed_as_the_invoices_own_period(self, story: Story) -> None:
        BillingDetails.objects.create(customer=story.customer, country="DE")
        for percent, since, until in (
            (16, date(2020, 1, 1), date(2026, 11, 1)),
            (19, date(2026, 11, 1), None),
        ):
            TaxRate.objects.create(
                name="VAT", country="DE", percent=percent, valid_from=since, valid_to=until
            )
        _, november = october_with_late_usage_on_november(story)
        assert {tax.percent: tax.taxable for tax in november.taxes.all()} == {16: 25, 19: 10}
        end_subscription(story.subscription, ends_at=at(12, 1))
        use(story.shop, at(11, 6), cpu_us=100 * HOUR_US)
        note_at(at(12, 3))
        note = restate_invoice(november, as_of=at(12, 5))
        assert note is not None
        assert note.tax_total == 19
