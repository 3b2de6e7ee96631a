"""Counting a number's decimals costs what reading its digits costs."""

import time
from decimal import Decimal

import pytest

from billing.core.exact import decimals_of


@pytest.mark.parametrize(
    ("written", "decimals"),
    [("0", 0), ("0.000", 0), ("1.50", 1), ("1200", 0), ("1.2E+5", 0), ("1E-30", 30), ("-0.125", 3)],
)
def test_trailing_zeros_are_no_decimals(written: str, decimals: int) -> None:
    assert decimals_of(Decimal(written)) == decimals


def test_a_hundred_thousand_zeros_take_a_moment() -> None:
    started_at = time.perf_counter()
    assert decimals_of(Decimal("1." + "0" * 100_000)) == 0
    assert time.perf_counter() - started_at < 1
