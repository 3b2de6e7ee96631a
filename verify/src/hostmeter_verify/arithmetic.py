"""The invoice's arithmetic once more, in fractions and without the rating core: a fault of the core
is in the server and here alike, and would be found by neither."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from hostmeter_verify.findings import require, require_equal
from hostmeter_verify.invoice import number

_WHERE = "invoice.json"
# The core keeps a quotient to 30 decimals; a line has few of them.
_OFF_MAX = Fraction(1, 10**26)


# Of what others had rounded before.
_CHANGES: Final = ("late_usage", "correction")


def check_arithmetic(invoice: Mapping[str, Any], decimals: int, *, documents: int = 1) -> None:
    """Lines sum to the total and are rounded by largest remainder; groups of tax sum to the tax,
    where each of the `documents` that it may be made of was rounded once; what is payable follows.
    Raises Difference."""
    lines = invoice["lines"]
    unit = Fraction(1, 10**decimals)
    amounts = [number(line, "amount") for line in lines]
    total = number(invoice, "total")
    require_equal("the sum of the lines", _WHERE, total, sum(amounts))
    own = [line for line in lines if line.get("kind") not in _CHANGES]
    _check_rounding(
        [number(line, "unrounded") for line in own], [number(line, "amount") for line in own], unit
    )
    _check_tax(invoice, unit, off_max=(1 + documents) * unit)


def _check_rounding(
    unrounded: Sequence[Fraction], amounts: Sequence[Fraction], unit: Fraction
) -> None:
    floors = [value // unit for value in unrounded]
    missing = _half_up(sum(unrounded) / unit) - sum(floors)
    order = sorted(range(len(floors)), key=lambda at: (floors[at] - unrounded[at] / unit, at))
    raised = set(order[:missing])
    for at, (floor, amount) in enumerate(zip(floors, amounts, strict=True)):
        expected = (floor + (at in raised)) * unit
        require_equal("the rounded amount", f"line {at + 1}", expected, amount)


def _half_up(value: Fraction) -> int:
    """Half up, away from zero."""
    magnitude = (2 * abs(value) + 1) // 2
    return magnitude if value >= 0 else -magnitude


def _check_tax(invoice: Mapping[str, Any], unit: Fraction, *, off_max: Fraction) -> None:
    total, tax_total = number(invoice, "total"), number(invoice, "tax_total")
    groups = invoice["taxes"]
    require_equal(
        "the sum of the taxes", _WHERE, tax_total, sum(number(each, "tax") for each in groups)
    )
    for each in groups:
        taxable, tax, percent = (number(each, name) for name in ("taxable", "tax", "percent"))
        off = abs(tax - taxable * percent / 100)
        require(
            off < off_max,
            "the tax",
            f"at {percent}%",
            f"about {float(taxable * percent / 100)}",
            tax,
        )
    net = total - tax_total if invoice["tax_inclusive"] else total
    if groups:
        require_equal("what is taxed", _WHERE, net, sum(number(each, "taxable") for each in groups))
    gross = total if invoice["tax_inclusive"] else total + tax_total
    require_equal("the gross amount", _WHERE, gross, number(invoice, "gross"))
    payable = gross - number(invoice, "credit_applied")
    require_equal("the payable amount", _WHERE, payable, number(invoice, "payable"))
