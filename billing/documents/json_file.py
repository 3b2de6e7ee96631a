"""The invoice as JSON: the fields of InvoiceDocument by their names. Decimals are strings, so that
no reader makes floats of them; days and instants are ISO 8601. Pure."""

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from billing.documents.document import InvoiceDocument
from billing.documents.tabular import written_decimal

FORMAT: Final = "hostmeter-invoice/1"
# How a document looks is not what it says.
_LOOKS: Final = ("colour", "logo_svg")


def invoice_json(document: InvoiceDocument) -> bytes:
    members = {name: value for name, value in asdict(document).items() if name not in _LOOKS}
    members["lines"] = [
        line | {"attributes": dict(line["attributes"])} for line in members["lines"]
    ]
    text = json.dumps({"format": FORMAT, **members}, default=_written, ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return written_decimal(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"nothing to write: {type(value).__name__}")
