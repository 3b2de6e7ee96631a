"""Who changes things and why, handed to the database: its triggers keep it with each change.

It travels as a setting of the transaction (SET LOCAL), beside the tenant's: it ends with the
transaction, costs no statement of its own where a scope is opened, and no statement is rewritten.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from django.db import connection

SETTING: Final = "pghistory.context_metadata"
REASON_LENGTH_MAX: Final = 500

_author: ContextVar[dict[str, str] | None] = ContextVar("author", default=None)


def authorship() -> str:
    """Of what is changed now, as the triggers keep it; "" where nobody is named."""
    named = _author.get()
    return json.dumps(named) if named else ""


@contextmanager
def acting(who: str, *, request: str = "") -> Iterator[None]:
    """What is changed inside is kept as `who`'s: a person's e-mail, a key, a command, a host.
    Opened inside a transaction it holds from then on, else from the next scope on."""
    before = authorship()
    token = _author.set({"who": who[:300], "request": request} if request else {"who": who[:300]})
    try:
        _hand_over(authorship())
        yield
        _hand_over(before)
    finally:
        _author.reset(token)


def begin_acting(who: str) -> None:
    """As acting(), for a process that does one thing after the other and never goes back."""
    _author.set({"who": who[:300]})


def note_reason(reason: str) -> None:
    """Why, for what is changed from here to the end of the transaction."""
    _author.set({**(_author.get() or {}), "reason": reason[:REASON_LENGTH_MAX]})
    _hand_over(authorship())


def _hand_over(authorship: str) -> None:
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [SETTING, authorship])
