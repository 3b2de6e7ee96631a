"""Which state of a dispute may follow which, and what a dispute leaves to be paid. A trigger of the
database holds the same table; a test compares the two, pair by pair.

A customer contests a line of an issued invoice: the dispute is open. The operator's answer makes it
answered, the customer's next words open again. It ends resolved, with an outcome, or withdrawn.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO
from billing.core.money import round_amount, sum_amounts

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "open": frozenset({"answered", "resolved", "withdrawn"}),
    "answered": frozenset({"open", "resolved", "withdrawn"}),
    "resolved": frozenset(),
    "withdrawn": frozenset(),
}
# Collecting waits while there is one of these.
PENDING: Final = frozenset({"open", "answered"})


class UpheldAmountNotUsable(ValueError):
    """The amount does not go with the outcome, or is none of the currency."""


def may_follow(before: str, after: str) -> bool:
    """Whether a dispute may go from the state `before` to `after`."""
    return after in TRANSITIONS[before]


def disputed_amount(
    line: Decimal, tax_percent: Decimal | None, currency: Currency, *, tax_inclusive: bool
) -> Decimal:
    """What of an invoice a line's dispute contests: the line with its tax, rounded. Of a line that
    takes something off it is nothing. An invoice rounds the tax of all lines of a rate together,
    so this can be a minor unit off the line's share of it."""
    if line <= 0:
        return ZERO
    if tax_inclusive or not tax_percent:
        return round_amount(line, currency)
    tax = EXACT.divide(EXACT.multiply(line, tax_percent), Decimal(100))
    return round_amount(EXACT.add(line, tax), currency)


def undisputed(open_amount: Decimal, disputed: Iterable[Decimal]) -> Decimal:
    """What of an invoice's open amount nobody contests, never below zero."""
    return max(EXACT.subtract(open_amount, sum_amounts([*disputed])), ZERO)


def upheld_amount(
    outcome: str, disputed: Decimal, given: Decimal | None, currency: Currency
) -> Decimal:
    """What the customer is right about: all that is disputed of a dispute that is upheld, nothing
    of a rejected one, and the amount `given` of one upheld in part, which lies between the two.
    Raises UpheldAmountNotUsable."""
    if outcome == "upheld":
        return disputed
    if outcome == "rejected":
        return ZERO
    if given is None or round_amount(given, currency) != given or not ZERO < given < disputed:
        raise UpheldAmountNotUsable(
            f"state what is upheld in part: more than nothing, and less than {disputed} "
            f"{currency.code}"
        )
    return given
