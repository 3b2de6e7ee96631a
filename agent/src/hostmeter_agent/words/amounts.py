"""Amounts as whole billionths, so that fractions add up without a float."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from hostmeter_agent.wire import VALUE_MAX

NANO: Final = 10**9
_CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_TEXT_LENGTH_MAX: Final = 400


def nanos(value: str | int | float | Decimal) -> int | None:
    """A number in billionths; None for one that is none, is infinite or beyond the wire's
    bounds. A float is taken for exactly what it stands for."""
    if isinstance(value, str) and len(value) > _TEXT_LENGTH_MAX:
        return None
    try:
        amount = _CONTEXT.create_decimal(value)
    except (InvalidOperation, ValueError):
        return None
    if not amount.is_finite() or amount.adjusted() > 18 or abs(amount) > VALUE_MAX:
        return None
    return int(_CONTEXT.scaleb(amount, 9).to_integral_value(ROUND_HALF_EVEN))


def rounded(amount_nanos: int) -> int:
    """The nearest whole number, halves up."""
    return (amount_nanos + NANO // 2) // NANO


class Carry:
    """Fractions that were not enough for one more: by name, in billionths, from 0 to 1."""

    def __init__(self, kept: dict[str, int]) -> None:
        self.kept = dict(kept)

    def whole(self, name: str, amount_nanos: int) -> int:
        """The whole part of an amount and what was carried; the rest is carried on."""
        whole, self.kept[name] = divmod(self.kept.get(name, 0) + amount_nanos, NANO)
        return whole
