"""A price turns a quantity into an amount."""

from decimal import Decimal
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.exact import InexactNumber, NumberOutOfBounds
from billing.core.money import sum_amounts
from billing.core.pricing import Graduated, PerUnit, Tier, TiersNotUsable, rate, rate_part
from tests.billing.core.strategies import allowances, price_models, quantities

HOSTING = Graduated(
    (
        Tier(Decimal(10), Decimal("0.50"), Decimal(1)),
        Tier(Decimal(100), Decimal("0.20"), Decimal(2)),
        Tier(None, Decimal("0.10")),
    )
)


class TestPerUnitPrice:
    @pytest.mark.parametrize(
        ("quantity", "amount"), [("0", "0"), ("1", "0.04"), ("2.5", "0.1"), ("1000", "40")]
    )
    def test_charges_every_unit_the_same(self, quantity: str, amount: str) -> None:
        assert rate(PerUnit(Decimal("0.04")), Decimal(quantity)).unrounded == Decimal(amount)

    def test_keeps_12_decimals(self) -> None:
        price = PerUnit(Decimal("0.000000000001"))

        assert rate(price, Decimal(3)).unrounded == Decimal("0.000000000003")

    @pytest.mark.parametrize("price", ["-0.01", "0.0000000000001", "NaN", "1e12"])
    def test_out_of_bounds_is_refused(self, price: str) -> None:
        with pytest.raises(NumberOutOfBounds):
            PerUnit(Decimal(price))

    def test_in_floats_is_refused(self) -> None:
        with pytest.raises(InexactNumber):
            PerUnit(0.1)  # type: ignore[arg-type]

    def test_of_a_third_of_an_hour_is_a_third_of_the_price(self) -> None:
        """0.333... hours times 0.015 would stay below half a cent."""
        amount = rate(PerUnit(Decimal("0.015")), Decimal(1_200), raw_per_unit=3_600)

        assert amount.unrounded == Decimal("0.005")


class TestGraduatedPrice:
    @pytest.mark.parametrize(
        ("quantity", "amount"),
        [
            ("0", "0"),
            ("0.001", "1.0005"),
            ("10", "6"),
            ("10.5", "8.1"),
            ("100", "26"),
            ("101", "26.1"),
        ],
    )
    def test_charges_each_slice_and_the_fee_of_each_tier_entered(
        self, quantity: str, amount: str
    ) -> None:
        assert rate(HOSTING, Decimal(quantity)).unrounded == Decimal(amount)

    def test_counts_its_tiers_after_the_allowance(self) -> None:
        amount = rate(HOSTING, Decimal(17), allowance=Decimal(5))

        assert amount.raw_included == 5
        assert [part.raw for part in amount.slices] == [10, 2]
        assert amount.unrounded == Decimal("8.4")

    @pytest.mark.parametrize("quantity", ["0", "4.99", "5"])
    def test_costs_nothing_within_the_allowance(self, quantity: str) -> None:
        amount = rate(HOSTING, Decimal(quantity), allowance=Decimal(5))

        assert amount.unrounded == 0
        assert amount.slices == ()

    @pytest.mark.parametrize(
        "bounds",
        [
            [],
            [Decimal(10)],
            [None, None],
            [Decimal(10), Decimal(10), None],
            [Decimal(10), Decimal(9), None],
            [Decimal(0), None],
            [None] * 101,
        ],
    )
    def test_is_refused_where_its_tiers_leave_a_gap(self, bounds: list[Decimal | None]) -> None:
        with pytest.raises(TiersNotUsable):
            Graduated(tuple(Tier(bound, Decimal(1)) for bound in bounds))


class TestCharge:
    @given(price_models, allowances, st.lists(quantities, min_size=1, max_size=6))
    def test_in_parts_sums_to_the_whole(
        self, model: PerUnit | Graduated, allowance: Decimal, parts: list[int]
    ) -> None:
        ends = [Decimal(end) for end in accumulate(parts, initial=0)]
        charges = [
            rate_part(model, start, end, allowance=allowance, raw_per_unit=3_600)
            for start, end in pairwise(ends)
        ]
        whole = rate(model, ends[-1], allowance=allowance, raw_per_unit=3_600)

        assert sum_amounts([charge.unrounded for charge in charges]) == whole.unrounded

    @given(price_models, allowances, quantities, quantities)
    def test_never_falls_when_usage_is_added(
        self, model: PerUnit | Graduated, allowance: Decimal, quantity: int, added: int
    ) -> None:
        less = rate(model, Decimal(quantity), allowance=allowance, raw_per_unit=3_600)
        more = rate(model, Decimal(quantity + added), allowance=allowance, raw_per_unit=3_600)

        assert less.unrounded <= more.unrounded

    @given(price_models, allowances)
    def test_of_no_usage_is_nothing(self, model: PerUnit | Graduated, allowance: Decimal) -> None:
        assert rate(model, Decimal(0), allowance=allowance).unrounded == 0

    def test_of_a_part_that_runs_backwards_is_refused(self) -> None:
        with pytest.raises(ValueError, match="upwards"):
            rate_part(PerUnit(Decimal(1)), Decimal(2), Decimal(1))
