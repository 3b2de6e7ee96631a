"""A recurring fee is owed for the time in which its price holds, once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import currency_of
from billing.core.exact import EXACT, plain
from billing.core.money import sum_amounts
from billing.core.periods import (
    Anchoring,
    BillingCycle,
    Interval,
    Period,
    billing_periods,
    whole_period_containing,
)
from billing.core.prices import Flat
from billing.core.prices.flat import Timing
from billing.core.proration import share_of
from billing.core.rating import PriceSpec
from billing.core.recurring import Fee, FeeBasis, fee_lines
from tests.billing.timeline import JANUARY, at

EURO = currency_of("EUR")
MONTHLY = BillingCycle(at(1, 1), "UTC")


def fee(
    amount: str = "31",
    *,
    timing: Timing = "arrears",
    starts_at: datetime = JANUARY,
    ends_at: datetime | None = None,
    interval: Interval | None = None,
    prorated: bool = True,
) -> Fee:
    model = Flat(Decimal(amount), timing, prorated, interval)
    price = PriceSpec(id="fee", reading=None, unit="", model=model, label="Basic fee")
    return Fee(price, model, starts_at, ends_at)


def months(cycle: BillingCycle = MONTHLY, count: int = 4) -> list[Period]:
    return list(islice(billing_periods(cycle), count))


def charged(owed: Fee, periods: list[Period], cycle: BillingCycle = MONTHLY) -> list[list[str]]:
    """What stands on each period's invoice."""
    invoices = [fee_lines(owed, FeeBasis(period, cycle, EURO)) for period in periods]
    return [[plain(line.unrounded) for line in lines] for lines in invoices]


class TestAFeeInArrears:
    def test_stands_on_the_invoice_of_its_own_period(self) -> None:
        assert charged(fee(), months()) == [["31"], ["31"], ["31"], ["31"]]

    def test_is_prorated_in_a_first_period_that_is_part_of_one(self) -> None:
        cycle = BillingCycle(at(1, 11), "UTC")
        owed = fee(starts_at=at(1, 11))

        assert charged(owed, months(cycle, 2), cycle) == [["21"], ["31"]]

    def test_is_owed_up_to_where_its_price_ends(self) -> None:
        owed = fee("28", ends_at=at(2, 8))

        assert charged(owed, months()) == [["28"], ["7"], [], []]

    def test_of_a_year_stands_on_the_invoice_with_which_the_year_ends(self) -> None:
        owed = fee("365", interval="yearly")

        assert charged(owed, months(count=24)) == [
            *[[]] * 11, ["365"], *[[]] * 11, ["365"],
        ]  # fmt: skip

    def test_of_a_week_stands_as_often_as_weeks_end(self) -> None:
        """Weeks end on Monday, 5, 12, 19 and 26 January; the first has 4 of its days."""
        owed = fee("7", interval="weekly")

        assert charged(owed, months(count=1)) == [["4", "7", "7", "7"]]

    def test_that_is_not_prorated_is_owed_whole_by_what_its_period_began_with(self) -> None:
        owed = fee(prorated=False, ends_at=at(2, 8))
        later = fee(prorated=False, starts_at=at(2, 8))

        assert charged(owed, months()) == [["31"], ["31"], [], []]
        assert charged(later, months()) == [[], [], ["31"], ["31"]]


class TestAFeeInAdvance:
    def test_stands_on_the_invoice_before_and_the_first_one_on_the_first(self) -> None:
        assert charged(fee(timing="advance"), months()) == [["31", "31"], ["31"], ["31"], ["31"]]

    def test_is_not_asked_for_after_the_last_period(self) -> None:
        owed = fee(timing="advance", ends_at=at(3, 1))

        assert charged(owed, months(count=2)) == [["31", "31"], []]

    def test_is_given_back_as_far_as_it_is_not_used(self) -> None:
        owed = fee("28", timing="advance", ends_at=at(2, 8))

        assert charged(owed, months(count=2)) == [["28", "28"], ["-21"]]

    def test_of_a_year_stands_on_the_invoice_with_which_the_year_before_ends(self) -> None:
        cycle = BillingCycle(at(7, 2), "UTC")
        owed = fee("365", timing="advance", starts_at=at(7, 2), interval="yearly")

        invoices = charged(owed, months(cycle, 7), cycle)
        assert invoices == [["183"], [], [], [], [], ["365"], []]


class TestAFeeOfACustomerWhoMoved:
    """To another time zone, from Berlin to New York as October ended."""

    def test_is_charged_once_a_month(self) -> None:
        berlin = BillingCycle(at(9, 30, 22), "Europe/Berlin")
        new_york = replace(berlin, time_zone="America/New_York")
        october, november = months(berlin, 2)
        moved = Period(october.end, at(12, 1, 5))
        for timing in get_args(Timing):
            owed = fee(timing=timing, starts_at=at(9, 30, 22))
            last = fee_lines(owed, FeeBasis(october, berlin, EURO))
            next_ = fee_lines(owed, FeeBasis(moved, new_york, EURO))
            assert november.start == october.end
            assert last[-1].unrounded == Decimal(31)
            assert [line.unrounded for line in next_] == [Decimal(31)]


class TestFees:
    @given(
        st.datetimes(
            datetime(2024, 1, 1),  # noqa: DTZ001 -- Hypothesis adds the zone
            datetime(2026, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
        st.sampled_from(get_args(Anchoring)),
        st.sampled_from(get_args(Interval)),
        st.sampled_from(get_args(Interval)),
        st.sampled_from(get_args(Timing)),
        st.timedeltas(timedelta(days=1), timedelta(days=900)),
    )
    def test_come_to_the_time_in_use_however_often_invoices_are_made(
        self,
        start: datetime,
        anchoring: Anchoring,
        billed: Interval,
        interval: Interval,
        timing: Timing,
        used_for: timedelta,
    ) -> None:
        cycle = BillingCycle(start, "Europe/Berlin", anchoring, billed)
        end = start + used_for
        owed = fee("100", starts_at=start, ends_at=end, timing=timing, interval=interval)
        total = Decimal(0)
        for period in billing_periods(cycle):
            if period.start >= end:
                break
            cut = Period(period.start, min(period.end, end))
            lines = fee_lines(owed, FeeBasis(cut, cycle, EURO))
            total = sum_amounts([total, *(line.unrounded for line in lines)])

        owed_for = [
            share_of(Period(max(whole.start, start), min(whole.end, end)), whole)
            for whole in whole_periods(replace(cycle, interval=interval), until=end)
        ]
        expected = sum_amounts([share.of(Decimal(100)) for share in owed_for])
        # Each share is one division, to 30 decimals; a charge in advance has two of them.
        assert abs(EXACT.subtract(total, expected)) < Decimal("1e-29") * len(owed_for)


def whole_periods(cycle: BillingCycle, *, until: datetime) -> list[Period]:
    found = [whole_period_containing(cycle.start, cycle)]
    while found[-1].end < until:
        found.append(whole_period_containing(found[-1].end, cycle))
    return found
