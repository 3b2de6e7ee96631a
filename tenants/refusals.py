"""Refusals: what the database refuses, by the name of the constraint, and how one is said."""

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


def sentence(refusal: Exception) -> str:
    """A refusal as a page or a problem says it: with a capital and a full stop."""
    words = str(refusal)
    return f"{words[:1].upper()}{words[1:]}."
