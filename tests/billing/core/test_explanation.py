"""A line's steps are enough to redo it, knowing nothing but what they say."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from hypothesis import given

from billing.core.charges import rate_usage
from billing.core.currencies import CURRENCIES
from billing.core.explanation import StepJson
from billing.core.pricing import PerUnit
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading
from tests.billing.core.strategies import CPU, codes, prices, usages, used

TINY = Fraction(1, 10**29)


def redo(steps: list[StepJson]) -> Fraction:
    """Work a line out again with fractions: what is measured, less what is included, priced."""
    by_kind = {step["kind"]: step["numbers"] for step in steps}
    raw = Fraction(by_kind["measured"]["raw"])
    assert close(raw / number(by_kind["converted"], "raw_per_unit"), by_kind["converted"])
    if "included" in by_kind:
        raw -= number(by_kind["included"], "raw_here")
        assert raw == number(by_kind["included"], "raw_billable")
    slices = [step["numbers"] for step in steps if step["kind"] in ("tier", "unit_price")]
    assert raw == sum(number(part, "raw_to") - number(part, "raw_from") for part in slices)
    return sum((slice_amount(part) for part in slices), Fraction(0))


def slice_amount(part: Mapping[str, str]) -> Fraction:
    units = (number(part, "raw_to") - number(part, "raw_from")) / number(part, "raw_per_unit")
    assert close(units, part)
    amount = units * number(part, "unit_price") + Fraction(part.get("flat_fee", "0"))
    assert abs(amount - number(part, "amount")) < TINY
    return amount


def number(numbers: Mapping[str, str], name: str) -> Fraction:
    return Fraction(numbers[name])


def close(units: Fraction, numbers: Mapping[str, str]) -> bool:
    return abs(units - number(numbers, "quantity")) < TINY


class TestExplanation:
    @given(prices(), usages(), codes)
    def test_leads_by_hand_to_the_amount(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str
    ) -> None:
        for line in rate_usage(plan, usage, code).lines:
            by_hand = redo([step.to_json() for step in line.steps])
            last = line.steps[-1].to_json()["numbers"]

            assert abs(by_hand - Fraction(line.unrounded)) < 10 * TINY
            assert Fraction(last["amount"]) == Fraction(line.amount)
            assert Fraction(last["rounded_down"]) <= Fraction(last["unrounded"])
            assert Fraction(last["amount"]) - Fraction(last["rounded_down"]) in (
                0,
                Fraction(CURRENCIES[code].minor_unit),
            )

    def test_says_in_words_what_the_allowance_and_the_tiers_did(self) -> None:
        lines = rate_usage([CPU], [used("web", 9), used("api", 6)], "EUR").lines

        assert [step.words for step in lines[1].steps] == [
            "cpu.time, sum: 32400000000 µs",
            "32400000000 µs ÷ 3600000000 µs per CPU-hour = 9 CPU-hours",
            "Other applications before this one on the invoice used 6 CPU-hours",
            "Included 2 CPU-hours: 2 used before, 0 used here, 9 CPU-hours left to pay",
            "Tier 1, above 0 up to 10 CPU-hours: 6 CPU-hours at 0.05 EUR = 0.3 EUR",
            "Tier 2, above 10 CPU-hours: 3 CPU-hours at 0.04 EUR = 0.12 EUR",
            "Before rounding: 0.42 EUR",
            "No rounding needed: 0.42 EUR",
        ]

    def test_marks_a_fraction_that_words_cut_short(self) -> None:
        cpu_time = Reading("cpu.time", "sum")
        price = PriceSpec("cpu", cpu_time, "CPU-hour", PerUnit(Decimal("0.05")))
        line = rate_usage([price], [UsageQuantity("1", "web", cpu_time, 1_200_000_000)], "EUR")

        assert [step.words for step in line.lines[0].steps][1:] == [
            "1200000000 µs ÷ 3600000000 µs per CPU-hour = 0.333333333333… CPU-hours",
            "0.333333333333… CPU-hours at 0.05 EUR = 0.016666666666… EUR",
            "Before rounding: 0.016666666666… EUR",
            "Rounded up to 0.02 EUR, so that the lines sum to 0.02 EUR",
        ]
