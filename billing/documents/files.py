"""A document as a file of a form: what portal and commands call."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from billing.documents.cii import cii
from billing.documents.document import InvoiceDocument
from billing.documents.focus import COLUMNS, Version, focus_rows
from billing.documents.glyphs import fonts_digest
from billing.documents.hybrid import hybrid_pdf
from billing.documents.json_file import invoice_json
from billing.documents.tabular import csv_rows, invoice_csv
from billing.documents.ubl import ubl

# Changes with what the code makes of the same document, so that readers' copies expire.
_EDITION: Final = "3"


@dataclass(frozen=True, slots=True)
class Form:
    """How a document is written; `ending` follows the reference in its file's name."""

    ending: str
    content_type: str
    make: Callable[[InvoiceDocument], bytes]


def _csv(document: InvoiceDocument) -> bytes:
    return "".join(invoice_csv(document)).encode()


def _focus(version: Version) -> Callable[[InvoiceDocument], bytes]:
    def make(document: InvoiceDocument) -> bytes:
        return "".join(csv_rows(COLUMNS[version], focus_rows(document, version))).encode()

    return make


# Those of FORMS, for whoever asks in types; a test holds them together.
FormName = Literal["pdf", "cii", "ubl", "csv", "json", "focus", "focus-1.4"]

FORMS: Final = {
    "pdf": Form(".pdf", "application/pdf", hybrid_pdf),
    "cii": Form(".xml", "application/xml", cii),
    "ubl": Form("-ubl.xml", "application/xml", ubl),
    "csv": Form(".csv", "text/csv; charset=utf-8", _csv),
    "json": Form(".json", "application/json", invoice_json),
    "focus": Form("-focus.csv", "text/csv; charset=utf-8", _focus("1.3")),
    "focus-1.4": Form("-focus-1.4.csv", "text/csv; charset=utf-8", _focus("1.4")),
}


def document_file(document: InvoiceDocument, form: str) -> bytes:
    """The file's bytes, the same each time. Raises en16931.NoEInvoice for cii and ubl."""
    return FORMS[form].make(document)


def file_name(document: InvoiceDocument, form: str) -> str:
    """A name that every file system takes."""
    return f"{safe_name(document.reference) or 'draft'}{FORMS[form].ending}"


def safe_name(reference: str) -> str:
    """A series is free text; a file's name is not."""
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in reference)


def document_tag(document: InvoiceDocument, form: str) -> str:
    """Changes when the file's bytes do; made without making them."""
    looks = [document.colour, document.logo_svg, fonts_digest() if form == "pdf" else ""]
    told = json.dumps([_EDITION, form, *looks, invoice_json(document).decode()])
    return sha256(told.encode()).hexdigest()[:32]
