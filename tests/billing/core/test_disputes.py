"""What a dispute contests, and what it leaves to be paid."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import currency_of
from billing.core.disputes import (
    UpheldAmountNotUsable,
    disputed_amount,
    undisputed,
    upheld_amount,
)

EURO, YEN = currency_of("EUR"), currency_of("JPY")
AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=2)


class TestWhatIsContested:
    @pytest.mark.parametrize(
        ("line", "percent", "inclusive", "contested"),
        [
            ("100.00", "19", False, "119.00"),
            ("0.03", "19", False, "0.04"),
            ("119.00", "19", True, "119.00"),
            ("100.00", None, False, "100.00"),
            ("-10.00", "19", False, "0"),
        ],
    )
    def test_is_the_line_with_its_tax(
        self, line: str, percent: str | None, inclusive: bool, contested: str
    ) -> None:
        tax = None if percent is None else Decimal(percent)
        found = disputed_amount(Decimal(line), tax, EURO, tax_inclusive=inclusive)
        assert found == Decimal(contested)

    def test_is_whole_in_a_currency_without_decimals(self) -> None:
        assert disputed_amount(Decimal(105), Decimal(10), YEN, tax_inclusive=False) == 116


class TestWhatNobodyContests:
    @given(open_amount=AMOUNTS, disputed=st.lists(AMOUNTS, max_size=5))
    def test_is_never_negative_and_never_more_than_is_open(
        self, open_amount: Decimal, disputed: list[Decimal]
    ) -> None:
        left = undisputed(open_amount, disputed)
        assert 0 <= left <= open_amount
        if sum(disputed) <= open_amount:
            assert left + sum(disputed) == open_amount


class TestWhatIsUpheld:
    def test_is_all_or_nothing_unless_it_is_in_part(self) -> None:
        assert upheld_amount("upheld", Decimal(5), None, EURO) == 5
        assert upheld_amount("rejected", Decimal(5), Decimal(3), EURO) == 0
        assert upheld_amount("upheld_in_part", Decimal(5), Decimal("2.50"), EURO) == Decimal("2.5")

    @pytest.mark.parametrize("amount", [None, "0", "5", "-1", "2.505"])
    def test_in_part_lies_between(self, amount: str | None) -> None:
        given_amount = None if amount is None else Decimal(amount)
        with pytest.raises(UpheldAmountNotUsable, match="less than 5 EUR"):
            upheld_amount("upheld_in_part", Decimal(5), given_amount, EURO)
