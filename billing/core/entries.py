"""What each kind of entry posts. docs/ledger.md shows one of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.core.exact import EXACT
from billing.core.ledger import Account, EntryKind, JournalEntry, Posting

# The account that gains is debited, the other one credited.
_PAID: Final = {
    EntryKind.PAYMENT: (Account.CASH, Account.RECEIVABLE),
    EntryKind.WRITE_OFF: (Account.WRITE_OFF, Account.RECEIVABLE),
    EntryKind.RECOVERY: (Account.RECEIVABLE, Account.WRITE_OFF),
    EntryKind.SURPLUS: (Account.RECEIVABLE, Account.CREDIT),
    EntryKind.CREDIT_GRANTED: (Account.CASH, Account.CREDIT),
    EntryKind.CREDIT_APPLIED: (Account.CREDIT, Account.RECEIVABLE),
    EntryKind.CREDIT_RETURNED: (Account.RECEIVABLE, Account.CREDIT),
    EntryKind.CREDIT_LAPSED: (Account.CREDIT, Account.BREAKAGE),
    EntryKind.CREDIT_VOIDED: (Account.CREDIT, Account.CASH),
    EntryKind.TOP_UP: (Account.CASH, Account.WALLET),
    EntryKind.WALLET_APPLIED: (Account.WALLET, Account.RECEIVABLE),
    EntryKind.WALLET_RETURNED: (Account.RECEIVABLE, Account.WALLET),
    EntryKind.REFUNDED: (Account.CREDIT, Account.CASH),
    EntryKind.REFUND_FAILED: (Account.CASH, Account.CREDIT),
}
# Nobody paid for promotional credit, so it comes from the promotion account and goes back there.
_PROMOTIONAL: Final = {
    EntryKind.CREDIT_GRANTED: (Account.PROMOTION, Account.CREDIT),
    EntryKind.CREDIT_LAPSED: (Account.CREDIT, Account.PROMOTION),
    EntryKind.CREDIT_VOIDED: (Account.CREDIT, Account.PROMOTION),
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened between the tenant and a customer, in one currency."""

    customer: str
    currency: str
    occurred_at: datetime
    description: str


def issued(event: Event, *, gross: Decimal, tax: Decimal) -> JournalEntry | None:
    """A document was issued: the customer owes its gross, of which the tax is not revenue.

    Both are below zero for a credit note. None where nothing is owed, taken or given.
    """
    amounts = [
        (Account.RECEIVABLE, gross),
        (Account.REVENUE, EXACT.subtract(tax, gross)),
        (Account.TAX, EXACT.minus(tax)),
    ]
    return _entry(EntryKind.ISSUED, event, amounts)


def moved(
    kind: EntryKind, event: Event, amount: Decimal, *, promotional: bool = False
) -> JournalEntry | None:
    """`amount` went from one account to another, as the kind says; None for an amount of zero."""
    accounts = _PROMOTIONAL.get(kind) if promotional else None
    debited, credited = accounts or _PAID[kind]
    return _entry(kind, event, [(debited, amount), (credited, EXACT.minus(amount))])


def _entry(
    kind: EntryKind, event: Event, amounts: Sequence[tuple[Account, Decimal]]
) -> JournalEntry | None:
    postings = tuple(
        Posting(account, event.customer, event.currency, amount)
        for account, amount in amounts
        if amount
    )
    if not postings:
        return None
    return JournalEntry(kind, event.occurred_at, event.description, postings)
