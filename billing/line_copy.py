"""Writing many invoice lines at once: by COPY into a table of the transaction's own and from there.

Tables under row-level security take no COPY (docs/decisions/0006). For lines, which are few and
wide, the detour costs the database less than INSERT's parameters, and this process a tenth.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from django.db import connection

from billing.models import InvoiceLine

_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL: Final = "\\N"
_FIELDS: Final = tuple((field.attname, field.column) for field in InvoiceLine._meta.concrete_fields)
_COLUMNS: Final = ", ".join(f'"{column}"' for _, column in _FIELDS)

_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS billing_line_copy (LIKE billing_invoiceline)
ON COMMIT DELETE ROWS
"""
_INSERT: Final = (
    f"INSERT INTO billing_invoiceline ({_COLUMNS}) SELECT {_COLUMNS} FROM billing_line_copy"  # noqa: S608
)


def copy_lines(lines: Sequence[InvoiceLine]) -> None:
    """Store the lines, as bulk_create would. Call it inside a transaction and a tenant's scope."""
    if not lines:
        return
    with connection.cursor() as cursor:
        cursor.execute(_TABLE)
        cursor.execute("TRUNCATE billing_line_copy")
        with cursor.copy(f"COPY billing_line_copy ({_COLUMNS}) FROM STDIN") as copy:
            copy.write("".join(_rows(lines)))
        cursor.execute(_INSERT)


def _rows(lines: Sequence[InvoiceLine]) -> Iterator[str]:
    for line in lines:
        yield "\t".join(_written(getattr(line, name)) for name, _ in _FIELDS)
        yield "\n"


def _written(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, dict | list | tuple):
        value = msgspec.json.encode(value).decode()
    elif not isinstance(value, str):
        return str(value)
    return str(value).translate(_ESCAPED)
