"""An issued invoice's files, and the FOCUS export of a month."""

from collections.abc import Iterator
from datetime import date
from typing import BinaryIO
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from billing.documents.en16931 import NoEInvoice
from billing.documents.files import document_tag, file_name
from billing.documents.focus import COLUMNS, Version, focus_rows, focus_version
from billing.documents.loading import invoice_document
from billing.documents.tabular import Cell, csv_rows
from billing.downloads import document_response, note_download, spooled_response
from portal.access import Reader, customer_page
from portal.queries import issued_in_month, issued_invoices_of


@customer_page
@require_safe
def document(request: HttpRequest, reader: Reader, invoice_id: UUID, form: str) -> HttpResponse:
    """The file, to be kept by its reader's browser alone and asked for again by its ETag."""
    invoice = get_object_or_404(issued_invoices_of(reader.customer), pk=invoice_id)
    shown = invoice_document(invoice)
    tag = f'"{document_tag(shown, form)}"'
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return _kept(unchanged, tag)
    try:
        answer = document_response(shown, form)
    except NoEInvoice as missing:
        context = {"reader": reader, "section": "invoices", "invoice": invoice, "missing": missing}
        return render(request, "portal/no_document.html", context, status=409)
    note_download(file_name(shown, form), customer=reader.customer.pk, as_of=reader.as_of)
    return _kept(answer, tag)


def _kept(response: HttpResponseBase, tag: str) -> HttpResponse:
    response["ETag"] = tag
    response["Cache-Control"] = "private, no-cache"
    assert isinstance(response, HttpResponse)  # noqa: S101  what was put in, or Django's 304
    return response


@customer_page
@require_safe
def focus_month(request: HttpRequest, reader: Reader, month: date) -> HttpResponseBase:
    """The month's issued invoices and notes in one file, which may have no rows."""
    version = asked_version(request.GET.get("version", "1.3"))

    def write(file: BinaryIO) -> None:
        for record in csv_rows(COLUMNS[version], _rows(reader, month, version)):
            file.write(record.encode())

    name = f"focus-{month:%Y-%m}.csv"
    answer = spooled_response(write, name, "text/csv; charset=utf-8")
    note_download(name, customer=reader.customer.pk, as_of=reader.as_of)
    return answer


def asked_version(given: str) -> Version:
    """Raises Http404."""
    version = focus_version(given)
    if version is None:
        raise Http404("FOCUS is written in versions 1.3 and 1.4.")
    return version


def _rows(reader: Reader, month: date, version: Version) -> Iterator[tuple[Cell, ...]]:
    for invoice in issued_in_month(reader.customer, month).iterator(chunk_size=100):
        yield from focus_rows(invoice_document(invoice), version)
