"""`bench documents`: how long the files of one long invoice take. Needs no database."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from billing.core.money import sum_amounts
from billing.documents.document import InvoiceDocument, Line, Party, TaxGroup
from billing.documents.files import document_file

_LINES_AN_APPLICATION = 6
_AMOUNT = Decimal("12.34")
_TIMED = ("pdf", "cii", "ubl", "csv", "json", "focus")


@dataclass(frozen=True, slots=True)
class DocumentFigures:
    """Milliseconds from the loaded invoice to the file's bytes; the PDF holds the CII."""

    lines: int
    pdf_ms: int
    pdf_kb: int
    cii_ms: int
    ubl_ms: int
    csv_ms: int
    json_ms: int
    focus_ms: int


def measure_documents(lines: int, progress: Callable[[str], None]) -> DocumentFigures:
    document = long_invoice(lines)
    milliseconds, sizes = {}, {}
    # The fonts are read once a process, whatever is made first.
    document_file(long_invoice(1), "pdf")
    for form in _TIMED:
        progress(f"writing {lines} lines as {form}")
        started = time.monotonic()
        sizes[form] = len(document_file(document, form))
        milliseconds[f"{form}_ms"] = round((time.monotonic() - started) * 1_000)
    return DocumentFigures(lines=lines, pdf_kb=sizes["pdf"] // 1_000, **milliseconds)


def long_invoice(lines: int) -> InvoiceDocument:
    """An invoice of `lines` lines, six an application."""
    made = tuple(_line(number) for number in range(1, lines + 1))
    net = sum_amounts([line.amount for line in made])
    tax = (net * 19 / 100).quantize(Decimal("0.01"))
    return InvoiceDocument(
        invoice_id="00000000-0000-0000-0000-000000000000", kind="invoice", reference="INV-1",
        is_draft=False, issued_at=datetime(2026, 11, 1, 9, tzinfo=UTC),
        issued_on=date(2026, 11, 1), due_on=date(2026, 11, 15),
        period_start=datetime(2026, 10, 1, tzinfo=UTC),
        period_end=datetime(2026, 11, 1, tzinfo=UTC), first_day=date(2026, 10, 1),
        last_day=date(2026, 10, 31), time_zone="UTC", currency="EUR",
        seller=Party("Bench Hosting", "bench", country="DE", vat_id="DE123456788"),
        buyer=Party("Bench Customer", "customer", country="FR", vat_id="FR32123456789"),
        plan="Bench v1", lines=made, taxes=(TaxGroup("S", Decimal(19), net, tax),),
        tax_inclusive=False, total=net, net=net, tax=tax, gross=net + tax,
        credit_applied=Decimal(0), payable=net + tax,
    )  # fmt: skip


def _line(number: int) -> Line:
    application = f"application {number // _LINES_AN_APPLICATION}"
    return Line(
        position=number, kind="usage", label=f"Charge {number % _LINES_AN_APPLICATION}",
        application=application, environment="production", meter="cpu.time", unit="CPU-hour",
        attributes=(), quantity=Decimal("123.4"), unit_price=Decimal("0.1"), amount=_AMOUNT,
        net=_AMOUNT, tax_category="S", tax_percent=Decimal(19), application_id=application,
    )  # fmt: skip
