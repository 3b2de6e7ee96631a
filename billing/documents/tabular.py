"""CSV: exact numbers, and text that a spreadsheet does not run. Pure."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from billing.core.exact import plain
from billing.documents.document import InvoiceDocument, Line

COLUMNS: Final = (
    "document", "kind", "reference_date", "currency", "customer", "position", "line_kind",
    "application", "environment", "label", "attributes", "meter", "quantity", "unit", "unit_price",
    "amount", "net_amount", "tax_category", "tax_percent",
)  # fmt: skip
# What a spreadsheet takes for the beginning of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

Cell = str | int | Decimal | None


def invoice_csv(document: InvoiceDocument) -> Iterator[str]:
    """The header, then a row for each line of the invoice."""
    rows = (_row(document, line) for line in document.lines)
    return csv_rows(COLUMNS, rows)


def _row(document: InvoiceDocument, line: Line) -> Sequence[Cell]:
    return (
        document.reference, document.kind, document.issued_on.isoformat(), document.currency,
        document.buyer.identifier, line.position, line.kind, line.application, line.environment,
        line.label, "; ".join(f"{name}={value}" for name, value in line.attributes), line.meter,
        line.quantity, line.unit, line.unit_price, line.amount, line.net, line.tax_category,
        line.tax_percent,
    )  # fmt: skip


def csv_rows(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """RFC 4180 records, each as it is made. Amounts keep their currency's decimals."""
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([_written(cell) for cell in row])


class _Echo:
    """A file that hands each record back instead of keeping it."""

    def write(self, record: str) -> str:
        return record


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return written_decimal(cell)
    text = str(cell)
    # An apostrophe makes it text; numbers of ours never come here as text.
    return f"'{text}" if isinstance(cell, str) and text.startswith(_FORMULA) else text


def written_decimal(value: Decimal) -> str:
    """Every digit, without an exponent; the zeros that a currency's amounts have are kept."""
    exponent = value.as_tuple().exponent
    short = isinstance(exponent, int) and -3 <= exponent <= 0
    return f"{value if value else abs(value):f}" if short else plain(value)
