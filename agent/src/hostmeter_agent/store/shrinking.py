"""Keeps the spool within its bounds: old windows become windows of 5 minutes, and none is lost."""

import json
import logging
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.measure.windows import BUCKET_MS
from hostmeter_agent.store.coalescing import bucket_ms, coalesce
from hostmeter_agent.store.room import Bounds
from hostmeter_agent.store.spool import Piece, Spool, encode_rows

log = logging.getLogger("hostmeter_agent")

BUCKETS_PER_STEP: Final = 5
_BYTES_AT_ONCE: Final = 4_000_000
_SETTLED_MS: Final = 60_000
"""A bucket is left alone until it has been over for a minute."""


@dataclass(slots=True)
class Shrinking:
    """Coalesces, oldest first, while the spool is nearly full or its windows nearly too old."""

    spool: Spool
    bounds: Bounds
    _said: bool = False

    def step(self, now: float) -> int:
        """Coalesce a few buckets when that is due; how many. now: seconds since the epoch."""
        done = 0
        while done < BUCKETS_PER_STEP and self._is_due(now) and self._coalesce_bucket(now):
            done += 1
        if done and not self._said:
            log.warning("the spool is nearly full: old windows are kept by 5 minutes")
        self._said = self._said or bool(done)
        return done

    def _is_due(self, now: float) -> bool:
        row = self.spool.select(
            "SELECT queued_at FROM window WHERE coalesced = 0 ORDER BY id LIMIT 1"
        ).fetchone()
        if row is None:
            return False
        if self.bounds.is_nearly_too_old(now - row[0]):
            return True
        return self.bounds.is_nearly_full(self.spool.used_bytes())

    def _coalesce_bucket(self, now: float) -> bool:
        """Coalesce the oldest bucket whose windows are still fine; False when it is not over."""
        samples: list[dict[str, object]] = []
        identifiers: list[int] = []
        bucket, size = None, 0
        windows = self.spool.select("SELECT id, body FROM window WHERE coalesced = 0 ORDER BY id")
        for identifier, body in windows:
            part = json.loads(b"[" + body + b"]")
            start_ms = bucket_ms(part[0])
            bucket = start_ms if bucket is None else bucket
            size += len(body)
            if start_ms != bucket or (identifiers and size > _BYTES_AT_ONCE):
                break
            identifiers.append(identifier)
            samples += part
        windows.close()
        if bucket is None or bucket + BUCKET_MS + _SETTLED_MS > now * 1_000:
            return False
        self._replace(identifiers, encode_rows(coalesce(samples)))
        return True

    def _replace(self, identifiers: list[int], rows: list[Piece]) -> None:
        """Put pieces, which are no more than there were windows, in the place of windows."""
        with self.spool.transaction() as connection:
            (at,) = connection.execute(
                "SELECT queued_at FROM window WHERE id = ?", (identifiers[0],)
            ).fetchone()
            connection.executemany(
                "DELETE FROM window WHERE id = ?", [(number,) for number in identifiers]
            )
            places = identifiers[: len(rows)]
            connection.executemany(
                "INSERT INTO window (id, samples, body, measured, queued_at, coalesced)"
                " VALUES (?, ?, ?, ?, ?, 1)",
                [(number, *row, at) for number, row in zip(places, rows, strict=True)],
            )
