"""Amounts as the processor counts them, and what to do while nothing is known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.core.collecting import AmountNotWhole, Next, in_minor_units, what_next
from billing.core.currencies import currency_of

ASKED = datetime(2026, 11, 1, tzinfo=UTC)


class TestMinorUnits:
    @pytest.mark.parametrize(
        ("amount", "currency", "units"),
        [
            ("12.34", "EUR", 1_234),
            ("1234", "JPY", 1_234),
            ("1.230", "KWD", 1_230),
            ("50", "ISK", 5_000),
            ("7", "UGX", 700),
            ("300", "MGA", 300),
        ],
    )
    def test_are_counted_there_and_back(self, amount: str, currency: str, units: int) -> None:
        counted = in_minor_units(Decimal(amount), currency_of(currency))
        assert counted.units == units
        assert counted.amount == Decimal(amount)

    @pytest.mark.parametrize(("amount", "currency"), [("0.001", "EUR"), ("0.5", "MGA")])
    def test_have_no_parts(self, amount: str, currency: str) -> None:
        with pytest.raises(AmountNotWhole):
            in_minor_units(Decimal(amount), currency_of(currency))


class TestNothingFound:
    @pytest.mark.parametrize(
        ("hours", "then"),
        [(0, Next.ASK_AGAIN), (22, Next.ASK_AGAIN), (23, Next.WAIT), (24, Next.WAIT),
         (25, Next.GIVE_UP), (100, Next.GIVE_UP)],
    )  # fmt: skip
    def test_is_asked_again_while_the_key_is_kept(self, hours: int, then: Next) -> None:
        assert what_next(ASKED, as_of=ASKED + timedelta(hours=hours)) == then
