"""Many rows of one table at once, for tests that begin with thousands of them."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from django.db import connection, models

Row = TypeVar("Row", bound=models.Model)


def insert_rows(rows: Sequence[Row]) -> list[Row]:
    """As `bulk_create`, in one statement with one parameter: the ORM names each column of each row,
    which takes a hundred times as long where forty of them are NULL."""
    if not rows:
        return []
    meta = type(rows[0])._meta
    named = {field.column: field.attname for field in meta.concrete_fields if field.column}
    given = [
        {
            column: value
            for column, attribute in named.items()
            if (value := getattr(row, attribute)) is not None
        }
        for row in rows
    ]
    quote = connection.ops.quote_name
    table, columns = quote(meta.db_table), ", ".join(quote(each) for each in _columns(given))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} "  # noqa: S608 names of the schema
            f"FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)",
            [json.dumps(given, default=str)],
        )
    return list(rows)


def _columns(given: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(column for row in given for column in row))
