"""Amounts as people read them."""

from decimal import Decimal

from billing.core.currencies import currency_of


def written_amount(amount: Decimal, currency: str) -> str:
    """The payable amount with its currency's decimals: "1,234.50 EUR"."""
    return f"{amount:,.{currency_of(currency).decimals}f} {currency}"
