"""Late usage under minimums, commitments and allowances that roll over."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.closing import restate_tenant
from billing.models import Invoice
from billing.operations import restate_invoice
from billing.queries import changes_since_finalized
from tenants.models import Tenant
from tests.billing.agreements import begin_contract, close_next, cpu
from tests.billing.late import note_at
from tests.billing.timeline import HOUR_US, at, use


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
        end = datetime(2027, 1, 2, tzinfo=UTC)
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
        price = cpu("1", allowance="50")
        price.rollover_periods = 1
        story = begin_contract(price)
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
