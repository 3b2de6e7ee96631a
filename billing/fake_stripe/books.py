"""All that the fake Stripe knows, in one SQLite file: it is there again after a kill."""

import json
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from billing.fake_stripe.refusals import Fields

_LETTERS: Final = string.ascii_letters + string.digits
# `seq` is the order in which objects were made; `customer` and `parent` are what lists ask for.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, kind TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE, customer TEXT, parent TEXT, created INTEGER NOT NULL,
  changed REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_listed ON objects (account, kind, seq);
CREATE INDEX IF NOT EXISTS objects_of_customer ON objects (account, kind, customer, seq);
CREATE INDEX IF NOT EXISTS objects_of_parent ON objects (account, kind, parent, seq);
CREATE TABLE IF NOT EXISTS answers (
  account TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, status INTEGER NOT NULL,
  body TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (account, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, url TEXT NOT NULL, secret TEXT NOT NULL,
  kind TEXT NOT NULL, payload TEXT NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'pending', status INTEGER);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which objects a list wants; `before` and `after` are places in the order of making."""

    kind: str
    customer: str | None = None
    parent: str | None = None
    created_from: int = 0
    created_before: int = 1 << 62
    changed_before: float | None = None
    older_than: int | None = None
    newer_than: int | None = None


class Books:
    """One connection, used by one thread at a time: what a request does is done all or not."""

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._depth = 0
        # What was written reaches the kernel before the answer is sent, so a kill loses nothing.
        # Only a machine without power would, and then the demo begins anew.
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {_TABLES}")
        self._offset_s = float(self.fact("clock_offset_s") or 0)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def now(self) -> float:
        """Seconds since 1970, by a clock that can be put forward."""
        return time.time() + self._offset_s

    def put_clock_forward(self, seconds: int) -> None:
        with self.transaction():
            self._offset_s += seconds
            self.set_fact("clock_offset_s", str(self._offset_s))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            if self._depth:
                yield
                return
            self._depth += 1
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
            finally:
                self._depth -= 1

    def run(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(secrets.choice(_LETTERS) for _ in range(24))}"

    def add(self, account: str, body: Fields, *, parent: str | None = None) -> None:
        self.run(
            "INSERT INTO objects (account, kind, id, customer, parent, created, changed, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            account, body["object"], body["id"], body.get("customer"), parent,
            body["created"], self.now(), json.dumps(body),
        )  # fmt: skip

    def save(self, account: str, body: Fields) -> None:
        self.run(
            "UPDATE objects SET customer = ?, changed = ?, body = ? WHERE account = ? AND id = ?",
            body.get("customer"), self.now(), json.dumps(body), account, body["id"],
        )  # fmt: skip

    def remove(self, account: str, identifier: str) -> None:
        self.run("DELETE FROM objects WHERE account = ? AND id = ?", account, identifier)

    def get(self, account: str, kind: str, identifier: str) -> Fields | None:
        rows = self.run(
            "SELECT body FROM objects WHERE id = ? AND account = ? AND kind = ?",
            identifier, account, kind,
        )  # fmt: skip
        return _read(rows[0][0]) if rows else None

    def get_any(self, kind: str, identifier: str) -> tuple[str, Fields] | None:
        """An object with its account, for pages whose address alone says which it is."""
        rows = self.run(
            "SELECT account, body FROM objects WHERE id = ? AND kind = ?", identifier, kind
        )
        return (rows[0][0], _read(rows[0][1])) if rows else None

    def place_of(self, account: str, identifier: str) -> int | None:
        rows = self.run("SELECT seq FROM objects WHERE account = ? AND id = ?", account, identifier)
        return int(rows[0][0]) if rows else None

    def found(self, account: str, asked: Asked, limit: int) -> list[tuple[int, Fields]]:
        """Objects with their places, newest first; from `newer_than` on the oldest first."""
        conditions = ["account = ?", "kind = ?", "created >= ?", "created < ?"]
        values: list[Any] = [account, asked.kind, asked.created_from, asked.created_before]
        for condition, value in (
            ("customer = ?", asked.customer),
            ("parent = ?", asked.parent),
            ("changed <= ?", asked.changed_before),
            ("seq < ?", asked.older_than),
            ("seq > ?", asked.newer_than),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        order = "ASC" if asked.newer_than is not None else "DESC"
        # Conditions and order are of the fixed texts above; values are bound.
        statement = (
            f"SELECT seq, body FROM objects WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY seq {order} LIMIT ?"
        )
        return [(seq, _read(body)) for seq, body in self.run(statement, *values, limit)]

    def fact(self, name: str) -> str | None:
        rows = self.run("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def set_fact(self, name: str, value: str) -> None:
        self.run("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, value)

    def count(self, name: str) -> int:
        """Count one more; how many there were before."""
        before = int(self.fact(name) or 0)
        self.set_fact(name, str(before + 1))
        return before


def _read(text: str) -> Fields:
    body: Fields = json.loads(text)
    return body


def shown(body: Fields) -> Fields:
    """The object as Stripe shows it: what starts with _ is the fake's own note."""
    return {name: value for name, value in body.items() if not name.startswith("_")}
