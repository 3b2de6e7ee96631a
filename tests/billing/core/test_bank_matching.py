"""A bank transfer is matched to the invoice that its text names, or else that fits it alone."""

from datetime import date
from decimal import Decimal

import pytest

from billing.core.bank_matching import Confidence, OpenInvoice, Transfer, best_match

SHOP = OpenInvoice("shop", "INV-1042", Decimal("119.00"), "EUR", ("Shop Ltd",))
PINE = OpenInvoice("pine", "INV-1043", Decimal("50.00"), "EUR", ("Pine GmbH",))
OAK = OpenInvoice("oak", "7", Decimal("80.00"), "EUR", ("Oak AG", ""))


def transfer(amount: str, words: str = "", payer: str = "", currency: str = "EUR") -> Transfer:
    return Transfer(date(2026, 11, 3), Decimal(amount), currency, payer, words)


@pytest.mark.parametrize(
    ("came", "key", "confidence"),
    [
        (transfer("119.00", "Rechnung INV-1042 danke"), "shop", Confidence.CERTAIN),
        (transfer("119.00", "inv 1042"), "shop", Confidence.CERTAIN),
        (transfer("1.00", "RF63 INV1 042"), "shop", Confidence.CERTAIN),
        (transfer("60.00", "part of INV-1042"), "shop", Confidence.LIKELY),
        (transfer("50", "hosting", "PINE GmbH"), "pine", Confidence.LIKELY),
        (transfer("50", "hosting", "somebody"), "pine", Confidence.POSSIBLE),
        (transfer("80", "invoice 7"), "oak", Confidence.CERTAIN),
        (transfer("12", "7 boxes"), "oak", Confidence.POSSIBLE),
    ],
)
def test_finds_what_a_transfer_pays(came: Transfer, key: str, confidence: Confidence) -> None:
    match = best_match(came, [SHOP, PINE, OAK])
    assert match is not None
    assert (match.key, match.confidence) == (key, confidence)


@pytest.mark.parametrize(
    "came",
    [
        transfer("119.00", "INV-10421"),
        transfer("7.50", "INV-104"),
        transfer("1.00", "RF77 INV1 042"),
        transfer("119.00", "INV-1042", currency="USD"),
        transfer("3", "INV-1042 and INV-1043"),
    ],
    ids=["amount aside", "part of a number", "wrong check", "another currency", "names two"],
)
def test_is_careful_where_little_or_too_much_speaks_for_one(came: Transfer) -> None:
    match = best_match(came, [SHOP, PINE])
    assert match is None or match.confidence == Confidence.POSSIBLE


def test_an_amount_that_two_owe_decides_nothing() -> None:
    twin = OpenInvoice("twin", "INV-2000", Decimal("50.00"), "EUR", ("Twin",))
    assert best_match(transfer("50.00"), [PINE, twin]) is None


def test_a_rows_reference_is_the_same_each_time_and_tells_like_rows_apart() -> None:
    one, same = transfer("5", "x"), transfer("5", "x")
    second = Transfer(one.booked_on, one.amount, "EUR", "", "x", occurrence=2)
    assert one.reference == same.reference != second.reference
    named = Transfer(one.booked_on, one.amount, "EUR", "", "x", bank_id="2026-1")
    assert named.reference == "bank 2026-1"
