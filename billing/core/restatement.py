"""What a period's charges differ by from what was billed for it.

The whole period is rated anew and compared, charge by charge, with everything that was billed for
it: the invoice, its notes, and late usage on later invoices. So tiers, allowances and minimums
come out as if all had been known at once, and what has been made up for once is not again.
"""

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO, plain, rounded, shortened
from billing.core.explanation import StepJson


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as it stands on an invoice. `key` says of what: the price, the application and
    what a matrix tells apart. `raw_quantity` is in the meter's small unit; it counts beyond the
    period where the price's allowance `rolls_over`."""

    key: Hashable
    amount: Decimal
    raw_quantity: Decimal = ZERO
    quantity: Decimal = ZERO
    unrounded: Decimal = ZERO
    rolls_over: bool = False

    def plus(self, other: "Charge") -> "Charge":
        """Both together; they are of one key."""
        return Charge(
            self.key,
            EXACT.add(self.amount, other.amount),
            EXACT.add(self.raw_quantity, other.raw_quantity),
            EXACT.add(self.quantity, other.quantity),
            EXACT.add(self.unrounded, other.unrounded),
            self.rolls_over or other.rolls_over,
        )

    def negated(self) -> "Charge":
        """What takes it away."""
        return Charge(
            self.key,
            self.amount.copy_negate(),
            self.raw_quantity.copy_negate(),
            self.quantity.copy_negate(),
            self.unrounded.copy_negate(),
            self.rolls_over,
        )


def charge_key(
    kind: str,
    price: Hashable,
    application: Hashable,
    label: str,
    attributes: Mapping[str, Any],
) -> Hashable:
    """What a line charges for. A line of a difference is of the kind of the one it changes; what
    has no price is told apart by its words."""
    told = json.dumps(attributes, sort_keys=True)
    return kind, price, application, "" if price else label, told


@dataclass(frozen=True, slots=True)
class Difference:
    """What `change` makes of what was billed; added to `billed` it gives `now`."""

    billed: Charge
    now: Charge
    change: Charge


def differences(now: Iterable[Charge], billed: Iterable[Charge]) -> list[Difference]:
    """Where the amounts differ: in the order of `now`, then what is charged no more.

    A quantity that changed and costs the same, as within an allowance, is a difference only where
    the allowance rolls over: less or more of it is left for later periods.
    """
    owed, paid = _by_key(now), _by_key(billed)
    found = []
    for key in (*owed, *(key for key in paid if key not in owed)):
        was, is_now = paid.get(key, Charge(key, ZERO)), owed.get(key, Charge(key, ZERO))
        change = is_now.plus(was.negated())
        if change.amount or (change.rolls_over and change.raw_quantity):
            found.append(Difference(was, is_now, change))
    return found


def _by_key(charges: Iterable[Charge]) -> dict[Hashable, Charge]:
    gathered: dict[Hashable, Charge] = {}
    for charge in charges:
        before = gathered.get(charge.key)
        gathered[charge.key] = charge if before is None else before.plus(charge)
    return gathered


def steps(difference: Difference, unit: str, currency: Currency) -> list[StepJson]:
    """How the difference comes about, in words and numbers."""
    return [
        _step("billed_before", "Billed so far", difference.billed, unit, currency),
        _step("rated_anew", "By the usage known now", difference.now, unit, currency),
        _step("difference", "The difference", difference.change, unit, currency),
    ]


def _step(kind: str, label: str, charge: Charge, unit: str, currency: Currency) -> StepJson:
    # Stored amounts have more decimals than their currency, all of them zeros.
    amount = rounded(charge.amount, currency.minor_unit)
    quantity = f"{shortened(charge.quantity)} {unit}: " if unit else ""
    return {
        "kind": kind,
        "words": f"{label}: {quantity}{amount} {currency.code}",
        "numbers": {
            "raw": plain(charge.raw_quantity),
            "quantity": plain(charge.quantity),
            "unrounded": plain(charge.unrounded),
            "amount": str(amount),
        },
    }
