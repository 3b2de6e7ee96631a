"""What Stripe takes as an amount: whole minor units, by Stripe's own list of currencies.

It differs from ISO 4217: the ariary has no decimals here, and krona of Iceland and shilling of
Uganda are written with two although they have none. Source of the rules: docs.stripe.com/currencies
and its special cases, as of 2026.
"""

from typing import Final

from billing.core.currencies import CURRENCIES
from billing.fake_stripe.refusals import invalid

_NO_DECIMALS: Final = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf",
     "vnd", "vuv", "xaf", "xof", "xpf"}
)  # fmt: skip
_THREE_DECIMALS: Final = frozenset(
    {"bhd", "jod", "kwd", "omr", "tnd"}
)  # fmt: skip
_WHOLE_ONLY: Final = frozenset({"isk", "ugx"})
# Stripe settles in these and refuses less than half a unit; the others it converts.
_LEAST: Final = {
    "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300,
    "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
_MOST: Final = 99_999_999


def check_currency(code: str) -> None:
    """Raises Refused for a code that is not that of a currency, in small letters."""
    if code != code.lower() or code.upper() not in CURRENCIES:
        raise invalid(f"Invalid currency: {code[:20]}", param="currency")


def check_amount(amount: int, currency: str) -> None:
    """Raises Refused for an amount that cannot be charged in the currency."""
    check_currency(currency)
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.",
            param="amount",
            code="parameter_invalid_integer",
        )
    least = _LEAST.get(currency, 1)
    if amount < least:
        raise invalid(
            f"Amount must be at least {shown(least, currency)}",
            param="amount",
            code="amount_too_small",
        )
    if amount > _MOST:
        raise invalid(
            f"Amount must be no more than {shown(_MOST, currency)}",
            param="amount",
            code="amount_too_large",
        )
    step = 100 if currency in _WHOLE_ONLY else 10 if currency in _THREE_DECIMALS else 1
    if amount % step:
        raise invalid(
            f"Amounts in {currency} must be whole multiples of {step} minor units", param="amount"
        )


def shown(amount: int, currency: str) -> str:
    """The amount as people read it, such as 12.50 EUR."""
    decimals = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    units, rest = divmod(amount, 10**decimals)
    after = f".{rest:0{decimals}d}" if decimals else ""
    return f"{units}{after} {currency.upper()}"
