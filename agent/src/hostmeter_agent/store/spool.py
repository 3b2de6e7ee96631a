"""The spool: what was measured and not yet acknowledged, and the baseline it was measured against.

SQLite with a write-ahead log and full synchronisation: what is committed outlives a power cut.
A window and the baseline that it moves are one transaction; a batch's bytes are fixed when it is
made and leave only when the server has acknowledged them.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostmeter_agent.errors import AgentError
from hostmeter_agent.store.batches import (
    SAMPLES_PER_BATCH,
    Batch,
    Piece,
    Queued,
    batch_body,
    encode_rows,
)
from hostmeter_agent.store.room import RESERVE_FILE, Bounds, Reserve
from hostmeter_agent.store.spool_tables import LayoutUnknown, opened

__all__ = [
    "SAMPLES_PER_BATCH",
    "Batch",
    "Identity",
    "Piece",
    "Queued",
    "Spool",
    "SpoolFull",
    "SpoolUnusable",
    "batch_body",
    "encode_rows",
]


class SpoolUnusable(AgentError):
    """The spool cannot be opened or written: broken file, full disk, another layout."""


class SpoolFull(SpoolUnusable):
    """There is no room: the disk is full, or the spool has reached its bound."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is to its server."""

    server: str
    host: str
    key_id: str
    name: str
    epoch: str
    enrolled_at: str


