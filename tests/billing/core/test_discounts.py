"""Discounts take from what is charged, in a defined order, and never more than that."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.discounts import DiscountNotUsable, DiscountTerm, discount_lines
from billing.core.exact import EXACT, plain
from billing.core.money import sum_amounts
from billing.core.rating import UnroundedLine
from tests.billing.core.agreements import charge
from tests.billing.core.strategies import decimals

CODES = {"cpu": "cpu", "disk": "disk"}
CPU, DISK = charge("60"), charge("40", "disk", "Disk writes")


def percent(
    written: str, discount_id: str = "p", *, position: int = 1, of: str = ""
) -> DiscountTerm:
    codes = frozenset([of] if of else [])
    return DiscountTerm(discount_id, "Rebate", position, percent=Decimal(written), codes=codes)


def amount(
    written: str, discount_id: str = "a", *, position: int = 1, of: str = ""
) -> DiscountTerm:
    codes = frozenset([of] if of else [])
    return DiscountTerm(discount_id, "Voucher", position, amount=Decimal(written), codes=codes)


def taken(
    lines: list[UnroundedLine], *discounts: DiscountTerm
) -> list[tuple[str, str | None, str]]:
    return [
        (str(line.facts["discount"]), line.price_id, plain(line.unrounded))
        for line in discount_lines(lines, discounts, CODES)
    ]


class TestADiscount:
    def test_by_percentage_has_a_line_for_each_price(self) -> None:
        assert taken([CPU, DISK], percent("10")) == [("p", "cpu", "-6"), ("p", "disk", "-4")]

    def test_of_a_price_takes_from_all_its_lines_together(self) -> None:
        assert taken([CPU, CPU, DISK], percent("10", of="cpu")) == [("p", "cpu", "-12")]

    def test_by_amount_is_spread_over_the_prices(self) -> None:
        assert taken([CPU, DISK], amount("50")) == [("a", "cpu", "-30"), ("a", "disk", "-20")]

    def test_that_does_not_divide_is_spread_to_the_last_digit(self) -> None:
        lines = [charge("1"), charge("1", "disk"), charge("1", None)]

        found = discount_lines(lines, [amount("1")], CODES)

        assert sum_amounts([line.unrounded for line in found]) == Decimal(-1)
        assert [plain(line.unrounded)[:8] for line in found] == ["-0.33333"] * 3

    def test_takes_no_more_than_there_is(self) -> None:
        assert taken([CPU, DISK], amount("500")) == [("a", "cpu", "-60"), ("a", "disk", "-40")]
        assert taken([CPU], amount("500", of="disk")) == []

    def test_leaves_out_what_is_given_back(self) -> None:
        fee = charge("-30", "disk", "Basic fee")

        assert taken([CPU, fee], percent("50")) == [("p", "cpu", "-30")]

    def test_says_how_it_came_about(self) -> None:
        (line,) = discount_lines([CPU], [percent("12.5")], CODES)

        assert line.kind == "discount"
        assert line.label == "Rebate: CPU time"
        assert line.steps[0].words == "12.5 % of 60 EUR: 7.5 EUR off"

    @pytest.mark.parametrize(
        ("percent", "amount"), [(None, None), ("0", None), ("100.1", None), (None, "0"), ("1", "1")]
    )
    def test_of_nothing_or_too_much_is_refused(
        self, percent: str | None, amount: str | None
    ) -> None:
        with pytest.raises(DiscountNotUsable):
            DiscountTerm(
                "d",
                "Odd",
                percent=None if percent is None else Decimal(percent),
                amount=None if amount is None else Decimal(amount),
            )


class TestTheOrder:
    def test_is_single_prices_first_and_then_the_invoice(self) -> None:
        found = taken([CPU, DISK], percent("10", "whole"), percent("50", "line", of="cpu"))

        assert found == [("line", "cpu", "-30"), ("whole", "cpu", "-3"), ("whole", "disk", "-4")]

    def test_is_by_position(self) -> None:
        assert taken([CPU], percent("50", position=2), amount("20", position=1)) == [
            ("a", "cpu", "-20"),
            ("p", "cpu", "-20"),
        ]

    def test_at_one_position_is_percentages_before_amounts(self) -> None:
        assert taken([CPU], amount("20"), percent("50")) == [
            ("p", "cpu", "-30"),
            ("a", "cpu", "-20"),
        ]


charges = st.builds(
    lambda amount, price_id: charge(str(amount), price_id),
    st.one_of(decimals(2, 1_000), decimals(30, 10)),
    st.sampled_from(["cpu", "disk", None]),
)
discounts = st.one_of(
    st.builds(
        lambda units, position, of: percent(str(Decimal(units) / 100), position=position, of=of),
        st.integers(1, 10_000),
        st.integers(1, 3),
        st.sampled_from(["", "cpu", "disk"]),
    ),
    st.builds(
        lambda cents, position, of: amount(str(Decimal(cents) / 100), position=position, of=of),
        st.integers(1, 100_000),
        st.integers(1, 3),
        st.sampled_from(["", "cpu", "disk"]),
    ),
)


class TestDiscounts:
    @given(st.lists(charges, max_size=6), st.lists(discounts, max_size=4))
    def test_never_take_a_price_below_zero(
        self, lines: list[UnroundedLine], agreed: list[DiscountTerm]
    ) -> None:
        every = [*lines, *discount_lines(lines, agreed, CODES)]

        for price_id in {line.price_id for line in every}:
            own = [line.unrounded for line in every if line.price_id == price_id]
            assert sum_amounts(own) >= 0

    @given(st.lists(charges, min_size=1, max_size=6), st.integers(1, 1_000_000))
    def test_by_amount_take_it_all_or_all_there_is(
        self, lines: list[UnroundedLine], cents: int
    ) -> None:
        agreed = amount(str(Decimal(cents) / 100))
        total = sum_amounts([line.unrounded for line in lines])

        off = sum_amounts([line.unrounded for line in discount_lines(lines, [agreed], CODES)])

        assert EXACT.add(off, min(total, agreed.amount or total)) == 0
