"""Everything that a tenant has here, as one archive: each row of each table as a line of JSON, each
issued document as PDF and JSON. Credentials are left out, hashed ones too.

Each table and each document is a part, written whole or not at all, so that one which was cut off
goes on with the first part that is missing. A part is of the moment in which it was written.
"""

import gzip
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from django.db import connection
from psycopg import sql

from billing.documents.files import document_file, safe_name
from billing.documents.loading import invoice_document
from billing.models import Invoice
from tenants.scope import tenant_scope

_ROWS_AT_ONCE: Final = 2_000
# An answer may have been a key that was shown once; marks are the database's own lists of work.
_LEFT_OUT: Final = frozenset(
    {"tenants_idempotencyrecord", "tenants_tenantexport", "metering_sample_store"}
)
_SECRET: Final = re.compile("digest|secret|password|token|sealed|private|cipher|credential")
# Of payments under way: whoever has these may act in the customer's place at the processor.
_ALSO_SECRET: Final = frozenset(
    {
        ("billing_paymentattempt", "hand_over_url"),
        ("billing_paymentattempt", "session_id"),
        ("billing_processorevent", "body"),
    }
)
# What sounds like a secret and is none: proofs, and what content is found by.
_OPEN: Final = frozenset(
    {
        ("metering_samplebatch", "digest"),
        ("metering_samplebatch", "content_digest"),
        ("metering_measurement", "digest"),
        ("metering_event", "digest"),
        ("billing_logo", "digest"),
    }
)
_COLUMNS: Final = """
    SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
      AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id'
                  AND NOT t.attisdropped)
    ORDER BY c.relname, a.attnum
"""
_README: Final = """\
tables/NAME.jsonl.gz   one row a line, as JSON; amounts are written exactly, bytes in hexadecimal
tables/people.jsonl.gz the people who are members, by e-mail
documents/             every issued invoice and note, as PDF and as JSON

Instants are in UTC. Credentials are in none of it: keys, tokens and secrets are issued anew.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the archive, and what writes it."""

    name: str
    write: Callable[[Path], None]


def export_parts(tenant_id: UUID) -> list[Part]:
    """All of them, in their order."""
    with tenant_scope(tenant_id):
        tables = _tables()
        issued = Invoice.objects.filter(number__isnull=False).order_by("finalized_at", "pk")
        invoices = list(issued.values_list("pk", "series", "number"))
    parts = [
        Part(f"tables/{table}.jsonl.gz", _table_writer(tenant_id, _select(table, columns)))
        for table, columns in tables.items()
    ]
    parts.append(Part("tables/people.jsonl.gz", _table_writer(tenant_id, _PEOPLE)))
    for pk, series, number in invoices:
        name = f"documents/{safe_name(f'{series}{number}')}-{pk}"
        for form, ending in (("pdf", "pdf"), ("json", "json")):
            parts.append(Part(f"{name}.{ending}", _document_writer(tenant_id, pk, form)))
    return parts


def write_missing(folder: Path, parts: list[Part]) -> Iterator[int]:
    """Write the parts that the folder lacks; how many it has, after each."""
    for number, part in enumerate(parts, start=1):
        path = folder / part.name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Readable by whoever runs this, and by nobody else.
            unfinished = path.with_name(f".{path.name}.part")
            part.write(unfinished)
            os.replace(unfinished, path)
        yield number


def write_archive(folder: Path, parts: list[Part], archive: Path) -> int:
    """All parts as one ZIP file, which is there as a whole or not at all; its size in bytes. The
    folder is removed."""
    unfinished = archive.with_name(f".{archive.name}.part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
        file.writestr("README.txt", _README)
        for part in parts:
            file.write(folder / part.name, part.name)
    os.replace(unfinished, archive)
    shutil.rmtree(folder)
    return archive.stat().st_size


def exported_columns(rows: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Of (table, column) pairs those that are exported, by table."""
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        sounds = _SECRET.search(column) is not None and (table, column) not in _OPEN
        if table in _LEFT_OUT or sounds or (table, column) in _ALSO_SECRET:
            continue
        tables.setdefault(table, []).append(column)
    return tables


def _tables() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        return exported_columns(cursor.fetchall())


def _select(table: str, columns: list[str]) -> sql.Composed:
    # Its own tenant's alone besides what the policy lets through: the installation's may be wider.
    return sql.SQL(
        "SELECT row_to_json(row)::text FROM (SELECT {columns} FROM {table} "
        "WHERE tenant_id = (SELECT hostmeter_tenant())) row"
    ).format(columns=sql.SQL(", ").join(map(sql.Identifier, columns)), table=sql.Identifier(table))


_PEOPLE: Final = sql.SQL(
    "SELECT row_to_json(row)::text FROM (SELECT m.id AS member_id, u.email, m.role FROM "
    "tenants_member m JOIN tenants_user u ON u.id = m.user_id "
    "WHERE m.tenant_id = (SELECT hostmeter_tenant())) row"
).format()


def _table_writer(tenant_id: UUID, statement: sql.Composed) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tenant_scope(tenant_id), gzip.open(path, "wt", encoding="utf-8") as file:
            connection.ensure_connection()
            with connection.connection.cursor(name="hostmeter_export") as rows:
                rows.itersize = _ROWS_AT_ONCE
                rows.execute(statement)
                for (line,) in rows:
                    file.write(f"{line}\n")

    return write


def _document_writer(tenant_id: UUID, invoice_id: UUID, form: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tenant_scope(tenant_id):
            invoices = Invoice.objects.select_related("plan_version__plan", "customer", "refers_to")
            document = invoice_document(invoices.get(pk=invoice_id))
            path.write_bytes(document_file(document, form))

    return write
