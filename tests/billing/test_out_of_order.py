"""What is issued before an earlier period, and what is published after a later one."""

from decimal import Decimal

import pytest

from billing.operations import VersionNotUsable, finalize_invoice, restate_invoice
from billing.queries import changes_since_finalized
from tests.billing.agreements import begin_contract, close_next, cpu, offer
from tests.billing.test_restated_contracts import rolling
from tests.billing.timeline import HOUR_US, at, use


@pytest.mark.usefixtures("inside")
class TestAnInvoiceIssuedBeforeTheOneOfAnEarlierPeriod:
    def test_is_restated_by_what_the_earlier_one_comes_to(self) -> None:
        story = begin_contract(rolling("50"))
        october = close_next(story.subscription, as_of=at(11, 2))
        use(story.shop, at(11, 3), cpu_us=75 * HOUR_US)
        november = close_next(story.subscription, as_of=at(12, 2), finalize=True)
        assert november.total == 0
        # October's draft had left all of its 50 hours; now it leaves 10.
        use(story.shop, at(10, 3), cpu_us=40 * HOUR_US)
        finalize_invoice(october, as_of=at(12, 3))
        note = restate_invoice(november, as_of=at(12, 4))
        assert note is not None
        assert (note.kind, note.total) == ("debit_note", Decimal(15))
        assert changes_since_finalized(november) is None


@pytest.mark.usefixtures("inside")
class TestAVersionForPeriodsThatAreInvoiced:
    def test_is_refused(self) -> None:
        story = begin_contract(cpu("1"))
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        invoice = close_next(story.subscription, as_of=at(11, 2), finalize=True)
        with pytest.raises(VersionNotUsable, match="invoiced"):
            offer(story.plan, cpu("2"), effective_from=at(9, 15))
        assert changes_since_finalized(invoice) is None
        offer(story.plan, cpu("2"), effective_from=at(10, 2))
