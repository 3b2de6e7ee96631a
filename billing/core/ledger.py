"""Double entry: what an entry is, and what its postings come to.

A posting moves a signed amount on one account of one customer: debits are positive, credits
negative. An entry's postings sum to zero in every currency, so all accounts together always do.
Balance, trial balance and statement are folds over entries and nothing else.

docs/ledger.md says what each account holds and what each kind of entry posts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeAlias

from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain
from billing.core.money import round_amount, sum_amounts


class Account(StrEnum):
    """Where money stands. Every account is kept per customer and currency."""

    RECEIVABLE = "receivable"
    CASH = "cash"
    REVENUE = "revenue"
    TAX = "tax"
    CREDIT = "credit"
    WALLET = "wallet"
    PROMOTION = "promotion"
    BREAKAGE = "breakage"
    WRITE_OFF = "write_off"


class EntryKind(StrEnum):
    """What happened. With the id of what it happened to, it makes an entry unique."""

    ISSUED = "issued"
    PAYMENT = "payment"
    WRITE_OFF = "write_off"
    RECOVERY = "recovery"
    SURPLUS = "surplus"
    CREDIT_GRANTED = "credit_granted"
    CREDIT_APPLIED = "credit_applied"
    CREDIT_RETURNED = "credit_returned"
    CREDIT_LAPSED = "credit_lapsed"
    CREDIT_VOIDED = "credit_voided"
    TOP_UP = "top_up"
    WALLET_APPLIED = "wallet_applied"
    WALLET_RETURNED = "wallet_returned"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


class EntryNotBalanced(ValueError):
    """An entry's postings do not sum to zero in some currency."""


class EntryTooShort(ValueError):
    """An entry has fewer than two postings: money that comes from nowhere."""


class PostingNotPayable(ValueError):
    """A posting is of nothing, or of less than the currency's smallest amount."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A signed amount on a customer's account: debits above zero, credits below.

    Raises PostingNotPayable, UnknownCurrency, and InexactNumber for anything but a Decimal.
    """

    account: Account
    customer: str
    currency: str
    amount: Decimal

    def __post_init__(self) -> None:
        if not self.amount or round_amount(self.amount, currency_of(self.currency)) != self.amount:
            raise PostingNotPayable(
                f"{plain(self.amount)} {self.currency} on {self.account} cannot be paid"
            )


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Postings that belong together. Raises EntryTooShort and EntryNotBalanced."""

    kind: EntryKind
    occurred_at: datetime
    description: str
    postings: tuple[Posting, ...]

    def __post_init__(self) -> None:
        if len(self.postings) < 2:
            raise EntryTooShort(f"{self.description}: {len(self.postings)} postings")
        amounts: dict[str, list[Decimal]] = defaultdict(list)
        for posting in self.postings:
            amounts[posting.currency].append(posting.amount)
        for currency, each in amounts.items():
            left = sum_amounts(each)
            if left:
                raise EntryNotBalanced(f"{self.description}: {plain(left)} {currency} is left over")


AccountOfCustomer: TypeAlias = tuple[Account, str, str]
"""Account, customer and currency."""


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """What was posted to one account in one currency, by all customers: both above zero."""

    currency: str
    account: Account
    debit: Decimal
    credit: Decimal

    @property
    def balance(self) -> Decimal:
        """Above zero on the debit side."""
        return EXACT.subtract(self.debit, self.credit)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry on a customer's receivable account, and what they owe after it."""

    occurred_at: datetime
    kind: EntryKind
    description: str
    amount: Decimal
    balance: Decimal


def balances(entries: Iterable[JournalEntry]) -> Mapping[AccountOfCustomer, Decimal]:
    """What each account holds; accounts that came back to zero are left out."""
    found: dict[AccountOfCustomer, list[Decimal]] = defaultdict(list)
    for posting in _postings(entries):
        key = (posting.account, posting.customer, posting.currency)
        found[key].append(posting.amount)
    sums = {key: sum_amounts(amounts) for key, amounts in found.items()}
    return {key: amount for key, amount in sums.items() if amount}


def trial_balance(entries: Iterable[JournalEntry], *, as_of: datetime) -> list[TrialBalanceRow]:
    """Debits and credits of each account that happened before `as_of`, by currency and account."""
    debit: dict[tuple[str, Account], list[Decimal]] = defaultdict(list)
    credit: dict[tuple[str, Account], list[Decimal]] = defaultdict(list)
    for posting in _postings(entry for entry in entries if entry.occurred_at < as_of):
        side = debit if posting.amount > 0 else credit
        side[posting.currency, posting.account].append(posting.amount.copy_abs())
    return in_order(
        TrialBalanceRow(*key, sum_amounts(debit[key]), sum_amounts(credit[key]))
        for key in {*debit, *credit}
    )


def in_order(rows: Iterable[TrialBalanceRow]) -> list[TrialBalanceRow]:
    """By currency, and then the accounts as docs/ledger.md lists them."""
    order = list(Account)
    return sorted(rows, key=lambda row: (row.currency, order.index(row.account)))


def customer_statement(
    entries: Iterable[JournalEntry], customer: str, currency: str
) -> list[StatementLine]:
    """What a customer owes in one currency, entry by entry in the order given: oldest first.

    An entry that leaves the receivable as it is has no line.
    """
    owed = (Account.RECEIVABLE, customer, currency)
    return statement_lines(
        (
            (
                entry,
                sum_amounts(
                    [
                        posting.amount
                        for posting in entry.postings
                        if (posting.account, posting.customer, posting.currency) == owed
                    ]
                ),
            )
            for entry in entries
        ),
        opening=ZERO,
    )


class Happened(Protocol):
    """What a statement says of an entry."""

    @property
    def kind(self) -> str: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def description(self) -> str: ...


def statement_lines(
    owed: Iterable[tuple[Happened, Decimal]], *, opening: Decimal
) -> list[StatementLine]:
    """Each entry with what it adds to what is owed, and the balance after it, from `opening` on."""
    lines, balance = [], opening
    for entry, amount in owed:
        if amount:
            balance = EXACT.add(balance, amount)
            lines.append(
                StatementLine(
                    entry.occurred_at, EntryKind(entry.kind), entry.description, amount, balance
                )
            )
    return lines


def _postings(entries: Iterable[JournalEntry]) -> Iterable[Posting]:
    return (posting for entry in entries for posting in entry.postings)
