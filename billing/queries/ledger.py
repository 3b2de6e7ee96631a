"""What the ledger says: open amounts, trial balance, statements, revenue. From postings alone."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Case, Q, Sum, Value, When
from django.db.models.functions import Coalesce, TruncMonth

from billing.core.exact import EXACT, ZERO
from billing.core.ledger import (
    Account,
    EntryKind,
    StatementLine,
    TrialBalanceRow,
    in_order,
    statement_lines,
)
from billing.core.periods import Period
from billing.models import Invoice, JournalEntry, Posting
from tenants.models import Customer


def posted_to(invoice: Invoice) -> dict[str, Decimal]:
    """What stands on each account for one invoice or debit note: debits above zero."""
    return dict(
        Posting.objects.filter(entry__invoice=invoice)
        .order_by()
        .values_list("account")
        .annotate(Sum("amount"))
    )


def trial_balance(*, as_of: datetime) -> list[TrialBalanceRow]:
    """Debits and credits of each account in what happened before `as_of`; billing.core.ledger
    defines it."""
    sides = (
        Posting.objects.filter(entry__occurred_at__lt=as_of)
        .order_by()
        .values_list("currency", "account")
        .annotate(
            debit=Coalesce(Sum("amount", filter=Q(amount__gt=0)), ZERO),
            credit=Coalesce(Sum("amount", filter=Q(amount__lt=0)), ZERO),
        )
    )
    return in_order(
        TrialBalanceRow(currency, Account(account), debit, credit.copy_abs())
        for currency, account, debit, credit in sides
    )


@dataclass(frozen=True, slots=True)
class Statement:
    """What a customer owed in one currency when a period began, what happened, what they owe."""

    period: Period
    currency: str
    opening: Decimal
    lines: list[StatementLine]

    @property
    def closing(self) -> Decimal:
        return self.lines[-1].balance if self.lines else self.opening


def customer_statement(customer: Customer, currency: str, period: Period) -> Statement:
    """What the customer owed and owes. Of what happened at one moment the documents come first."""
    owed = Posting.objects.filter(customer=customer, currency=currency, account=Account.RECEIVABLE)
    before = owed.filter(entry__occurred_at__lt=period.start).aggregate(amount=Sum("amount"))
    entries = (
        JournalEntry.objects.filter(
            customer=customer,
            occurred_at__gte=period.start,
            occurred_at__lt=period.end,
        )
        .annotate(after=Case(When(kind=EntryKind.ISSUED, then=Value(0)), default=Value(1)))
        .order_by("occurred_at", "after", "recorded_at", "id")
    )
    amounts: dict[object, Decimal] = dict(
        owed.filter(entry__in=entries).order_by().values_list("entry_id").annotate(Sum("amount"))
    )
    opening = before["amount"] or ZERO
    lines = statement_lines(
        ((entry, amounts.get(entry.pk, ZERO)) for entry in entries), opening=opening
    )
    return Statement(period, currency, opening, lines)


def currencies_owed_in(customer: Customer) -> list[str]:
    """The currencies in which anything was ever posted for the customer."""
    posted = Posting.objects.filter(customer=customer)
    return sorted(posted.order_by().values_list("currency", flat=True).distinct())


@dataclass(frozen=True, slots=True)
class MonthsRevenue:
    """Revenue of one calendar month, of issued documents, without tax."""

    month: date
    currency: str
    amount: Decimal


def revenue_by_month(*, zone: ZoneInfo, since: datetime) -> list[MonthsRevenue]:
    """Revenue of each calendar month in `zone` from `since` on, newest first."""
    months = (
        Posting.objects.filter(account=Account.REVENUE, entry__occurred_at__gte=since)
        .annotate(month=TruncMonth("entry__occurred_at", tzinfo=zone))
        .order_by("-month", "currency")
        .values_list("month", "currency")
        .annotate(Sum("amount"))
    )
    return [
        MonthsRevenue(month.date(), currency, EXACT.minus(amount))
        for month, currency, amount in months
    ]
