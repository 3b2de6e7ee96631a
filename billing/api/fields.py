"""Amounts and prices as the API writes them: decimal numbers as text, never floats."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from billing.core.currencies import UnknownCurrency, currency_of
from billing.core.exact import plain

CURRENCY_PATTERN: Final = "^[A-Z]{3}$"


def decimal_text(digits: int, decimals: int) -> Any:
    """A decimal with at most so many digits before the point and decimals after it."""
    pattern = rf"^(0|[1-9][0-9]{{0,{digits - 1}}})(\.[0-9]{{1,{decimals}}})?$"
    shape = re.compile(pattern)

    def read(value: Any) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise ValueError(
                f'write a decimal number as text, such as "0.05", with at most {digits} digits '
                f"before the point and {decimals} after it"
            )
        return Decimal(value)

    return Annotated[
        Decimal,
        BeforeValidator(read),
        PlainSerializer(plain, return_type=str),
        WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": digits + decimals + 2}),
    ]


# What is only given out: every digit that there is.
Exact = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]


def _currency(code: str) -> str:
    try:
        currency_of(code)
    except UnknownCurrency as error:
        raise ValueError(str(error)) from None
    return code


CurrencyCode = Annotated[
    str,
    AfterValidator(_currency),
    WithJsonSchema({"type": "string", "pattern": CURRENCY_PATTERN, "example": "EUR"}),
]
