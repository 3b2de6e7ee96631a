"""Late usage under minimums, commitments and allowances that roll over."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.closing import restate_tenant
from billing.core.proof.records import microseconds
from billing.models import BillingSettings, Invoice, InvoiceTerms, LateUsage, Price
from billing.operations import (
    Offer,
    OwnPrice,
    finalize_invoice,
    grant_discount,
    grant_price,
    publish_plan_version,
    recompute_draft,
    restate_invoice,
    void_invoice,
)
from billing.operations.plans import Counting
from billing.queries import changes_since_finalized
from metering.models import Application
from tenants.models import Tenant
from tests.billing.agreements import begin_contract, close_next, cpu, offer, rebate
from tests.billing.late import note_at
from tests.billing.timeline import HOUR_US, Story, at, use

NEW_YEAR = datetime(2027, 1, 2, tzinfo=UTC)


def rolling(allowance: str) -> Price:
    """CPU time at 1 EUR, with an allowance of which what is left counts in one more period."""
    price = cpu("1", allowance=allowance)
    price.rollover_periods = 1
    return price


def kinds(note: Invoice | None) -> list[tuple[str, Decimal]]:
    assert note is not None
    return [(line.facts["of_kind"], line.amount) for line in note.lines.order_by("position")]


@pytest.mark.usefixtures("inside")
class TestLateUsage:
    def test_uses_up_the_minimum_first(self) -> None:
        story = begin_contract(cpu("1"), minimum="31")
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        invoice = close_next(story.subscription, as_of=at(11, 2), finalize=True)
        assert invoice.total == 31
        use(story.shop, at(10, 4), cpu_us=15 * HOUR_US)
        note_at(at(11, 2))
        assert restate_invoice(invoice, as_of=at(11, 5)) is None
        use(story.shop, at(10, 5), cpu_us=10 * HOUR_US)
        note_at(at(11, 6))
        second = restate_invoice(invoice, as_of=at(11, 7))
        assert second is not None
        assert (second.kind, second.total) == ("debit_note", Decimal(4))
        assert changes_since_finalized(invoice) is None

    def test_lowers_the_true_up_of_a_commitment_that_was_billed(self, tenant: Tenant) -> None:
        story = begin_contract(cpu("1"), commitment=Decimal(100), commitment_interval="quarterly")
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        first = close_next(story.subscription, as_of=at(11, 2), finalize=True)
        use(story.shop, at(11, 3), cpu_us=10 * HOUR_US)
        close_next(story.subscription, as_of=at(12, 2), finalize=True)
        use(story.shop, at(12, 3), cpu_us=10 * HOUR_US)
        end = NEW_YEAR
        last = close_next(story.subscription, as_of=end, finalize=True)
        assert last.total == 80
        use(story.shop, at(10, 5), cpu_us=25 * HOUR_US)
        note_at(at(11, 20))
        notes: list[tuple[str, Decimal]] = []
        for hours in (2, 4, 6):
            made = restate_tenant(tenant.pk, as_of=end + timedelta(hours=hours)).invoices
            notes += [(note.reference, note.total) for note in made]
        assert notes == [("DN-1", Decimal(25)), ("CN-1", Decimal(25))]
        correction = Invoice.objects.get(series="CN-")
        assert correction.refers_to == last
        assert "earlier period" in correction.reason
        assert first.notes.count() == 1

    def test_leaves_less_of_an_allowance_that_rolls_over(self) -> None:
        story = begin_contract(rolling("50"))
        use(story.shop, at(10, 3), cpu_us=20 * HOUR_US)
        first = close_next(story.subscription, as_of=at(11, 2), finalize=True)
        use(story.shop, at(10, 5), cpu_us=45 * HOUR_US)
        note_at(at(11, 5))
        note = restate_invoice(first, as_of=at(11, 6))
        assert note is not None
        assert note.total == 15
        use(story.shop, at(11, 3), cpu_us=60 * HOUR_US)
        # October left nothing of its 50 hours, so November has its own alone.
        second = close_next(story.subscription, as_of=at(12, 2), finalize=True)
        assert second.total == 10

    def test_on_the_next_invoice_leaves_less_of_an_allowance_as_well(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract(rolling("50"))
        (first,) = invoiced(story, 20)
        use(story.shop, at(10, 5), cpu_us=45 * HOUR_US)
        note_at(at(11, 5))
        use(story.shop, at(11, 3), cpu_us=60 * HOUR_US)
        second = close_next(story.subscription, as_of=at(12, 2), finalize=True)
        third = close_next(story.subscription, as_of=NEW_YEAR, finalize=True)
        # October owes 15 above its 50, and leaves nothing to November, which owes 10: at once.
        assert [each.total for each in (first, second, third)] == [0, 15 + 10, 0]
        assert second.lines.get(kind="late_usage").facts["restates"] == str(first.pk)
        assert changes_since_finalized(first) is None
        assert changes_since_finalized(second) is None

    def test_on_the_next_invoice_changes_what_an_invoice_between_had_carried_over(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract(rolling("50"))
        first, second = invoiced(story, 20, 75)
        use(story.shop, at(10, 5), cpu_us=40 * HOUR_US)
        note_at(at(12, 5))
        use(story.shop, at(12, 3), cpu_us=60 * HOUR_US)
        third = close_next(story.subscription, as_of=NEW_YEAR, finalize=True)
        late = third.lines.filter(kind="late_usage").order_by("position")
        # October is 10 above its 50, and so November had 50 and not 80; December has its own alone.
        assert [(line.facts["reference"], line.amount) for line in late] == [
            (first.reference, Decimal(10)),
            (second.reference, Decimal(25)),
        ]
        assert third.total == 10 + 25 + 10
        for invoice in (first, second, third):
            assert changes_since_finalized(invoice) is None

    @pytest.mark.parametrize("gaps", ["not_billed", "held"])
    def test_on_the_next_invoice_keeps_what_the_invoice_between_was_rated_by(
        self, gaps: str
    ) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract()
        publish_plan_version(story.plan, Offer([rolling("50")], at(9, 1), Counting(gaps=gaps)))
        _, second = invoiced(story, 20, 75)
        use(story.shop, at(10, 5), cpu_us=40 * HOUR_US)
        note_at(at(12, 5))
        third = close_next(story.subscription, as_of=NEW_YEAR, finalize=True)
        assert third.lines.filter(kind="late_usage", facts__restates=str(second.pk)).exists()
        terms = InvoiceTerms.objects.get(invoice=third).body
        starts = {each["start"] for each in terms["assignments"]}
        assert microseconds(second.period_start) in starts
        # What was rated on the way is not to be looked at again.
        assert not LateUsage.objects.exists()

    def test_on_the_next_invoice_lowers_a_true_up_as_well(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract(cpu("1"), commitment=Decimal(100), commitment_interval="quarterly")
        invoiced(story, 10, 10)
        use(story.shop, at(10, 5), cpu_us=25 * HOUR_US)
        note_at(at(12, 5))
        use(story.shop, at(12, 3), cpu_us=10 * HOUR_US)
        december = close_next(story.subscription, as_of=NEW_YEAR, finalize=True)
        # 20 before, 25 late, 10 here: 45 are lacking to the 100.
        true_up = december.lines.get(kind="true_up")
        assert true_up.amount == 45
        assert "100 less 45 on earlier invoices and 10 on this one" in true_up.steps[1]["words"]
        assert sum(Invoice.objects.values_list("total", flat=True)) == 100
        assert changes_since_finalized(december) is None

    def test_on_a_draft_is_counted_before_the_draft_is_rated(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract(rolling("50"))
        invoiced(story, 20)
        use(story.shop, at(10, 5), cpu_us=45 * HOUR_US)
        note_at(at(11, 5))
        use(story.shop, at(11, 3), cpu_us=60 * HOUR_US)
        draft = close_next(story.subscription, as_of=at(12, 2))
        assert draft.total == 15 + 10
        assert recompute_draft(draft).total == 15 + 10
        assert finalize_invoice(draft, as_of=at(12, 2)).total == 15 + 10

    def test_uses_up_a_discount_for_one_period(self, tenant: Tenant) -> None:
        story = begin_contract()
        grant_discount(story.customer, rebate(periods=1))
        first, second = invoiced(story, 0, 10)
        assert second.total == 5
        use(story.shop, at(10, 5), cpu_us=20 * HOUR_US)
        note_at(at(11, 5))
        # October has it now: half of 20; November has it no more.
        assert restated(tenant, at(12, 3)) == [
            (first, "debit_note", Decimal(10)),
            (second, "debit_note", Decimal(5)),
        ]


@pytest.mark.usefixtures("inside")
class TestAnAllowanceThatRollsOver:
    def test_is_that_of_the_version_of_its_period(self) -> None:
        story = begin_contract(rolling("50"))
        offer(story.plan, rolling("100"), effective_from=at(11, 1))
        _, november = invoiced(story, 20, 140)
        # 30 of October's 50 and November's own 100.
        assert november.total == 10

    def test_is_that_of_the_price_that_the_customer_had(self) -> None:
        story = begin_contract(rolling("50"))
        own = {"allowance": "80"}
        grant_price(story.customer, OwnPrice("cpu", "EUR", own, at(10, 1), at(11, 1)))
        _, november = invoiced(story, 20, 120)
        assert november.total == 10

    def test_lapses_in_time_where_an_invoice_between_was_taken_back(self) -> None:
        story = begin_contract(rolling("50"))
        _, november = invoiced(story, 0, 0)
        void_invoice(november, "wrong customer", as_of=at(12, 3))
        use(story.shop, at(12, 3), cpu_us=60 * HOUR_US)
        december = close_next(story.subscription, as_of=NEW_YEAR, finalize=True)
        assert december.total == 10

    def test_is_not_given_afterwards_to_a_period_that_had_none(self) -> None:
        story = begin_contract(cpu("1", allowance="50"))
        offer(story.plan, rolling("50"), effective_from=at(11, 1))
        _, november = invoiced(story, 0, 60)
        assert november.total == 10


def invoiced(story: Story, *hours: int) -> list[Invoice]:
    """The issued invoices of October, November …, with so many CPU-hours each."""
    invoices = []
    for number, used in enumerate(hours):
        if used:
            use(story.shop, at(10 + number, 3), cpu_us=used * HOUR_US)
        following = at(11 + number, 2) if number < 2 else NEW_YEAR
        invoices.append(close_next(story.subscription, as_of=following, finalize=True))
    return invoices


def restated(tenant: Tenant, as_of: datetime) -> list[tuple[Invoice | None, str, Decimal]]:
    """What each note is of, which note it is and what it comes to; until nothing more comes."""
    notes: list[Invoice] = []
    for hours in range(2, 20, 2):
        notes += restate_tenant(tenant.pk, as_of=as_of + timedelta(hours=hours)).invoices
    return [(note.refers_to, note.kind, note.total) for note in notes]


@pytest.mark.usefixtures("inside")
class TestTakingAnInvoiceBack:
    def test_takes_what_it_left_of_an_allowance_from_the_next(self, tenant: Tenant) -> None:
        first, second = invoiced(begin_contract(rolling("50")), 20, 75)
        assert second.total == 0
        void_invoice(first, "wrong customer", as_of=at(12, 3))
        # November was given 30 of October's hours; it has its own 50 alone.
        assert restated(tenant, at(12, 3)) == [(second, "debit_note", Decimal(25))]

    def test_raises_the_true_up_of_its_commitment(self, tenant: Tenant) -> None:
        story = begin_contract(cpu("1"), commitment=Decimal(100), commitment_interval="quarterly")
        first, _, last = invoiced(story, 10, 20, 30)
        assert last.total == 70
        as_of = datetime(2027, 1, 3, tzinfo=UTC)
        void_invoice(first, "wrong customer", as_of=as_of)
        assert restated(tenant, as_of) == [(last, "debit_note", Decimal(10))]
        note = last.notes.get()
        assert "taken back" in note.reason
        assert [line.facts["of_kind"] for line in note.lines.all()] == ["true_up"]

    def test_gives_its_discount_to_the_next_period(self, tenant: Tenant) -> None:
        story = begin_contract()
        grant_discount(story.customer, rebate(periods=1))
        first, second = invoiced(story, 10, 10)
        assert [each.total for each in (first, second)] == [5, 10]
        void_invoice(first, "wrong customer", as_of=at(12, 3))
        assert restated(tenant, at(12, 3)) == [(second, "credit_note", Decimal(5))]

    def test_leaves_alone_what_does_not_go_on_from_it(self) -> None:
        first, _ = invoiced(begin_contract(), 10, 10)
        void_invoice(first, "wrong customer", as_of=at(12, 3))
        assert not LateUsage.objects.exists()

    def test_changes_later_periods_however_long_ago_they_ended(self, tenant: Tenant) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage_days=10)
        story = begin_contract()
        grant_discount(story.customer, rebate(periods=1))
        first, second = invoiced(story, 10, 10)
        use(story.shop, at(11, 4), cpu_us=HOUR_US)
        note_at(at(12, 20))
        void_invoice(first, "wrong customer", as_of=at(12, 20))
        ((changed, _, _),) = restated(tenant, at(12, 20))
        assert changed == second
        # What was refused is in the rollups that were rated.
        assert "refused as too late" in second.notes.get().reason
        assert not LateUsage.objects.exists()


@pytest.mark.usefixtures("inside")
class TestLateUsageWithinAnAllowanceThatRollsOver:
    def test_is_taken_off_what_was_carried_into_the_next_period(self, tenant: Tenant) -> None:
        first, second = invoiced(begin_contract(rolling("50")), 20, 75)
        assert [first.total, second.total] == [0, 0]
        deliver_late(first, hours=20)
        # October left 10 of its hours and not 30, so November is 15 above its 60.
        assert restated(tenant, at(12, 3)) == [
            (first, "debit_note", Decimal(0)),
            (second, "debit_note", Decimal(15)),
        ]
        note = first.notes.get()
        assert "left of an allowance" in note.reason
        (line,) = note.lines.all()
        assert line.raw_quantity == 20 * HOUR_US
        assert line.facts["left_over"] == [str(30 * HOUR_US), str(10 * HOUR_US)]
        assert note.status == "paid"
        assert changes_since_finalized(first) is None

    def test_on_the_next_invoice_is_a_line_of_nothing(self) -> None:
        BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
        story = begin_contract(rolling("50"))
        (first,) = invoiced(story, 20)
        deliver_late(first, hours=20)
        use(story.shop, at(11, 3), cpu_us=75 * HOUR_US)
        second = close_next(story.subscription, as_of=at(12, 2), finalize=True)
        late = second.lines.get(kind="late_usage")
        assert [late.amount, late.raw_quantity] == [0, 20 * HOUR_US]
        assert second.total == 15
        assert changes_since_finalized(first) is None

    def test_makes_no_note_where_nothing_was_left_before(self, tenant: Tenant) -> None:
        story = begin_contract(rolling("50"), minimum="100")
        (first,) = invoiced(story, 60)
        assert first.total == 100
        deliver_late(first, hours=20)
        assert restated(tenant, at(11, 3)) == []


def deliver_late(invoice: Invoice, *, hours: int) -> None:
    app = Application.objects.get(name="shop-ltd-shop")
    use(app, invoice.period_start + timedelta(days=8), cpu_us=hours * HOUR_US)
    note_at(invoice.period_end + timedelta(days=1))
