"""Where gaps are credited, a fee is given back for the share of time without a measurement."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.contract import Contract, contract_lines, credited_spans, rated_contract
from billing.core.discounts import DiscountTerm
from billing.core.exact import ZERO
from billing.core.gap_credit import NOT_MEASURED, ExpectedTime, MoreMeasuredThanExpected
from billing.core.money import sum_amounts
from billing.core.periods import Interval, Period
from billing.core.prices import Flat, Percentage
from billing.core.prices.flat import TIMINGS, Timing
from billing.core.rating import PriceSpec
from billing.core.spans import Terms
from tests.billing.core.agreements import (
    OCTOBER,
    amounts,
    basic_fee,
    contract,
    cpu,
    cpu_hours,
    cut,
    terms,
)
from tests.billing.timeline import at

HOUR_US = 3_600 * 10**6
FIRST, SECOND = cut(at(10, 16, 12))
QUARTER_MISSING = ExpectedTime(3 * HOUR_US, 4 * HOUR_US)


def credited(*prices: PriceSpec, span: Period = OCTOBER, **more: object) -> Terms:
    return replace(terms(*prices, span=span, **more), credits_gaps=True)  # type: ignore[arg-type]


def fee(
    amount: str = "40",
    timing: Timing = "arrears",
    *,
    interval: Interval | None = None,
    prorated: bool = True,
    price_id: str = "fee",
) -> PriceSpec:
    model = Flat(Decimal(amount), timing, prorated, interval)
    return replace(basic_fee(amount, price_id=price_id), model=model)


class TestACreditForGaps:
    def test_is_the_unmeasured_share_of_the_fee_with_its_steps(self) -> None:
        lines = contract_lines(contract(credited(fee())), {}, {OCTOBER: QUARTER_MISSING})
        assert amounts(lines) == [("recurring", "40"), ("recurring", "-10")]
        assert (lines[1].label, lines[1].quantity) == (
            "Basic fee: credit for gaps",
            Decimal("-0.25"),
        )
        assert [step.words for step in lines[1].steps] == [
            "40 EUR a month, in arrears, for 2026-10-01 to 2026-11-01 = 40 EUR",
            "Usage was not measured for 1 h of the 4 h in which it was expected, over all "
            "applications: 40 EUR × 3600 ÷ 14400 are given back = -10 EUR",
            "Before rounding: -10 EUR",
        ]
        assert dict(lines[1].steps[1].numbers) == {
            "owed": "40", "missing": "3600", "expected": "14400", "amount": "-10",
        }  # fmt: skip

    def test_of_a_fee_in_advance_is_for_the_period_of_the_gaps(self) -> None:
        agreed = contract(credited(fee(timing="advance")))
        following = replace(agreed.terms[0], span=Period(OCTOBER.end, OCTOBER.end + timedelta(1)))
        going_on = replace(agreed, following=following)
        lines = contract_lines(going_on, {}, {OCTOBER: QUARTER_MISSING})
        # The fee of November, and what October gives back of October's.
        assert amounts(lines) == [("recurring", "40"), ("recurring", "-10")]
        ended = contract_lines(agreed, {}, {OCTOBER: QUARTER_MISSING})
        assert amounts(ended) == [("recurring", "-10")]

    @pytest.mark.parametrize("time", [ExpectedTime(), ExpectedTime(HOUR_US, HOUR_US)])
    def test_has_no_line_where_nothing_is_missing(self, time: ExpectedTime) -> None:
        lines = contract_lines(contract(credited(fee())), {}, {OCTOBER: time})
        assert amounts(lines) == [("recurring", "40")]

    def test_is_not_given_by_a_version_with_another_policy(self) -> None:
        agreed = contract(terms(fee()))
        assert credited_spans(agreed) == ()
        assert amounts(contract_lines(agreed, {})) == [("recurring", "40")]

    def test_is_not_given_for_a_trial(self) -> None:
        agreed = contract(credited(fee(), span=FIRST, trial=True), credited(fee(), span=SECOND))
        assert credited_spans(agreed) == (SECOND,)
        lines = contract_lines(agreed, {}, {SECOND: QUARTER_MISSING})
        assert amounts(lines) == [("recurring", "20"), ("recurring", "-5")]

    def test_follows_each_version_within_a_period(self) -> None:
        agreed = contract(
            credited(fee("40"), span=FIRST), credited(fee("60", price_id="new"), span=SECOND)
        )
        time = {FIRST: QUARTER_MISSING, SECOND: ExpectedTime(0, HOUR_US)}
        assert amounts(contract_lines(agreed, {}, time)) == [
            ("recurring", "20"), ("recurring", "30"), ("recurring", "-5"), ("recurring", "-30"),
        ]  # fmt: skip
        half = contract(
            terms(fee("40"), span=FIRST), credited(fee("60", price_id="n"), span=SECOND)
        )
        lines = contract_lines(half, {}, {SECOND: QUARTER_MISSING})
        assert amounts(lines)[2:] == [("recurring", "-7.5")]

    def test_of_a_yearly_fee_is_for_the_month(self) -> None:
        agreed = contract(credited(fee("365", interval="yearly")))
        lines = contract_lines(agreed, {}, {OCTOBER: ExpectedTime(0, HOUR_US)})
        assert amounts(lines)[-1] == ("recurring", "-31")

    def test_of_a_fee_that_is_not_prorated_is_for_what_is_left_of_its_period(self) -> None:
        whole = contract(credited(fee(prorated=False)))
        time = {OCTOBER: QUARTER_MISSING}
        assert amounts(contract_lines(whole, {}, time))[-1] == ("recurring", "-10")
        # It came too late to be owed for October.
        late = contract(terms(span=FIRST), credited(fee(prorated=False), span=SECOND))
        assert contract_lines(late, {}, {SECOND: QUARTER_MISSING}) == []

    def test_comes_after_percentages_and_minimums_and_before_discounts(self) -> None:
        support = PriceSpec("s", None, "", Percentage(Decimal(10), ("fee",)), code="support")
        agreed = contract(
            credited(cpu("1"), fee(), support, minimum="100"),
            discounts=(DiscountTerm("d", "Half", percent=Decimal(50), codes=frozenset({"fee"})),),
        )
        lines = contract_lines(agreed, {OCTOBER: [cpu_hours(16)]}, {OCTOBER: QUARTER_MISSING})
        assert amounts(lines) == [
            ("usage", "16"), ("recurring", "40"), ("percentage", "4"), ("minimum", "40"),
            ("recurring", "-10"), ("discount", "-15"),
        ]  # fmt: skip

    @given(
        amount=st.decimals(0, 10**6, places=12),
        measured_us=st.integers(0, 10**13),
        missing_us=st.integers(0, 10**13),
        timing=st.sampled_from(TIMINGS),
        prorated=st.booleans(),
        cut_at=st.integers(1, 31 * 288 - 1),
    )
    def test_is_between_nothing_and_the_fee(
        self,
        amount: Decimal,
        measured_us: int,
        missing_us: int,
        timing: Timing,
        prorated: bool,
        cut_at: int,
    ) -> None:
        price = fee(str(amount), timing, prorated=prorated)
        parts = cut(OCTOBER.start + cut_at * timedelta(minutes=5))
        # Cut where nothing changes: it is one stretch of time.
        agreed = contract(*(credited(price, span=span) for span in parts))
        credit = given_back(agreed, ExpectedTime(measured_us, measured_us + missing_us))
        assert ZERO <= credit <= amount
        assert given_back(agreed, ExpectedTime(measured_us, measured_us)) == ZERO
        assert given_back(agreed, ExpectedTime(0, 1)) == amount

    @given(measured_us=st.integers(0, 10**13), late_us=st.integers(0, 10**13))
    def test_never_grows_by_usage_that_comes_late(self, measured_us: int, late_us: int) -> None:
        agreed, expected_us = contract(credited(fee())), measured_us + late_us + 1
        before = given_back(agreed, ExpectedTime(measured_us, expected_us))
        after = given_back(agreed, ExpectedTime(measured_us + late_us, expected_us))
        assert after <= before

    @given(shares=st.lists(st.integers(0, 100), min_size=2, max_size=2))
    def test_of_two_versions_is_no_more_than_their_fees(self, shares: list[int]) -> None:
        agreed = contract(
            credited(fee("40"), span=FIRST), credited(fee("60", price_id="new"), span=SECOND)
        )
        time = {
            span: ExpectedTime(share, 100)
            for span, share in zip((FIRST, SECOND), shares, strict=True)
        }
        assert rated_contract(agreed, {}, time).total >= 0


def given_back(agreed: Contract, time: ExpectedTime) -> Decimal:
    lines = contract_lines(agreed, {}, {OCTOBER: time})
    found = [each.unrounded for each in lines if each.attributes == NOT_MEASURED]
    return sum_amounts(found).copy_negate()


class TestExpectedTime:
    def test_holds_all_that_was_measured(self) -> None:
        with pytest.raises(MoreMeasuredThanExpected):
            ExpectedTime(2, 1)
