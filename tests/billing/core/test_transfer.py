"""Paying by bank transfer."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iso11649

from billing.core.transfer import Transfer, creditor_reference


class TestTheReference:
    @pytest.mark.parametrize(
        ("number", "reference"), [("539007547034", "RF18539007547034"), ("1", "RF741")]
    )
    def test_is_the_standards(self, number: str, reference: str) -> None:
        assert creditor_reference(number) == reference

    @given(st.text(st.sampled_from("ABCxyz0189-/ ä"), min_size=1, max_size=40))
    def test_can_be_checked(self, number: str) -> None:
        reference = creditor_reference(f"{number}7")
        assert iso11649.is_valid(reference)
        assert len(reference) <= 25


class TestTheCode:
    def test_says_whom_how_much_and_what_for(self) -> None:
        transfer = Transfer(
            "First Host\nGmbH", "DE89 3704 0044 0532 0130 00", "COBADEFFXXX", Decimal("119.50"),
            "RF631",
        )  # fmt: skip
        assert transfer.code().splitlines() == [
            "BCD", "002", "1", "SCT", "COBADEFFXXX", "First Host GmbH", "DE89370400440532013000",
            "EUR119.5", "", "RF631",
        ]  # fmt: skip

    @pytest.mark.parametrize("amount", ["0", "-1", "1000000000"])
    def test_says_nothing_that_no_transfer_carries(self, amount: str) -> None:
        assert not Transfer("A", "DE89370400440532013000", "", Decimal(amount), "RF631").code()

    def test_needs_an_account(self) -> None:
        assert not Transfer("A", "", "", Decimal(1), "RF631").code()
