"""Money is exact, stays in its currency and is rounded by one rule."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import CURRENCIES, Currency, UnknownCurrency, currency_of
from billing.core.exact import InexactNumber, NumberOutOfBounds
from billing.core.money import round_amount, round_lines, sum_amounts

EUR, JPY, KWD = currency_of("EUR"), currency_of("JPY"), currency_of("KWD")

amounts = st.decimals(
    min_value=Decimal(-(10**12)),
    max_value=Decimal(10**12),
    places=15,
    allow_nan=False,
    allow_infinity=False,
)
currencies = st.sampled_from([EUR, JPY, KWD])


class TestCurrency:
    @pytest.mark.parametrize(
        ("code", "minor_unit"), [("EUR", "0.01"), ("JPY", "1"), ("KWD", "0.001"), ("UGX", "1")]
    )
    def test_has_the_minor_unit_of_iso_4217(self, code: str, minor_unit: str) -> None:
        assert currency_of(code).minor_unit == Decimal(minor_unit)

    @pytest.mark.parametrize("code", ["", "eur", "XXX", "XAU", "EURO", "DEM"])
    def test_is_refused_where_nobody_pays_in_it(self, code: str) -> None:
        with pytest.raises(UnknownCurrency):
            currency_of(code)

    def test_has_a_code_of_three_capitals(self) -> None:
        assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in CURRENCIES)

    def test_has_one_minor_unit(self) -> None:
        """A code listed under two would be counted once."""
        decimals = [currency.decimals for currency in CURRENCIES.values()]

        assert [decimals.count(places) for places in (0, 2, 3)] == [16, 132, 7]


class TestAmounts:
    def test_add_up_without_losing_a_digit(self) -> None:
        large = Decimal("123456789012345678901234567890")
        small = Decimal("0.000000000000000000000000000001")

        assert sum_amounts([large, small, large.copy_negate()]) == small

    def test_are_never_floats(self) -> None:
        with pytest.raises(InexactNumber):
            round_amount(1.5, EUR)  # type: ignore[arg-type]

    @pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "1e50"])
    def test_are_finite_and_bounded(self, amount: str) -> None:
        with pytest.raises(NumberOutOfBounds):
            round_amount(Decimal(amount), EUR)


class TestRounding:
    @pytest.mark.parametrize(
        ("amount", "currency", "payable"),
        [
            ("0.005", EUR, "0.01"),
            ("0.0049999999999999999999999999", EUR, "0.00"),
            ("-0.005", EUR, "-0.01"),
            ("2.675", EUR, "2.68"),
            ("0.5", JPY, "1"),
            ("-0.5", JPY, "-1"),
            ("1.0005", KWD, "1.001"),
            ("7", EUR, "7.00"),
        ],
    )
    def test_is_half_up_away_from_zero(self, amount: str, currency: Currency, payable: str) -> None:
        assert str(round_amount(Decimal(amount), currency)) == payable


class TestRoundedLines:
    def test_share_the_missing_cent_with_the_largest_remainder(self) -> None:
        lines = [Decimal("0.333"), Decimal("0.334"), Decimal("0.333")]

        assert round_lines(lines, EUR) == (Decimal("0.33"), Decimal("0.34"), Decimal("0.33"))

    def test_serve_the_earlier_of_equal_remainders(self) -> None:
        lines = [Decimal("0.005"), Decimal("0.005"), Decimal("0.005")]

        assert round_lines(lines, EUR) == (Decimal("0.01"), Decimal("0.01"), Decimal("0.00"))

    def test_of_nothing_are_none(self) -> None:
        assert round_lines([], EUR) == ()

    @given(st.lists(amounts, max_size=40), currencies)
    def test_sum_to_the_rounded_total(self, lines: list[Decimal], currency: Currency) -> None:
        assert sum_amounts(round_lines(lines, currency)) == round_amount(
            sum_amounts(lines), currency
        )

    @given(st.lists(amounts, max_size=40), currencies)
    def test_are_off_by_less_than_one_minor_unit(
        self, lines: list[Decimal], currency: Currency
    ) -> None:
        for line, payable in zip(lines, round_lines(lines, currency), strict=True):
            assert abs(line - payable) < currency.minor_unit

    @given(st.lists(amounts, max_size=40), currencies)
    def test_stay_as_they_are_where_nothing_is_to_be_rounded(
        self, lines: list[Decimal], currency: Currency
    ) -> None:
        payable = round_lines(lines, currency)

        assert round_lines(payable, currency) == payable
