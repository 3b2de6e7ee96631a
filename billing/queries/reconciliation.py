"""Whether the ledger says what documents, payments, grants and wallets say.

Everything is compared in slices of a fixed size with a fixed number of statements each, so that
memory does not grow with the tenant and time grows with it only.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, QuerySet, Sum

from billing.amounts import written_amount
from billing.core.exact import EXACT, ZERO
from billing.core.ledger import Account, EntryKind
from billing.core.money import sum_amounts
from billing.models import (
    CreditGrant,
    Invoice,
    JournalEntry,
    Payment,
    Posting,
    TopUp,
    Wallet,
)
from billing.queries.credit import grants_left

SLICE: Final = 2_000
Row = TypeVar("Row", bound=Model)
Sums = dict[tuple[Any, ...], Decimal]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be one. Its text is one line."""

    subject: str
    figure: str
    expected: Decimal
    found: Decimal
    currency: str

    def __str__(self) -> str:
        expected, found = (
            written_amount(amount, self.currency) for amount in (self.expected, self.found)
        )
        return f"{self.subject}: {self.figure} is {found} in the ledger, should be {expected}"


@dataclass(slots=True)
class Reconciliation:
    """What was compared, by its name, and what differs so far: `differences` runs it."""

    compared: dict[str, int]

    @classmethod
    def begin(cls) -> "Reconciliation":
        return cls({"documents": 0, "payments": 0, "grants": 0, "wallets": 0, "entries": 0})

    def differences(self) -> Iterator[Difference]:
        """Every difference of the tenant. `compared` is complete when it ends."""
        for name, rows, compare in _COMPARISONS:
            for chunk in _slices(rows()):
                self.compared[name] += len(chunk)
                yield from compare(chunk)
        self.compared["entries"] = JournalEntry.objects.count()
        yield from _unbalanced_entries()
        yield from _entries_of_nothing()


def _slices(rows: "QuerySet[Row]") -> Iterator[list[Row]]:
    """The rows by their ids, a slice at a time; each is a statement of its own."""
    after = UUID(int=0)
    while chunk := list(rows.filter(pk__gt=after).order_by("pk")[:SLICE]):
        yield chunk
        after = chunk[-1].pk


def _sums(postings: "QuerySet[Posting]", *by: str) -> Sums:
    grouped = postings.order_by().values_list(*by).annotate(Sum("amount"))
    return defaultdict(lambda: ZERO, {tuple(row[:-1]): row[-1] for row in grouped})


def _issued() -> "QuerySet[Invoice]":
    return Invoice.objects.filter(finalized_at__isnull=False)


def _compare_documents(chunk: list[Invoice]) -> Iterator[Difference]:
    posted = _sums(
        Posting.objects.filter(entry__kind=EntryKind.ISSUED, entry__source_id__in=_ids(chunk)),
        "entry__source_id",
        "account",
    )
    owed = _sums(
        Posting.objects.filter(entry__invoice__in=chunk, account=Account.RECEIVABLE),
        "entry__invoice_id",
        "entry__kind",
    )
    received = Payment.objects.filter(invoice__in=chunk).order_by().values_list("invoice_id")
    to_credit = dict(received.annotate(Sum("to_credit")))
    for invoice in chunk:
        of_it = {kind: owed[invoice.pk, kind] for kind in EntryKind}
        yield from _compare(
            f"{invoice} of {invoice.customer_reference}",
            invoice.currency,
            *_issued_figures(invoice, posted),
            (
                "credit applied",
                invoice.credit_applied,
                _paid_by_credit(of_it),
            ),
            ("paid", invoice.amount_paid, _paid(of_it, to_credit.get(invoice.pk, ZERO))),
            ("open", _open(invoice), sum_amounts(list(of_it.values()))),
        )


Figure = tuple[str, Decimal, Decimal]
"""Its name, what it should be, and what it is."""


def _issued_figures(invoice: Invoice, posted: Sums) -> list[Figure]:
    credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    gross, tax = invoice.gross, invoice.tax_total
    if credit:
        gross, tax = EXACT.minus(gross), EXACT.minus(tax)
    expected = {
        Account.RECEIVABLE: gross,
        Account.REVENUE: EXACT.subtract(tax, gross),
        Account.TAX: EXACT.minus(tax),
    }
    return [
        (account.value, amount, posted[invoice.pk, account]) for account, amount in expected.items()
    ]


