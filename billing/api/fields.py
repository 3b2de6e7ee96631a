"""Amounts and prices as the API writes them: decimal numbers as text, never floats."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from billing.core.currencies import UnknownCurrency, currency_of
from billing.core.exact import plain

CURRENCY_PATTERN: Final = "^[A-Z]{3}$"


@dataclass(frozen=True, slots=True)
class DecimalText:
    """Marks a Decimal that is written as text, with at most so many digits before the point and
    decimals after it."""

    digits: int
    decimals: int

    @property
    def pattern(self) -> str:
        return rf"^(0|[1-9][0-9]{{0,{self.digits - 1}}})(\.[0-9]{{1,{self.decimals}}})?$"

    def read(self, value: object) -> Decimal:
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value, re.ASCII):
            raise ValueError(
                f'write a decimal number as text, such as "0.05", with at most {self.digits} '
                f"digits before the point and {self.decimals} after it"
            )
        return Decimal(value)

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read, serialization=core_schema.plain_serializer_function_ser_schema(plain)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: object
    ) -> dict[str, object]:
        length = self.digits + self.decimals + 1
        return {"type": "string", "pattern": self.pattern, "maxLength": length}


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
