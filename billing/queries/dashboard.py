"""The figures of the admin's first page, in a fixed number of queries each. Every query runs inside
a tenant's scope and only reads; what takes longer is counted ahead (billing/accruing.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import TruncMonth

from billing.core.exact import ZERO
from billing.core.lifecycle import DRAFTS, PAYABLE
from billing.models import (
    AccruedRevenue,
    BillingRun,
    Invoice,
    InvoiceReview,
    LateUsage,
)
from billing.models.collecting import PaymentAttempt, ProcessorEvent
from tenants.mail_models import MailMessage
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint

MONTHS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Accrued:
    """What running periods have come to in one currency, as counted at `counted_at` or later."""

    currency: str
    today: Decimal
    month: Decimal


@dataclass(frozen=True, slots=True)
class Revenue:
    """By currency, the largest first; `failures` customers could not be counted."""

    accrued: Sequence[Accrued]
    counted_at: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class Run:
    """The newest billing run, in shards."""

    as_of: datetime
    done: int
    shards: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Documents:
    """Drafts by how unusual they are (None: not looked through), and what is overdue."""

    drafts: int
    by_severity: dict[int, int]
    overdue: int


def revenue(*, as_of: datetime, zone: ZoneInfo) -> Revenue:
    """Accrued today, and in this calendar month: days of running periods, and whole periods that
    began and ended in it."""
    today = as_of.astimezone(zone).date()
    first = today.replace(day=1)
    rows = list(
        AccruedRevenue.objects.values("currency").annotate(
            of_today=Sum("today", filter=Q(day=today), default=ZERO),
            of_month=Sum("month", filter=Q(day__gte=first), default=ZERO),
            oldest=Min("counted_at"),
            failures=Count("pk", filter=~Q(failure="")),
        )
    )
    closed = dict(
        Invoice.objects.filter(
            kind=Invoice.Kind.INVOICE,
            period_start__gte=_midnight(first, zone),
            period_end__lte=as_of,
        )
        .exclude(status=Invoice.Status.VOID)
        .values_list("currency")
        .annotate(total=Sum("total"))
        .order_by()
    )
    running = {row["currency"]: row for row in rows if row["currency"]}
    accrued = [
        Accrued(
            currency,
            running[currency]["of_today"] if currency in running else ZERO,
            (running[currency]["of_month"] if currency in running else ZERO)
            + closed.get(currency, ZERO),
        )
        for currency in sorted({*running, *closed})
    ]
    return Revenue(
        sorted(accrued, key=lambda each: -each.month),
        min((row["oldest"] for row in rows), default=None),
        sum(row["failures"] for row in rows),
    )


def issued_by_month(
    currency: str, *, as_of: datetime, zone: ZoneInfo
) -> list[tuple[date, Decimal]]:
    """What was issued in each of the last months, credit notes taken off, the oldest first."""
    months = [as_of.astimezone(zone).date().replace(day=1)]
    while len(months) < MONTHS_SHOWN:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    issued = Invoice.objects.filter(
        finalized_at__gte=_midnight(months[-1], zone), currency=currency
    ).exclude(status=Invoice.Status.VOID)
    signed = Case(When(kind=Invoice.Kind.CREDIT_NOTE, then=-F("total")), default=F("total"))
    sums = dict(
        issued.annotate(month=TruncMonth("finalized_at", tzinfo=zone))
        .values_list("month")
        .annotate(amount=Sum(signed))
        .order_by()
    )
    by_month = {month.date(): amount for month, amount in sums.items()}
    return [(month, by_month.get(month, ZERO)) for month in reversed(months)]


def newest_run() -> Run | None:
    run = BillingRun.objects.order_by("-created_at").first()
    if run is None:
        return None
    shards = run.shards.order_by().values_list("done_at", flat=True)
    done = [each is not None for each in shards]
    return Run(run.as_of, done.count(True), len(done), run.finished_at is not None)


def documents() -> Documents:
    drafts = Q(status__in=DRAFTS)
    counts = Invoice.objects.aggregate(
        drafts=Count("pk", filter=drafts),
        overdue=Count("pk", filter=Q(status=Invoice.Status.OVERDUE)),
    )
    reviewed = InvoiceReview.objects.filter(invoice__status__in=DRAFTS)
    by_severity = reviewed.values_list("severity").annotate(count=Count("pk")).order_by()
    return Documents(counts["drafts"], dict(by_severity), counts["overdue"])


def open_amounts() -> list[tuple[str, Decimal]]:
    """What customers still owe on issued invoices, by currency."""
    owed = F("total") - F("credit_applied") - F("amount_paid") - F("amount_credited")
    with_tax = Case(When(tax_inclusive=True, then=Value(ZERO)), default=F("tax_total"))
    rows = (
        Invoice.objects.filter(status__in=PAYABLE)
        .exclude(kind=Invoice.Kind.CREDIT_NOTE)
        .values_list("currency")
        .annotate(amount=Sum(owed + with_tax))
        .order_by("-amount")
    )
    return [(currency, amount) for currency, amount in rows if amount > 0]


def late_usage() -> tuple[int, int]:
    """How many changes of issued periods wait to be billed, and how many came too late."""
    counts = LateUsage.objects.aggregate(
        waiting=Count("pk", filter=Q(refused_at__isnull=True)),
        refused=Count("pk", filter=Q(refused_at__isnull=False)),
    )
    return counts["waiting"], counts["refused"]


@dataclass(frozen=True, slots=True)
class Payments:
    """Attempts of which nobody knows the outcome, that wait for the customer, and that failed in
    the last week; and events of the processor that could not be handled."""

    in_doubt: int
    waiting: int
    failed: int
    unhandled: int


def payments(*, as_of: datetime) -> Payments:
    states = PaymentAttempt.State
    week = Q(ended_at__gte=as_of - timedelta(days=7))
    counts = PaymentAttempt.objects.aggregate(
        in_doubt=Count("pk", filter=Q(state=states.UNKNOWN)),
        waiting=Count("pk", filter=Q(state=states.REQUIRES_ACTION)),
        failed=Count("pk", filter=Q(state=states.FAILED) & week),
    )
    unhandled = ProcessorEvent.objects.filter(handled_at__isnull=True).exclude(error="").count()
    return Payments(counts["in_doubt"], counts["waiting"], counts["failed"], unhandled)


def webhook_deliveries(*, as_of: datetime) -> tuple[int, int]:
    """How many of the last week's were given up, and how many wait after a failed attempt."""
    return _failed_and_retried(WebhookDelivery.objects.all(), as_of)


def mail(*, as_of: datetime) -> tuple[int, int]:
    """How many of the last week's e-mails were given up, and how many wait after a failed try."""
    return _failed_and_retried(MailMessage.objects.all(), as_of)


def _failed_and_retried(sent: "QuerySet[Any]", as_of: datetime) -> tuple[int, int]:
    counts = sent.filter(created_at__gte=as_of - timedelta(days=7)).aggregate(
        failed=Count("pk", filter=Q(state="failed")),
        retried=Count("pk", filter=Q(state="pending", attempts__gt=0)),
    )
    return counts["failed"], counts["retried"]


def webhook_endpoints() -> tuple[int, int]:
    """How many endpoints fail, and how many are disabled."""
    counts = WebhookEndpoint.objects.kept().aggregate(
        failing=Count("pk", filter=Q(disabled_at=None, failing_since__isnull=False)),
        disabled=Count("pk", filter=Q(disabled_at__isnull=False)),
    )
    return counts["failing"], counts["disabled"]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)