def _paid_by_credit(of_it: dict[EntryKind, Decimal]) -> Decimal:
    credit = (of_it[EntryKind.CREDIT_APPLIED], of_it[EntryKind.WALLET_APPLIED])
    return EXACT.minus(sum_amounts(credit))


def _paid(of_it: dict[EntryKind, Decimal], to_credit: Decimal) -> Decimal:
    return EXACT.subtract(EXACT.minus(of_it[EntryKind.PAYMENT]), to_credit)


def _open(invoice: Invoice) -> Decimal:
    given_up = invoice.status in {Invoice.Status.VOID, Invoice.Status.UNCOLLECTIBLE}
    return ZERO if given_up else invoice.open_amount


def _compare_payments(chunk: list[Payment]) -> Iterator[Difference]:
    posted = _sums(
        Posting.objects.filter(entry__source_id__in=_ids(chunk)), "entry__source_id", "account"
    )
    for payment in chunk:
        yield from _compare(
            f"Payment {payment.reference}",
            payment.invoice.currency,
            ("cash", payment.amount, posted[payment.pk, Account.CASH]),
            ("credit", payment.to_credit, EXACT.minus(posted[payment.pk, Account.CREDIT])),
        )


def _compare_grants(chunk: list[CreditGrant]) -> Iterator[Difference]:
    posted = _sums(
        Posting.objects.filter(entry__grant__in=chunk, account=Account.CREDIT), "entry__grant_id"
    )
    for grant, left in grants_left(chunk):
        subject = f"{grant} of {grant.customer.reference}"
        figure = ("credit", left, EXACT.minus(posted[(grant.pk,)]))
        yield from _compare(subject, grant.currency, figure)


def _compare_wallets(chunk: list[Wallet]) -> Iterator[Difference]:
    posted = _sums(
        Posting.objects.filter(
            entry__kind=EntryKind.TOP_UP,
            account=Account.WALLET,
            customer__in=[wallet.customer_id for wallet in chunk],
        ),
        "customer_id",
        "currency",
    )
    top_ups = TopUp.objects.filter(wallet__in=chunk, state=TopUp.State.PAID)
    paid = dict(top_ups.order_by().values_list("wallet_id").annotate(Sum("amount")))
    for wallet in chunk:
        found = EXACT.minus(posted[wallet.customer_id, wallet.currency])
        yield from _compare(
            f"Wallet of {wallet.customer.reference}",
            wallet.currency,
            ("topped up", paid.get(wallet.pk, ZERO), found),
        )


def _compare(subject: str, currency: str, *figures: Figure) -> Iterator[Difference]:
    for name, expected, found in figures:
        if expected != found:
            yield Difference(subject, name, expected, found, currency)


def _unbalanced_entries() -> Iterator[Difference]:
    left = (
        Posting.objects.order_by("entry_id", "currency")
        .values_list("entry_id", "entry__description", "currency")
        .annotate(left=Sum("amount"))
        .exclude(left=0)
    )
    for entry, description, currency, amount in left:
        yield Difference(f"Entry {entry} ({description})", "sum", ZERO, amount, currency)


def _entries_of_nothing() -> Iterator[Difference]:
    """Entries whose document is no issued one."""
    issued = _issued().filter(pk=OuterRef("entry__source_id"))
    astray = Posting.objects.filter(
        ~Exists(issued), entry__kind=EntryKind.ISSUED, account=Account.RECEIVABLE
    )
    for posting in astray.select_related("entry"):
        yield Difference(
            f"Entry {posting.entry_id} ({posting.entry})",
            "receivable of no issued document",
            ZERO,
            posting.amount,
            posting.currency,
        )


def _ids(chunk: "list[Any]") -> list[UUID]:
    return [row.pk for row in chunk]


_COMPARISONS: Final[
    tuple[tuple[str, Callable[[], "QuerySet[Any]"], Callable[[Any], Iterator[Difference]]], ...]
] = (
    ("documents", _issued, _compare_documents),
    ("payments", lambda: Payment.objects.select_related("invoice"), _compare_payments),
    ("grants", lambda: CreditGrant.objects.select_related("customer"), _compare_grants),
    ("wallets", lambda: Wallet.objects.select_related("customer"), _compare_wallets),
)
