"""Decimal arithmetic that is exact, or says where it is not.

Sums, differences and products run in EXACT, which raises instead of dropping a digit. The one
operation that need not terminate is a division, and `quotient` is the only one there is: its
result is kept to 30 decimals, half up.
"""

from decimal import (
    ROUND_HALF_UP,
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import lru_cache
from typing import Final

DIGITS: Final = 120
QUOTIENT_DECIMALS: Final = 30
ZERO: Final = Decimal(0)

_ERRORS = [InvalidOperation, DivisionByZero, Overflow, Clamped]
EXACT: Final = Context(prec=DIGITS, rounding=ROUND_HALF_UP, traps=[*_ERRORS, Inexact])
_ROUNDING: Final = Context(prec=DIGITS, rounding=ROUND_HALF_UP, traps=_ERRORS)
_QUOTIENT_STEP: Final = Decimal(1).scaleb(-QUOTIENT_DECIMALS)


class InexactNumber(TypeError):
    """A float, or anything else that is not a Decimal, stands where an exact number must."""


class NumberOutOfBounds(ValueError):
    """A number is not finite, too large, negative or has too many decimals for its place."""


def require_decimal(
    value: Decimal,
    name: str,
    *,
    decimals_max: int,
    below: Decimal,
    negative: bool = False,
) -> None:
    """Refuse `value` unless it is a finite Decimal within its bounds.

    Raises InexactNumber and NumberOutOfBounds, naming `name`.
    """
    if not isinstance(value, Decimal):
        raise InexactNumber(f"{name} must be a Decimal, not {type(value).__name__}")
    if not value.is_finite():
        raise NumberOutOfBounds(f"{name} must be finite, not {value}")
    if value < 0 and not negative:
        raise NumberOutOfBounds(f"{name} must not be negative: {value}")
    if abs(value) >= below:
        raise NumberOutOfBounds(f"{name} must be below {below}: {value}")
    exponent = value.as_tuple().exponent
    written = -exponent if isinstance(exponent, int) else 0
    if written > decimals_max and decimals_of(value) > decimals_max:
        raise NumberOutOfBounds(f"{name} has more than {decimals_max} decimals: {value}")


def decimals_of(value: Decimal) -> int:
    """How many decimals `value` needs: trailing zeros do not count."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise NumberOutOfBounds(f"not a finite number: {value}")
    # normalize() would round to its context's digits, and these may be more.
    significant = "".join(map(str, digits)).rstrip("0")
    zeros = len(digits) - len(significant)
    return max(-exponent - zeros, 0) if significant else 0


def quotient(numerator: Decimal, divisor: int) -> Decimal:
    """`numerator` / `divisor`, to 30 decimals, half up (away from zero)."""
    return rounded(_ROUNDING.divide(numerator, Decimal(divisor)), _QUOTIENT_STEP)


def rounded(value: Decimal, step: Decimal) -> Decimal:
    """`value` to the decimals of `step` (0.01, 1), half up: away from zero."""
    return _ROUNDING.quantize(value, step)


# An explanation names one number several times.
@lru_cache(maxsize=4_096)
def plain(value: Decimal) -> str:
    """Every digit of `value`, without an exponent or trailing zeros: "0.04", "1200"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


@lru_cache(maxsize=4_096)
def shortened(value: Decimal, decimals: int = 12) -> str:
    """`value` for a sentence: cut, not rounded, after `decimals` and then marked with "…"."""
    text = plain(value)
    whole, point, fraction = text.partition(".")
    if len(fraction) <= decimals:
        return text
    return f"{whole}{point}{fraction[:decimals]}…"
