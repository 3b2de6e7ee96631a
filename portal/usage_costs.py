"""What usage in the explorer cost, as FOCUS: the charges for it on invoices and notes of the whole
billing periods among its days.

A part of a period has no exact price where it has tiers, an allowance or a peak, and a running one
has no invoice yet; so both are left out, and the page says so. Fees, minimums, discounts, credit
and tax are of no meter's usage: they stand in the files of whole invoices. Every query runs inside
a tenant's scope.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, QuerySet

from billing.documents.document import Line
from billing.documents.focus import Version, focus_line_rows
from billing.documents.loading import invoice_document
from billing.documents.tabular import Cell
from billing.models import Invoice, InvoiceLine
from portal.queries import issued_invoices_of
from portal.usage_question import Question
from tenants.models import Customer

ROWS_MAX: Final = 50_000
_AT_ONCE: Final = 20
_PERIOD: Final = ("period_start", "period_end", "time_zone")
_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta.resolution


class TooManyCharges(Exception):
    """The file would have more than 50,000 rows."""


@dataclass(frozen=True, slots=True)
class Days:
    """Local days, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Costs:
    """Which of the question's days the file has the charges of: those of `periods`, and of all days
    where `is_all`. Without any of them `latest` is the last period that was billed, if there is
    one. Charges are of no instance or host: of these nothing `is_told`."""

    is_told: bool
    periods: tuple[Days, ...] = ()
    is_all: bool = False
    latest: Days | None = None


def is_charged_by(question: Question) -> bool:
    """Whether invoices tell as much apart as the question does."""
    return question.part.is_all and question.group not in ("instance", "host")


def costs_of(customer: Customer, question: Question, zone: ZoneInfo) -> Costs:
    """What the page says of the file."""
    if not is_charged_by(question):
        return Costs(is_told=False)
    own = issued_invoices_of(customer).filter(kind=Invoice.Kind.INVOICE)
    billed = _whole(own, question, zone).order_by("period_start").values_list(*_PERIOD)
    periods = tuple(_days(*each) for each in billed)
    if not periods:
        latest = own.order_by("-period_start").values_list(*_PERIOD).first()
        return Costs(is_told=True, latest=None if latest is None else _days(*latest))
    covered = {
        each.first + number * _DAY
        for each in periods
        for number in range((each.last - each.first).days + 1)
    }
    return Costs(True, periods, is_all=len(covered) >= question.days)


def focus_of(
    customer: Customer, question: Question, zone: ZoneInfo, version: Version
) -> Iterator[tuple[Cell, ...]]:
    """The file's rows, of invoices in the order of their numbers. Raises TooManyCharges before the
    first one."""
    wanted = _lines(customer, question)
    issued = _whole(issued_invoices_of(customer), question, zone)
    if wanted.filter(invoice__in=issued.order_by())[: ROWS_MAX + 1].count() > ROWS_MAX:
        raise TooManyCharges(f"the file would have over {ROWS_MAX} rows")
    having = issued.filter(Exists(wanted.filter(invoice=OuterRef("pk")))).order_by(
        "finalized_at", "id"
    )
    return _rows(having, wanted, version)


def _rows(
    having: "QuerySet[Invoice]", wanted: "QuerySet[InvoiceLine]", version: Version
) -> Iterator[tuple[Cell, ...]]:
    for invoice in having.iterator(chunk_size=_AT_ONCE):
        ids = {str(pk) for pk in wanted.filter(invoice=invoice).values_list("pk", flat=True)}

        def is_wanted(line: Line, ids: set[str] = ids) -> bool:
            return line.line_id in ids

        yield from focus_line_rows(invoice_document(invoice), is_wanted, version)


def _whole(
    invoices: "QuerySet[Invoice]", question: Question, zone: ZoneInfo
) -> "QuerySet[Invoice]":
    """Those whose period lies within the question's days."""
    period = question.period(zone)
    return invoices.filter(period_start__gte=period.start, period_end__lte=period.end)


def _lines(customer: Customer, question: Question) -> "QuerySet[InvoiceLine]":
    """The customer's charges for what is asked of, whenever; by meter all meters'."""
    lines = InvoiceLine.objects.filter(invoice__customer=customer).exclude(meter="").order_by()
    if question.key is not None:
        lines = lines.filter(meter=question.meter)
    if question.application is not None:
        lines = lines.filter(application=question.application)
    if question.environment is not None:
        lines = lines.filter(application__environment=question.environment)
    return lines


def _days(start: datetime, end: datetime, time_zone: str) -> Days:
    """Of an invoice's period, in the time zone that it was billed in."""
    zone = ZoneInfo(time_zone)
    return Days(start.astimezone(zone).date(), (end - _INSTANT).astimezone(zone).date())
