"""The invoices, issued and upcoming, with their lines."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from billing.core.rating import RatedLine
from billing.models import Invoice, InvoiceLine
from billing.queries import (
    changes_since_finalized,
    contested,
    disputes_of,
)
from metering.models import Application
from portal.access import Reader, customer_page
from portal.charges import is_charge, keyed
from portal.freshness import Freshness, freshness_of
from portal.invoice_selection import selection
from portal.kept import invoice_so_far
from portal.queries import (
    OTHER_CHARGES,
    applications_named,
    applications_of,
    invoices_of,
    lines_of,
    notes_on,
    payments_of,
    taxes_of,
)
from portal.running import ApplicationTotal, RunningInvoice, charges_of
from portal.transfer import transfer_of

_PER_PAGE: Final = 36
_APPLICATIONS_PER_PAGE: Final = 12
# A line, and the address of its page.
_Linked = tuple[RatedLine | InvoiceLine, str]


@customer_page
@require_safe
def invoice_list(request: HttpRequest, reader: Reader) -> HttpResponse:
    shown = selection(reader.customer, request.GET)
    context = {
        "reader": reader,
        "section": "invoices",
        "freshness": _freshness(reader),
        "upcoming": invoice_so_far(reader.customer, as_of=reader.as_of),
        "invoices": Paginator(shown.invoices, _PER_PAGE).get_page(request.GET.get("page")),
        "shown": shown,
    }
    return render(request, "portal/invoices.html", context)


@customer_page
@require_safe
def upcoming_page(request: HttpRequest, reader: Reader) -> HttpResponse:
    upcoming = invoice_so_far(reader.customer, as_of=reader.as_of)
    context: dict[str, object] = {
        "reader": reader,
        "section": "invoices",
        "freshness": _freshness(reader),
        "upcoming": upcoming,
    }
    if upcoming is not None:
        head = upcoming.head
        pages = Paginator(head.charges, _APPLICATIONS_PER_PAGE).get_page(request.GET.get("page"))
        context |= {
            "currency": head.currency.code,
            "pages": pages,
            "groups": _upcoming_groups(reader, upcoming, list(pages)),
            "line_count": head.line_count,
        }
    return render(request, "portal/upcoming.html", context)


@customer_page
@require_safe
def invoice_page(request: HttpRequest, reader: Reader, invoice_id: UUID) -> HttpResponse:
    invoice = get_object_or_404(invoices_of(reader.customer), pk=invoice_id)
    pages = Paginator(charges_of(invoice), _APPLICATIONS_PER_PAGE).get_page(request.GET.get("page"))
    disputes = disputes_of(invoice) if invoice.is_issued else []
    what = contested(invoice)
    context = {
        "reader": reader,
        "section": "invoices",
        "invoice": invoice,
        "currency": invoice.currency,
        "pages": pages,
        "groups": _stored_groups(invoice, list(pages)),
        "line_count": invoice.lines.count(),
        "changes": changes_since_finalized(invoice),
        "notes": notes_on(invoice),
        "taxes": taxes_of(invoice),
        "payments": payments_of(invoice),
        "refunds": list(invoice.refunds.order_by("created_at")),
        "disputes": disputes,
        "has_pending": any(each.is_pending for each in disputes),
        "contested": what,
        "settles": list(invoice.settles.select_related("line", "invoice")),
        "transfer": transfer_of(invoice, what.undisputed),
    }
    return render(request, "portal/invoice.html", context)


def _freshness(reader: Reader) -> Freshness:
    own = applications_of(reader.customer).values_list("pk", flat=True)
    return freshness_of(list(own), as_of=reader.as_of)


def _upcoming_groups(
    reader: Reader, upcoming: RunningInvoice, charges: Sequence[ApplicationTotal]
) -> list["LineGroup"]:
    """The applications of one page with their lines."""
    named = applications_named([each.application_id for each in charges])
    lines: defaultdict[str | None, list[RatedLine]] = defaultdict(list)
    for line in upcoming.lines_of([each.application_id for each in charges]):
        lines[line.application_id].append(line)
    groups = []
    for each in charges:
        own = lines[str(each.application_id) if each.application_id else None]
        linked = list(zip(own, _upcoming_urls(reader, own), strict=True))
        groups.append(_group(named.get(each.application_id), each.amount, linked))
    return groups


def _upcoming_urls(reader: Reader, lines: Sequence[RatedLine]) -> Iterator[str]:
    for key, line in keyed(reader.customer, lines):
        if is_charge(line):
            yield reverse("portal:upcoming-charge", args=[key])
        else:
            url = reverse("portal:upcoming-line", args=[line.price_id, line.application_id])
            # What tells a matrix price's lines apart: ?role=primary.
            yield f"{url}?{urlencode(line.attributes)}" if line.attributes else url


@dataclass(frozen=True, slots=True)
class LineGroup:
    """One application's lines, under the names that they were billed under; those that come to
    nothing payable stand apart, as `small`."""

    application: Application | None
    name: str
    environment: str
    amount: Decimal
    lines: list[_Linked]
    small: list[_Linked]


def _group(application: Application | None, amount: Decimal, lines: Sequence[_Linked]) -> LineGroup:
    today = "" if application is None else application.environment.name
    return LineGroup(
        application,
        lines[0][0].application_name or OTHER_CHARGES,
        getattr(lines[0][0], "environment_name", "") or today,
        amount,
        lines=[(line, url) for line, url in lines if line.amount],
        small=[(line, url) for line, url in lines if not line.amount],
    )


def _stored_groups(invoice: Invoice, charges: Sequence[ApplicationTotal]) -> list[LineGroup]:
    """The applications of one page with their lines."""
    lines: defaultdict[UUID | None, list[_Linked]] = defaultdict(list)
    applications: dict[UUID | None, Application | None] = {}
    for line in lines_of(invoice, [each.application_id for each in charges]):
        url = reverse("portal:invoice-line", args=[invoice.pk, line.pk])
        lines[line.application_id].append((line, url))
        applications[line.application_id] = line.application
    # A draft that was recomputed between the two readings has other lines now.
    return [
        _group(applications[each.application_id], each.amount, lines[each.application_id])
        for each in charges
        if each.application_id in lines
    ]
