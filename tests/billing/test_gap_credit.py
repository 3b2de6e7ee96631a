"""Where a plan credits gaps, an invoice gives back its flat fees for what was not measured."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.billable import expected_time_of_many
from billing.core.periods import Period
from billing.models import BillingSettings, Invoice, Price
from billing.operations import (
    Offer,
    close_due,
    finalize_invoice,
    publish_plan_version,
    restate_invoice,
)
from billing.operations.plans import Counting
from billing.queries import changes_since_finalized
from billing.queries.backtest import backtested_periods
from billing.queries.credit import credit_left
from billing.queries.upcoming import month_to_date
from metering.models import Application, Host, Instance
from metering.rollup_models import Rollup
from tests.billing.late import note_at
from tests.billing.timeline import NOVEMBER, OCTOBER, Story, application, assign, at, begin_story

SECOND_US = 10**6
CREDITED = Counting(gaps="credited")


def fee(amount: str = "40", **fields: Any) -> Price:
    return Price(label="Basic fee", kind="flat", unit_price=Decimal(amount), **fields)


def story(*prices: Price, counting: Counting = CREDITED) -> Story:
    begun = begin_story()
    begun.customer.time_zone = "UTC"
    begun.customer.save()
    offer = Offer(prices or (fee(),), OCTOBER - timedelta(days=20), counting)
    publish_plan_version(begun.plan, offer)
    return begun


def measure(app: Application, when: datetime, covered_s: int, *, on: str = "web-1") -> None:
    """A bucket of which so many of 300 s were measured."""
    host, _ = Host.objects.get_or_create(name=on, environment=app.environment)
    instance, _ = Instance.objects.get_or_create(application=app, host=host, name="1")
    Rollup.objects.create(
        application=app, tenant=app.tenant, instance=instance, role="primary", bucket_start=when,
        samples=1, window_us=300 * SECOND_US, covered_us=covered_s * SECOND_US, cpu_time=1,
    )  # fmt: skip


def lines_of(invoice: Invoice) -> list[tuple[str, str, str]]:
    rows = invoice.lines.order_by("position")
    return [(each.kind, each.label, f"{each.amount:.2f}") for each in rows]


def drafted() -> Invoice:
    (draft,) = close_due(as_of=NOVEMBER)
    return draft


@pytest.mark.usefixtures("inside")
class TestAnInvoice:
    def test_gives_back_the_share_of_all_applications_that_was_not_measured(self) -> None:
        begun = story()
        measure(begun.shop, at(10, 3), 300)
        measure(begun.shop, at(10, 4), 0)
        measure(begun.mail, at(10, 5), 225)
        measure(begun.mail, at(10, 6), 300)
        invoice = drafted()
        # 375 of 1200 s are missing.
        assert lines_of(invoice) == [
            ("recurring", "Basic fee", "40.00"),
            ("recurring", "Basic fee: credit for gaps", "-12.50"),
        ]
        assert invoice.total == Decimal("27.50")
        credit = invoice.lines.get(position=2)
        assert credit.attributes == {"time": "not measured"}
        assert credit.steps[1]["numbers"] == {
            "owed": "40", "missing": "375", "expected": "1200", "amount": "-12.5",
        }  # fmt: skip
        issued = finalize_invoice(invoice, as_of=NOVEMBER)
        assert issued.payable == Decimal("27.50")

    def test_is_whole_where_all_was_measured_and_where_nothing_was_expected(self) -> None:
        begun = story()
        assert drafted().total == 40
        Invoice.objects.all().delete()
        measure(begun.shop, at(10, 3), 300)
        assert drafted().total == 40

    def test_gives_nothing_back_by_another_policy(self) -> None:
        begun = story(counting=Counting())
        measure(begun.shop, at(10, 3), 0)
        assert lines_of(drafted()) == [("recurring", "Basic fee", "40.00")]

    def test_looks_at_the_customers_own_applications_in_its_own_period(self) -> None:
        begun = story()
        other = begin_story("other-ltd", "Other")
        measure(other.shop, at(10, 3), 0)
        measure(begun.shop, at(9, 30), 0)
        measure(begun.shop, at(11, 2), 0)
        left = application("left")
        assign(left, begun.customer, OCTOBER, at(10, 10))
        measure(left, at(10, 9), 150)
        measure(left, at(10, 11), 0)
        invoices = close_due(as_of=NOVEMBER)
        (own,) = [each for each in invoices if each.customer == begun.customer]
        assert lines_of(own)[-1] == ("recurring", "Basic fee: credit for gaps", "-20.00")

    def test_gives_back_fees_in_advance_for_the_gaps_of_its_own_period(self) -> None:
        begun = story(fee(definition={"timing": "advance"}))
        measure(begun.shop, at(10, 3), 150)
        invoice = drafted()
        # Of October's fee, which stands on the first invoice beside November's.
        assert lines_of(invoice)[-1] == ("recurring", "Basic fee: credit for gaps", "-20.00")

    def test_gives_back_a_months_share_of_a_yearly_fee_that_is_charged_later(self) -> None:
        begun = story(fee("365", definition={"interval": "yearly"}))
        measure(begun.shop, at(10, 3), 0)
        invoice = drafted()
        assert lines_of(invoice) == [("recurring", "Basic fee: credit for gaps", "-31.00")]
        issued = finalize_invoice(invoice, as_of=NOVEMBER)
        assert (issued.total, issued.open_amount) == (Decimal(-31), Decimal(0))
        assert [each.total for each in credit_left(begun.customer, as_of=NOVEMBER)] == [Decimal(31)]

    def test_counts_a_silent_host_as_long_as_others_deliver(self) -> None:
        begun = story()
        measure(begun.shop, at(10, 30), 300)
        Host.objects.filter(name="web-1").update(last_window_end=at(10, 30, 0, 5))
        Host.objects.create(
            name="web-2", environment=begun.shop.environment, last_window_end=at(10, 30, 0, 20)
        )
        assert lines_of(drafted())[-1][2] == "-30.00"


@pytest.mark.usefixtures("inside")
class TestUsageThatComesLate:
    def test_makes_the_credit_smaller_by_a_debit_note(self) -> None:
        begun = story()
        measure(begun.shop, at(10, 3), 300)
        measure(begun.shop, at(10, 4), 0)
        invoice = finalize_invoice(drafted(), as_of=NOVEMBER)
        assert invoice.total == 20
        Rollup.objects.filter(bucket_start=at(10, 4)).update(covered_us=240 * SECOND_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        assert (note.kind, note.total) == ("debit_note", Decimal(16))
        line = note.lines.get()
        assert [step["words"] for step in line.steps] == [
            "Billed so far: -0.5 month: -20.00 EUR",
            "By the usage known now: -0.1 month: -4.00 EUR",
            "The difference: 0.4 month: 16.00 EUR",
        ]
        assert changes_since_finalized(invoice) is None

    def test_takes_the_credit_away_where_nothing_is_missing_any_more(self) -> None:
        begun = story()
        measure(begun.shop, at(10, 4), 0)
        invoice = finalize_invoice(drafted(), as_of=NOVEMBER)
        assert invoice.total == 0
        Rollup.objects.update(covered_us=300 * SECOND_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        assert note.total == 40
        assert restate_invoice(invoice, as_of=at(11, 5)) is None

    def test_stands_on_the_next_invoice_where_the_provider_wants_that(self) -> None:
        BillingSettings.objects.create(
            legal_name="First Host", country="DE", late_usage="next_invoice"
        )
        begun = story()
        measure(begun.shop, at(10, 4), 0)
        invoice = finalize_invoice(drafted(), as_of=NOVEMBER)
        Rollup.objects.update(covered_us=150 * SECOND_US)
        note_at(at(11, 2))
        (following,) = close_due(as_of=at(12, 1))
        assert lines_of(following) == [
            ("recurring", "Basic fee", "40.00"),
            ("late_usage", "Basic fee: credit for gaps", "20.00"),
        ]
        assert changes_since_finalized(invoice) is not None
        finalize_invoice(following, as_of=at(12, 1))
        assert changes_since_finalized(invoice) is None


@pytest.mark.usefixtures("inside")
class TestAPreview:
    def test_shows_the_credit_so_far_and_its_days_sum_to_it(self) -> None:
        begun = story()
        measure(begun.shop, at(10, 3), 300)
        measure(begun.mail, at(10, 4), 200)
        shown = month_to_date(begun.customer, as_of=at(10, 5))
        assert shown is not None
        assert shown.upcoming.lines[-1].amount == Decimal("-6.67")
        assert sum(each.amount for each in shown.days) == shown.upcoming.total

    def test_of_two_versions_sums_up_as_well(self) -> None:
        begun = story()
        at_once = Offer((fee("62"),), at(10, 16, 12), CREDITED, takes_effect="at_once")
        publish_plan_version(begun.plan, at_once)
        measure(begun.shop, at(10, 3), 150)
        measure(begun.shop, at(10, 20), 0)
        shown = month_to_date(begun.customer, as_of=at(10, 25))
        assert shown is not None
        assert [each.amount for each in shown.upcoming.lines] == [20, 31, -10, -31]
        assert sum(each.amount for each in shown.days) == shown.upcoming.total == 10


@pytest.mark.usefixtures("inside")
class TestABacktest:
    def test_of_a_version_that_credits_gaps_shows_what_it_gives_back(self) -> None:
        begun = story(counting=Counting())
        measure(begun.shop, at(10, 3), 150)
        version = publish_plan_version(begun.plan, Offer((fee(),), at(12, 1), CREDITED))
        (tested,) = backtested_periods(version, Period(OCTOBER, NOVEMBER), as_of=NOVEMBER)
        assert (tested.old, tested.new) == (Decimal(40), Decimal(20))


@pytest.mark.usefixtures("inside")
def test_many_customers_are_looked_at_in_as_many_queries_as_one() -> None:
    begun = story()
    customers = [begun.customer]
    measure(begun.shop, at(10, 3), 150)
    for number in range(3):
        another = begin_story(f"no-{number}", f"Plan {number}")
        measure(another.shop, at(10, 3), 100 * number)
        customers.append(another.customer)
    october = Period(OCTOBER, NOVEMBER)
    counts, found = [], []
    for chosen in (customers[:1], customers):
        with CaptureQueriesContext(connection) as asked:
            found = expected_time_of_many([(each.pk, october) for each in chosen])
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert [each.measured_us // SECOND_US for each in found] == [150, 0, 100, 200]
