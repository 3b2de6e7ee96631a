"""The spool: what was measured and not yet acknowledged, and the baseline it was measured against.

SQLite with a write-ahead log and full synchronisation: what is committed outlives a power cut.
A window and the baseline that it moves are one transaction; a batch's bytes are fixed when it is
made and leave only when the server has acknowledged them.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from hostmeter_agent.errors import AgentError
from hostmeter_agent.wire import SCHEMA

LAYOUT: Final = 2
SAMPLES_PER_BATCH: Final = 1_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS identity (
    id INTEGER PRIMARY KEY CHECK (id = 1), server TEXT NOT NULL, host TEXT NOT NULL,
    key_id TEXT NOT NULL, name TEXT NOT NULL, epoch TEXT NOT NULL, next_sequence INTEGER NOT NULL,
    enrolled_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS baseline (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS window (
    id INTEGER PRIMARY KEY, samples INTEGER NOT NULL, body BLOB NOT NULL, queued_at REAL NOT NULL,
    measured TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS measurement (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch (
    sequence INTEGER PRIMARY KEY, samples INTEGER NOT NULL, encoding TEXT NOT NULL,
    body BLOB NOT NULL, queued_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, sequence INTEGER NOT NULL,
    samples INTEGER NOT NULL, encoding TEXT NOT NULL, body BLOB NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epoch (
    first_sequence INTEGER PRIMARY KEY, epoch TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY CHECK (id = 1), acknowledged INTEGER NOT NULL DEFAULT 0,
    last_acknowledged_at TEXT, last_error TEXT);
INSERT OR IGNORE INTO delivery (id) VALUES (1);
"""


_FROM_LAYOUT_1: Final = "ALTER TABLE window ADD COLUMN measured TEXT NOT NULL DEFAULT '';"