class Spool:
    """One connection to the spool; each thread opens its own."""

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        """Open or create it. bounds: what it may take, where it is written to. Raises
        SpoolUnusable."""
        self._path = path
        self._bounds = bounds or Bounds()
        self.reserve = Reserve(path.with_name(RESERVE_FILE))
        try:
            self._connection = self._opened()
        except (sqlite3.Error, OSError) as error:
            raise SpoolUnusable(f"{path}: {error}") from error
        except LayoutUnknown as error:
            raise SpoolUnusable(
                f"{path}: made by another version of the agent ({error})"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            return opened(self._path)
        except sqlite3.OperationalError:
            if not self.reserve.path.exists():
                raise
            # Opening takes room, too, and a full disk has none but the reserve.
            self.reserve.give_up()
            return opened(self._path)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing. Raises SpoolUnusable, SpoolFull where there is no room."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._roll_back()
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            raise (SpoolFull if full else SpoolUnusable)(f"{self._path}: {error}") from error

    def _roll_back(self) -> None:
        # For want of room SQLite has done so itself.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def select(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Rows, read outside a transaction. Raises SpoolUnusable."""
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise SpoolUnusable(f"{self._path}: {error}") from error

    def identity(self) -> Identity | None:
        row = self.select(
            "SELECT server, host, key_id, name, epoch, enrolled_at FROM identity"
        ).fetchone()
        return Identity(*row) if row else None

    def enrol(self, identity: Identity, *, now: str) -> None:
        """Take on an identity with a new epoch. What the former one had not delivered is kept in
        the quarantine: it belongs to another host and is never sent under this one."""
        former = self.identity()
        with self.transaction() as connection:
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
            for table in ("batch", "window", "baseline", "epoch", "identity", "note"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  names are written above
            connection.execute(
                "INSERT INTO identity VALUES (1, ?, ?, ?, ?, ?, 1, ?)",
                (identity.server, identity.host, identity.key_id, identity.name, identity.epoch,
                 identity.enrolled_at),
            )  # fmt: skip

    def baseline(self) -> bytes | None:
        row = self.select("SELECT body FROM baseline").fetchone()
        return bytes(row[0]) if row else None

    def record(
        self, samples: list[dict[str, object]], baseline: bytes, *, at: float,
        measurements: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Queue one scrape's samples and move the baseline, both or neither.

        at: seconds since the epoch, from which the batch's delay counts; measurements: JSON by
        key, all that the samples name. Raises SpoolUnusable; SpoolFull also at the bound, where
        what was measured stays part of the next scrape, and so does its usage.
        """
        self._require_room()
        rows = encode_rows(samples)
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO measurement VALUES (?, ?)", (measurements or {}).items()
            )
            _queue(connection, rows, at)
            connection.execute("INSERT OR REPLACE INTO baseline VALUES (1, ?)", (baseline,))

    def _require_room(self) -> None:
        if missing := self.reserve.missing():
            raise SpoolFull(f"{self._path.parent}: {missing}")
        if self.used_bytes() >= self._bounds.bytes_max:
            most = self._bounds.megabytes_max
            raise SpoolFull(f"{self._path}: {most} MB are taken (spool_megabytes_max)")

    def used_bytes(self) -> int:
        """What the spool holds; what was freed in its file is used again."""
        pages, free, size = (
            int(self.select(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def due(self) -> tuple[int, float | None]:
        """(samples that wait, counted up to a batch's worth; when the first was queued)."""
        (count,) = self.select(
            "SELECT coalesce(sum(samples), 0) FROM"
            " (SELECT samples FROM window ORDER BY id LIMIT ?)",
            (SAMPLES_PER_BATCH,),
        ).fetchone()
        first = self.select("SELECT queued_at FROM window ORDER BY id LIMIT 1")
        row = first.fetchone()
        return int(count), None if row is None else float(row[0])

    def queued(self) -> tuple[int, float | None]:
        """Samples not yet in a batch, and when the oldest of them was queued."""
        count, oldest = self.select(
            "SELECT coalesce(sum(samples), 0), min(queued_at) FROM window"
        ).fetchone()
        return int(count), oldest

    def next_pieces(self) -> Queued:
        """What fits into the next batch."""
        last, total = 0, 0
        pieces: list[bytes] = []
        named: set[str] = set()
        rows = self.select("SELECT id, samples, body, measured FROM window ORDER BY id")
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
            row = self.select("SELECT body FROM measurement WHERE key = ?", (key,))
            found[key] = str(row.fetchone()[0])
        return found

    def next_sequence(self) -> int:
        return int(self.select("SELECT next_sequence FROM identity").fetchone()[0])

    def sealing_epoch(self) -> str:
        """The epoch of the next batch: the enrolment's, or a later one that replaced it."""
        row = self.select("SELECT epoch FROM epoch ORDER BY first_sequence DESC LIMIT 1").fetchone()
        if row is None:
            row = self.select("SELECT epoch FROM identity").fetchone()
        return str(row[0])

    def was_sealed_last(self, batch: Batch) -> bool:
        """Whether a batch bears the epoch under which batches are sealed now."""
        first = self.select("SELECT max(first_sequence) FROM epoch").fetchone()[0]
        return first is None or batch.sequence >= first

    def begin_epoch(self, epoch: str) -> None:
        """Seal under a new epoch from now on. The host, its key and its numbering go on."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO epoch SELECT next_sequence, ? FROM identity", (epoch,)
            )

    def seal(self, batch: Batch, *, last_window: int, at: float) -> None:
        """Fix a batch's bytes, take its windows out of the queue and use its sequence up."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?)",
                (batch.sequence, batch.samples, batch.encoding, batch.body, at),
            )
            connection.execute("DELETE FROM window WHERE id <= ?", (last_window,))
            connection.execute("UPDATE identity SET next_sequence = ?", (batch.sequence + 1,))

    def oldest_batch(self) -> Batch | None:
        row = self.select(
            "SELECT sequence, samples, encoding, body FROM batch ORDER BY sequence LIMIT 1"
        ).fetchone()
        return Batch(*row) if row else None

    def acknowledge(self, batch: Batch, *, now: str) -> None:
        """The server holds it: let it go."""
        with self.transaction() as connection:
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
        with self.transaction() as connection:
            _queue(connection, rest, at)
            connection.execute(
                "INSERT INTO quarantine (epoch, sequence, samples, encoding, body, status, reason,"
                " at) SELECT epoch, ?, ?, ?, ?, ?, ?, ? FROM identity",
                (batch.sequence, batch.samples, batch.encoding, batch.body, status, reason, now),
            )
            connection.execute("DELETE FROM batch WHERE sequence = ?", (batch.sequence,))

    def oldest_quarantined(self) -> tuple[int, Batch] | None:
        """Of this identity: (number in the quarantine, what is held there)."""
        row = self.select(
            "SELECT id, sequence, samples, encoding, body FROM quarantine"
            " WHERE epoch = (SELECT epoch FROM identity) ORDER BY id LIMIT 1"
        ).fetchone()
        return (int(row[0]), Batch(*row[1:])) if row else None

    def release(self, identifier: int, rows: list[Piece], *, at: float) -> None:
        """Queue what was quarantined under a number, as encode_rows made it; both or neither."""
        with self.transaction() as connection:
            held = connection.execute("DELETE FROM quarantine WHERE id = ?", (identifier,))
            if held.rowcount:
                _queue(connection, rows, at)

    def quarantined_samples(self) -> int:
        row = self.select("SELECT coalesce(sum(samples), 0) FROM quarantine")
        return int(row.fetchone()[0])

    def renumber(
        self, batch: Batch, rest: list[Piece], *, epoch: str | None, now: str, at: float
    ) -> None:
        """Another machine, or another life of this one, used the batch's number up. What the
        server does not hold, `rest`, is queued again, and sealed under `epoch` where one is given;
        the other samples of the batch are stored."""
        held = batch.samples - sum(piece.samples for piece in rest)
        with self.transaction() as connection:
            if epoch is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO epoch SELECT next_sequence, ? FROM identity", (epoch,)
                )
            _queue(connection, rest, at)
            connection.execute("DELETE FROM batch WHERE sequence = ?", (batch.sequence,))
            connection.execute(
                "UPDATE delivery SET acknowledged = acknowledged + ?, last_acknowledged_at = ?",
                (held, now),
            )

    def note(self, name: str) -> dict[str, Any] | None:
        """What was noted under a name."""
        row = self.select("SELECT body FROM note WHERE name = ?", (name,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def take_notes(self, notes: Mapping[str, Mapping[str, object] | None]) -> None:
        """Note, or forget (None), all of it or nothing."""
        with self.transaction() as connection:
            for name, body in notes.items():
                if body is None:
                    connection.execute("DELETE FROM note WHERE name = ?", (name,))
                else:
                    connection.execute(
                        "INSERT OR REPLACE INTO note VALUES (?, ?)", (name, json.dumps(body))
                    )

    def note_error(self, text: str) -> None:
        with self.transaction() as connection:
            connection.execute("UPDATE delivery SET last_error = ?", (text,))

    def report(self) -> dict[str, object]:
        """Figures for `status`."""
        waiting, oldest = self.queued()
        batches, batched, since = self.select(
            "SELECT count(*), coalesce(sum(samples), 0), min(queued_at) FROM batch"
        ).fetchone()
        acknowledged, last, error = self.select(
            "SELECT acknowledged, last_acknowledged_at, last_error FROM delivery"
        ).fetchone()
        held = self.select(
            "SELECT sequence, samples, status, reason, at FROM quarantine ORDER BY id DESC LIMIT 20"
        ).fetchall()
        total = self.select("SELECT count(*), coalesce(sum(samples), 0) FROM quarantine").fetchone()
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
