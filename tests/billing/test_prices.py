"""Stored prices are read, or refused with a reason."""

import pytest

from billing.models import Price
from billing.prices import TierNotReadable, price_spec


@pytest.mark.usefixtures("inside")
def test_a_tier_has_no_endless_numbers() -> None:
    price = Price(
        label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-hour", kind="graduated",
        tiers=[{"up_to": None, "unit_price": "0." + "0" * 60}],
    )  # fmt: skip
    with pytest.raises(TierNotReadable, match="at most 60 characters"):
        price_spec(price)
