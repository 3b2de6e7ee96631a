"""An attempt to collect an invoice, and what a payment seen at the processor makes of it.

An attempt is open until the processor's own word closes it. While one is open no other begins, and
it fails only when nothing can be charged for it any more: that is why an invoice is never charged
twice. A trigger of the database holds the same transitions; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from billing.core.currencies import Currency
from billing.core.exact import plain


class State(StrEnum):
    """Where an attempt stands. UNKNOWN: it was asked for, and no answer says what became of it."""

    CREATED = "created"
    SUBMITTED = "submitted"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN: Final = frozenset({State.CREATED, State.SUBMITTED, State.REQUIRES_ACTION, State.UNKNOWN})
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # Never sent, it ends without anyone having been asked.
    State.CREATED: frozenset({State.SUBMITTED, State.FAILED}),
    State.SUBMITTED: frozenset(
        {State.REQUIRES_ACTION, State.UNKNOWN, State.SUCCEEDED, State.FAILED}
    ),
    State.REQUIRES_ACTION: frozenset(
        {State.SUBMITTED, State.UNKNOWN, State.SUCCEEDED, State.FAILED}
    ),
    State.UNKNOWN: frozenset(
        {State.SUBMITTED, State.REQUIRES_ACTION, State.SUCCEEDED, State.FAILED}
    ),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
}

# Keys are kept at least so long (Stripe's idempotent requests); within it the same key is safe.
KEY_KEPT: Final = timedelta(hours=24)
# No request is repeated with a key that could be forgotten while it travels.
KEY_USABLE: Final = KEY_KEPT - timedelta(hours=1)
# And nothing is given up before the last of them has long arrived.
GIVEN_UP_AFTER: Final = KEY_KEPT + timedelta(hours=1)


# Where the processor counts in other units than ISO 4217 (Stripe: supported currencies).
_DECIMALS: Final = {"ISK": 2, "MGA": 0, "UGX": 2}


class AmountNotWhole(ValueError):
    """The amount has a fraction of the currency's minor unit."""


class Seen(StrEnum):
    """What the processor says of a payment that it knows."""

    PAID = "paid"
    IN_PROGRESS = "in_progress"
    AWAITS_CUSTOMER = "awaits_customer"
    # It charges nothing now, and would if it were confirmed once more: it has to be cancelled.
    DECLINED = "declined"
    CANCELLED = "cancelled"


class Next(StrEnum):
    """What to do about an attempt of which the processor knows nothing."""

    ASK_AGAIN = "ask_again"
    WAIT = "wait"
    GIVE_UP = "give_up"


# A state that a payment as it was seen leads to. DECLINED is not among them: first it is cancelled.
STATE_OF: Final[Mapping[Seen, State]] = {
    Seen.PAID: State.SUCCEEDED,
    Seen.IN_PROGRESS: State.SUBMITTED,
    Seen.AWAITS_CUSTOMER: State.REQUIRES_ACTION,
    Seen.CANCELLED: State.FAILED,
}


def may_follow(before: str, after: str) -> bool:
    """Whether an attempt may go from the state `before` to `after`."""
    return State(after) in TRANSITIONS[State(before)]


def what_next(submitted_at: datetime, *, as_of: datetime) -> Next:
    """The processor was searched and has no payment of an attempt that was submitted then."""
    age = as_of - submitted_at
    if age < KEY_USABLE:
        return Next.ASK_AGAIN
    return Next.GIVE_UP if age >= GIVEN_UP_AFTER else Next.WAIT


def idempotency_key(invoice: UUID, attempt: int) -> str:
    """The same for every request of one attempt, and of no other."""
    return f"hostmeter-{invoice}-{attempt}"


def attempt_of_key(key: str) -> tuple[UUID, int] | None:
    """The invoice and the attempt's number of a key of ours; None for anything else."""
    prefix, _, rest = key.partition("-")
    invoice, _, number = rest.rpartition("-")
    try:
        return (UUID(invoice), int(number)) if prefix == "hostmeter" else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class MinorAmount:
    """An amount as the processor counts it: a whole number of its own minor units."""

    units: int
    currency: Currency

    @property
    def amount(self) -> Decimal:
        return Decimal(self.units).scaleb(-_decimals(self.currency))


def in_minor_units(amount: Decimal, currency: Currency) -> MinorAmount:
    """12.34 EUR → 1234; 1234 JPY → 1234; 1.230 KWD → 1230; 50 ISK → 5000. Raises AmountNotWhole.

    Source of the rule: Stripe's list of currencies. It counts zero-decimal ones as they are, three-
    decimal ones in thousandths, and refuses those whose last digit is not zero.
    """
    units = amount.scaleb(_decimals(currency))
    if units != units.to_integral_value():
        raise AmountNotWhole(f"{plain(amount)} {currency.code} is no whole number of minor units")
    return MinorAmount(int(units), currency)


def _decimals(currency: Currency) -> int:
    return _DECIMALS.get(currency.code, currency.decimals)
