"""A customer's usage becomes the lines of an invoice."""

import json
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.charges import DuplicatePrice, DuplicateUsage, rate_usage
from billing.core.currencies import CURRENCIES, UnknownCurrency
from billing.core.exact import NumberOutOfBounds
from billing.core.money import round_amount, sum_amounts
from billing.core.pricing import PerUnit
from billing.core.quantity import AggregationDoesNotFit, UnitDoesNotFit, plus
from billing.core.rating import (
    PriceSpec,
    RatingInput,
    UsageQuantity,
    rate_invoice,
    rate_line,
)
from billing.core.readings import Reading
from tests.billing.core.strategies import CPU, CPU_HOUR_US, codes, prices, usages, used

MEMORY_USED = Reading("memory.used", "integral")
MEMORY = PriceSpec("memory", MEMORY_USED, "GB-hour", PerUnit(Decimal("0.006")))


class TestInvoice:
    def test_has_a_line_for_each_price_and_application(self) -> None:
        invoice = rate_usage(
            [CPU, MEMORY],
            [
                used("web", 9),
                used("api", 6),
                UsageQuantity("id-web", "web", Reading("memory.used", "integral"), 0),
            ],
            "EUR",
        )

        assert [(line.price_id, line.application_name) for line in invoice.lines] == [
            ("cpu", "api"),
            ("cpu", "web"),
            ("memory", "web"),
        ]
        assert {line.label for line in invoice.lines} == {"CPU time", ""}

    def test_uses_allowance_and_tiers_once_over_all_applications(self) -> None:
        """api: 6 hours, 2 included, 4 in tier 1. web: 6 more in tier 1, 3 in tier 2."""
        invoice = rate_usage([CPU], [used("web", 9), used("api", 6)], "EUR")

        assert [line.amount for line in invoice.lines] == [Decimal("0.20"), Decimal("0.42")]
        assert invoice.total == Decimal("0.62")

    def test_charges_nothing_for_usage_without_a_price(self) -> None:
        invoice = rate_usage([MEMORY], [used("web", 9)], "JPY")

        assert invoice.lines == ()
        assert str(invoice.total) == "0"

    def test_charges_two_prices_on_one_meter_each_by_itself(self) -> None:
        twice = [CPU, replace(CPU, id="again")]

        lines = rate_usage(twice, [used("web", 4)], "EUR").lines

        assert [line.amount for line in lines] == [Decimal("0.10"), Decimal("0.10")]

    @given(prices(), usages(), codes)
    def test_lines_sum_to_its_total(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str
    ) -> None:
        invoice = rate_usage(plan, usage, code)

        assert sum_amounts([line.amount for line in invoice.lines]) == invoice.total
        assert sum_amounts([line.unrounded for line in invoice.lines]) == invoice.unrounded
        assert invoice.total == round_amount(invoice.unrounded, CURRENCIES[code])

    @given(prices(), usages(), codes)
    def test_has_no_line_off_by_a_minor_unit(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str
    ) -> None:
        for line in rate_usage(plan, usage, code).lines:
            assert abs(line.amount - line.unrounded) < CURRENCIES[code].minor_unit

    @given(prices(), usages(), codes, st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_usage(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str, random: Random
    ) -> None:
        shuffled = list(usage)
        random.shuffle(shuffled)

        assert rate_usage(plan, shuffled, code) == rate_usage(plan, usage, code)

    @given(prices(), usages(), codes, st.data())
    def test_never_falls_when_usage_is_added(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str, data: st.DataObject
    ) -> None:
        more = [
            replace(one, quantity=one.quantity + data.draw(st.integers(0, 10**12))) for one in usage
        ]

        assert rate_usage(plan, usage, code).total <= rate_usage(plan, more, code).total

    @given(prices(), usages(), codes)
    def test_over_several_applications_is_what_one_application_would_cost(
        self, plan: list[PriceSpec], usage: list[UsageQuantity], code: str
    ) -> None:
        by_reading: dict[Reading, int | Decimal] = {}
        for one in usage:
            by_reading[one.reading] = plus(by_reading.get(one.reading, 0), one.quantity)
        together = [UsageQuantity("1", "all", *item) for item in by_reading.items()]

        assert rate_usage(plan, usage, code).unrounded == rate_usage(plan, together, code).unrounded


class TestRefusal:
    def test_of_usage_given_twice(self) -> None:
        with pytest.raises(DuplicateUsage, match="id-web"):
            rate_usage([CPU], [used("web", 1), used("web", 2)], "EUR")

    def test_of_prices_with_one_id(self) -> None:
        with pytest.raises(DuplicatePrice, match="cpu"):
            rate_usage([CPU, CPU], [], "EUR")

    def test_of_a_currency_that_does_not_exist(self) -> None:
        with pytest.raises(UnknownCurrency):
            rate_usage([CPU], [], "EURO")

    def test_of_a_line_in_another_currency(self) -> None:
        line = rate_line(RatingInput(CPU, used("web", 1), CURRENCIES["EUR"]))

        with pytest.raises(ValueError, match="EUR on an invoice in JPY"):
            rate_invoice([line], "JPY")

    def test_of_usage_under_the_price_of_another_meter(self) -> None:
        with pytest.raises(ValueError, match=r"cpu\.time has no charge under memory\.used"):
            RatingInput(MEMORY, used("web", 1), CURRENCIES["EUR"])

    def test_of_a_price_whose_unit_or_aggregation_is_not_the_meters(self) -> None:
        with pytest.raises(UnitDoesNotFit):
            replace(CPU, unit="GB")
        with pytest.raises(AggregationDoesNotFit):
            replace(CPU, reading=Reading("cpu.time", "maximum"))
        with pytest.raises(NumberOutOfBounds):
            replace(CPU, allowance=Decimal(-1))


class TestLineAsJson:
    def test_survives_being_stored(self) -> None:
        line = rate_usage([CPU], [used("web", 3)], "EUR").lines[0]

        stored = json.loads(json.dumps(line.to_json()))

        assert stored["amount"] == "0.05"
        assert stored["raw_quantity"] == 3 * CPU_HOUR_US
        assert [step["kind"] for step in stored["steps"]] == [
            "measured",
            "converted",
            "included",
            "tier",
            "unrounded",
            "rounded",
        ]
