"""Which credit pays how much of an invoice.

Grants pay in one fixed order, each as much as it can: never more than it has left, than is still
to pay, or than is left of the lines in its scope. A grant takes from its lines in the order of the
invoice. docs/ledger.md states the rule with an example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO
from billing.core.money import round_down, sum_amounts


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit that a customer has. `scope` names prices by their code; empty, it pays all."""

    id: str
    left: Decimal
    priority: int
    promotional: bool
    expires_at: datetime | None
    granted_at: datetime
    scope: frozenset[str] = frozenset()

    def is_usable(self, as_of: datetime) -> bool:
        """Credit is good until the moment it expires, that moment not included."""
        return self.left > 0 and (self.expires_at is None or as_of < self.expires_at)


@dataclass(frozen=True, slots=True)
class Charge:
    """A line of an invoice as credit sees it: its price's code, empty where it has none, and
    what it comes to with tax, unrounded. Below zero, as of a discount, it leaves the lines of its
    price less to pay."""

    code: str
    gross: Decimal


@dataclass(frozen=True, slots=True)
class Application:
    """So much of a grant pays the invoice."""

    grant: str
    amount: Decimal


def gross_of(amount: Decimal, tax_percent: Decimal | None, *, tax_inclusive: bool) -> Decimal:
    """What a line comes to with its tax, every digit kept."""
    if tax_inclusive or not tax_percent:
        return amount
    return EXACT.add(amount, EXACT.multiply(amount, tax_percent).scaleb(-2, context=EXACT))


def in_order(grants: Sequence[Grant]) -> list[Grant]:
    """The order in which grants are spent: the lowest priority number first; then promotional
    before paid; then what expires sooner, what never does last; then the older; then by id."""
    return sorted(
        grants,
        key=lambda grant: (
            grant.priority,
            not grant.promotional,
            grant.expires_at is None,
            grant.expires_at or grant.granted_at,
            grant.granted_at,
            grant.id,
        ),
    )


def apply_grants(
    grants: Sequence[Grant],
    charges: Sequence[Charge],
    *,
    payable: Decimal,
    currency: Currency,
    as_of: datetime,
) -> list[Application]:
    """What each grant pays, in the order in which they do; those that pay nothing are left out."""
    unpaid = _to_pay(charges)
    applications = []
    for grant in in_order([each for each in grants if each.is_usable(as_of)]):
        own = [
            index
            for index, charge in enumerate(charges)
            if not grant.scope or charge.code in grant.scope
        ]
        in_scope = round_down(sum_amounts([unpaid[index] for index in own]), currency)
        # Without a scope it pays whatever is to pay, a rounded-up tax included.
        amount = min(grant.left, payable, in_scope if grant.scope else payable)
        if amount > 0:
            applications.append(Application(grant.id, amount))
            payable = EXACT.subtract(payable, amount)
            _take(unpaid, own, amount)
    return applications


def _to_pay(charges: Sequence[Charge]) -> list[Decimal]:
    """What each line leaves to pay, once what is below zero is taken off its price's lines."""
    unpaid = [max(charge.gross, ZERO) for charge in charges]
    for below in [charge for charge in charges if charge.gross < 0]:
        own = [index for index, each in enumerate(charges) if each.code == below.code]
        _take(unpaid, own, below.gross.copy_negate())
    return unpaid


def _take(unpaid: list[Decimal], own: Sequence[int], amount: Decimal) -> None:
    """Count `amount` as paid on the lines `own`, in their order."""
    for index in own:
        taken = min(unpaid[index], amount)
        unpaid[index] = EXACT.subtract(unpaid[index], taken)
        amount = EXACT.subtract(amount, taken)


def give_back(applied: Sequence[Application], amount: Decimal) -> list[Application]:
    """What goes back to each grant when `amount` of what they paid is credited: the last that paid
    first, never more than it paid. `applied` is in the order in which they paid."""
    returned = []
    for each in reversed(applied):
        part = min(each.amount, amount)
        if part > 0:
            returned.append(Application(each.grant, part))
            amount = EXACT.subtract(amount, part)
    return returned
