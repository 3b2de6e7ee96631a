"""What the database refuses, told apart by the name of the constraint."""

import psycopg
from django.db import IntegrityError


def constraint_of(error: IntegrityError) -> str | None:
    """The constraint that was violated; triggers of ours name one as well."""
    cause = error.__cause__
    return cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None


def detail_of(error: IntegrityError) -> str:
    """What the refusal adds to its message; empty where it adds nothing."""
    cause = error.__cause__
    return (cause.diag.message_detail or "") if isinstance(cause, psycopg.Error) else ""