class SpoolUnusable(AgentError):
    """The spool cannot be opened or written: broken file, full disk, another layout."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is to its server."""

    server: str
    host: str
    key_id: str
    name: str
    epoch: str
    enrolled_at: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A body that is ready to be sent, again and again, as it is."""

    sequence: int
    samples: int
    encoding: str
    body: bytes


class Piece(NamedTuple):
    """A part of a batch's array: samples as JSON without brackets, and the keys of the
    measurements that they name, separated by blanks."""

    samples: int
    body: bytes
    measured: str


def encode_rows(samples: list[dict[str, object]]) -> list[Piece]:
    """Samples as pieces that fit into a batch."""
    rows = []
    for first in range(0, len(samples), SAMPLES_PER_BATCH):
        part = samples[first : first + SAMPLES_PER_BATCH]
        text = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
        keys = sorted({str(sample["measured"]) for sample in part if "measured" in sample})
        rows.append(Piece(len(part), text[1:-1].encode(), " ".join(keys)))
    return rows


def batch_body(
    epoch: str, sequence: int, sent_at: str, pieces: list[bytes],
    measurements: Mapping[str, str],
) -> bytes:  # fmt: skip
    """The JSON of one batch, from pieces that encode_rows made and the measurements, as JSON by
    key, that these name."""
    head = json.dumps(
        {"schema": SCHEMA, "epoch": epoch, "sequence": sequence, "sent_at": sent_at},
        separators=(",", ":"),
    )
    if measurements:
        texts = ",".join(f'"{key}":{text}' for key, text in measurements.items())
        head = f'{head[:-1]},"measurements":{{{texts}}}' + "}"
    return head[:-1].encode() + b',"samples":[' + b",".join(pieces) + b"]}"


@dataclass(frozen=True, slots=True)
class Queued:
    """What fits into the next batch; last_window: the id of the last window in it."""

    last_window: int
    samples: int
    pieces: list[bytes]
    measurements: dict[str, str]


class Spool:
    """One connection to the spool; each thread opens its own."""

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises SpoolUnusable."""
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if layout not in range(LAYOUT + 1):
                raise SpoolUnusable(f"{path}: made by another version of the agent ({layout})")
            if layout < LAYOUT:
                self._bring_up_to_date(layout)
                path.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise SpoolUnusable(f"{path}: {error}") from error

    def _bring_up_to_date(self, layout: int) -> None:
        older = _FROM_LAYOUT_1 if layout == 1 else ""
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {older} {_TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;"
        )

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise SpoolUnusable(f"{self._path}: {error}") from error

    def identity(self) -> Identity | None:
        row = self._connection.execute(
            "SELECT server, host, key_id, name, epoch, enrolled_at FROM identity"
        ).fetchone()
        return Identity(*row) if row else None

    def enrol(self, identity: Identity, *, now: str) -> None:
        """Take on an identity with a new epoch. What the former one had not delivered is kept in
        the quarantine: it belongs to another host and is never sent under this one."""
        former = self.identity()
        with self._transaction() as connection:
            if former is not None:
                # A window that no batch held yet has no sequence: 0.
                for source in (
                    "sequence, samples, encoding, body, 0, 'the host was enrolled anew' FROM batch",
                    "0, samples, 'pieces', body, 0, 'the host was enrolled anew' FROM window",
                ):
                    connection.execute(
                        "INSERT INTO quarantine (epoch, at, sequence, samples, encoding, body,"
                        f" status, reason) SELECT ?, ?, {source}",
                        (former.epoch, now),
                    )
            for table in ("batch", "window", "baseline", "epoch", "identity"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  names are written above
            connection.execute(
                "INSERT INTO identity VALUES (1, ?, ?, ?, ?, ?, 1, ?)",
                (identity.server, identity.host, identity.key_id, identity.name, identity.epoch,
                 identity.enrolled_at),
            )  # fmt: skip

    def baseline(self) -> bytes | None:
        row = self._connection.execute("SELECT body FROM baseline").fetchone()
        return bytes(row[0]) if row else None

    def record(
        self, samples: list[dict[str, object]], baseline: bytes, *, at: float,
        measurements: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Queue one scrape's samples and move the baseline, both or neither.

        at: seconds since the epoch, from which the batch's delay counts; measurements: JSON by
        key, all that the samples name.
        """
        rows = encode_rows(samples)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO measurement VALUES (?, ?)", (measurements or {}).items()
            )
            _queue(connection, rows, at)
            connection.execute("INSERT OR REPLACE INTO baseline VALUES (1, ?)", (baseline,))

    def queued(self) -> tuple[int, float | None]:
        """Samples not yet in a batch, and when the oldest of them was queued."""
        count, oldest = self._connection.execute(
            "SELECT coalesce(sum(samples), 0), min(queued_at) FROM window"
        ).fetchone()
        return int(count), oldest

    def next_pieces(self) -> Queued:
        """What fits into the next batch."""
        last, total = 0, 0
        pieces: list[bytes] = []
        named: set[str] = set()
        rows = self._connection.execute(
            "SELECT id, samples, body, measured FROM window ORDER BY id"
        )
        for identifier, samples, body, measured in rows:
            if pieces and total + samples > SAMPLES_PER_BATCH:
                break
            last, total = identifier, total + samples
            pieces.append(body)
            named.update(measured.split())
        rows.close()
        return Queued(last, total, pieces, self._measurements(named))

    def _measurements(self, keys: set[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for key in sorted(keys):
            row = self._connection.execute("SELECT body FROM measurement WHERE key = ?", (key,))
            found[key] = str(row.fetchone()[0])
        return found

    def next_sequence(self) -> int:
        return int(self._connection.execute("SELECT next_sequence FROM identity").fetchone()[0])

    def sealing_epoch(self) -> str:
        """The epoch of the next batch: the enrolment's, or a later one that replaced it."""
        row = self._connection.execute(
            "SELECT epoch FROM epoch ORDER BY first_sequence DESC LIMIT 1"
        ).fetchone()
        if row is None:
            row = self._connection.execute("SELECT epoch FROM identity").fetchone()
        return str(row[0])

    def was_sealed_last(self, batch: Batch) -> bool:
        """Whether a batch bears the epoch under which batches are sealed now."""
        first = self._connection.execute("SELECT max(first_sequence) FROM epoch").fetchone()[0]
        return first is None or batch.sequence >= first

    def begin_epoch(self, epoch: str) -> None:
        """Seal under a new epoch from now on. The host, its key and its numbering go on."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO epoch SELECT next_sequence, ? FROM identity", (epoch,)
            )

    def seal(self, batch: Batch, *, last_window: int, at: float) -> None:
        """Fix a batch's bytes, take its windows out of the queue and use its sequence up."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
                (batch.sequence, batch.samples, batch.encoding, batch.body, at),
            )
            connection.execute("DELETE FROM window WHERE id <= ?", (last_window,))
            connection.execute("UPDATE identity SET next_sequence = ?", (batch.sequence + 1,))

    def oldest_batch(self) -> Batch | None:
        row = self._connection.execute(
            "SELECT sequence, samples, encoding, body FROM batch ORDER BY sequence LIMIT 1"
        ).fetchone()
        return Batch(*row) if row else None

    def acknowledge(self, batch: Batch, *, now: str) -> None:
        """The server holds it: let it go."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM batch WHERE sequence = ?", (batch.sequence,))
            connection.execute(
                "UPDATE delivery SET acknowledged = acknowledged + ?, last_acknowledged_at = ?,"
                " last_error = NULL",
                (batch.samples, now),
            )

    def quarantine(
        self, batch: Batch, rest: list[Piece], *, status: int, reason: str, now: str,
        at: float,
    ) -> None:  # fmt: skip
        """The server will never take it: set it aside, out of the way of the others. What the
        batch held besides, as encode_rows made it, is queued again."""
        with self._transaction() as connection:
            _queue(connection, rest, at)
            connection.execute(
                "INSERT INTO quarantine (epoch, sequence, samples, encoding, body, status, reason,"
                " at) SELECT epoch, ?, ?, ?, ?, ?, ?, ? FROM identity",
                (batch.sequence, batch.samples, batch.encoding, batch.body, status, reason, now),
            )
            connection.execute("DELETE FROM batch WHERE sequence = ?", (batch.sequence,))

    def oldest_quarantined(self) -> tuple[int, Batch] | None:
        """Of this identity: (number in the quarantine, what is held there)."""
        row = self._connection.execute(
            "SELECT id, sequence, samples, encoding, body FROM quarantine"
            " WHERE epoch = (SELECT epoch FROM identity) ORDER BY id LIMIT 1"
        ).fetchone()
        return (int(row[0]), Batch(*row[1:])) if row else None

    def release(self, identifier: int, rows: list[Piece], *, at: float) -> None:
        """Queue what was quarantined under a number, as encode_rows made it; both or neither."""
        with self._transaction() as connection:
            held = connection.execute("DELETE FROM quarantine WHERE id = ?", (identifier,))
            if held.rowcount:
                _queue(connection, rows, at)

    def quarantined_samples(self) -> int:
        row = self._connection.execute("SELECT coalesce(sum(samples), 0) FROM quarantine")
        return int(row.fetchone()[0])

    def note_error(self, text: str) -> None:
        with self._transaction() as connection:
            connection.execute("UPDATE delivery SET last_error = ?", (text,))

    def report(self) -> dict[str, object]:
        """Figures for `status`."""
        waiting, oldest = self.queued()
        batches, batched, since = self._connection.execute(
            "SELECT count(*), coalesce(sum(samples), 0), min(queued_at) FROM batch"
        ).fetchone()
        acknowledged, last, error = self._connection.execute(
            "SELECT acknowledged, last_acknowledged_at, last_error FROM delivery"
        ).fetchone()
        held = self._connection.execute(
            "SELECT sequence, samples, status, reason, at FROM quarantine ORDER BY id DESC LIMIT 20"
        ).fetchall()
        total = self._connection.execute(
            "SELECT count(*), coalesce(sum(samples), 0) FROM quarantine"
        ).fetchone()
        return {
            "pending_samples": waiting + batched,
            "pending_batches": batches,
            "oldest_pending_at": min((t for t in (oldest, since) if t is not None), default=None),
            "acknowledged_samples": acknowledged,
            "last_acknowledged_at": last,
            "last_error": error,
            "quarantined_batches": total[0],
            "quarantined_samples": total[1],
            "quarantine": [
                dict(zip(("sequence", "samples", "status", "reason", "at"), row, strict=True))
                for row in held
            ],
        }


def _queue(connection: sqlite3.Connection, rows: list[Piece], at: float) -> None:
    connection.executemany(
        "INSERT INTO window (samples, body, measured, queued_at) VALUES (?, ?, ?, ?)",
        [(*row, at) for row in rows],
    )
