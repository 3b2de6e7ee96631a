"""Delivery: seals what is queued into batches and sends them until the server has them."""

import logging
import math
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from hostmeter_agent.server.channel import Channel
from hostmeter_agent.server.compression import compression
from hostmeter_agent.server.http_date import http_date
from hostmeter_agent.server.transport import Answer, ServerUnreachable
from hostmeter_agent.store.quarantine import (
    BodyUnreadable,
    refused_samples,
    release_ripe,
    split,
    stored_samples,
)
from hostmeter_agent.store.spool import SAMPLES_PER_BATCH, Batch, Piece, Spool, batch_body
from hostmeter_agent.wire import BATCHES_PATH

log = logging.getLogger("hostmeter_agent")

BACKOFF_FIRST_SECONDS: Final = 1.0
BACKOFF_MAX_SECONDS: Final = 300.0
RETRY_AFTER_MAX_SECONDS: Final = 3_600.0
_RIPE_SECONDS: Final = 3_600.0
_NUMBERED_ANEW: Final = frozenset({"sequence-in-use", "epoch-in-use"})
_REFUSED_FOR_GOOD: Final = frozenset({400, 409, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means for the batch."""

    action: Literal["acknowledge", "quarantine", "retry"]
    wait_seconds: float | None = None
    reason: str = ""


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """A Retry-After header, in seconds or as an HTTP date, bounded to an hour; None without."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX_SECONDS)
    try:
        at = http_date(text)
    except ValueError:
        return None
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_MAX_SECONDS)


def judge(answer: Answer, batch: Batch, *, now: datetime) -> Verdict:
    """Only a 200 that says in the server's words that it holds this batch acknowledges; what can
    never succeed is set aside; the rest is tried again."""
    if answer.status == 200:
        # A captive portal or a proxy's error page says 200, too, and holds nothing.
        fields = answer.fields()
        if not _is(fields.get("sequence"), batch.sequence):
            return Verdict("retry", reason="the answer is not this server's receipt of the batch")
        if not _is(fields.get("stored"), batch.samples):
            return Verdict("retry", reason=f"the receipt does not name {batch.samples} samples")
        return Verdict("acknowledge")
    if answer.status in _REFUSED_FOR_GOOD:
        return Verdict("quarantine")
    wait_seconds = retry_after_seconds(answer.retry_after, now=now)
    return Verdict("retry", wait_seconds, answer.detail())


def _is(value: object, expected: int) -> bool:
    return type(value) is int and value == expected


def backoff_seconds(failures: int, chance: float) -> float:
    """The pause after the n-th failure in a row: doubled each time, spread by chance (0 to 1)
    over the upper half, so that hosts do not come back all at once."""
    ceiling = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 20), BACKOFF_MAX_SECONDS)
    return ceiling * (0.5 + chance / 2)


def _stamp(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seal_next(spool: Spool, now: float) -> bool:
    """Make a batch of what waits longest; False when nothing waits."""
    due = spool.next_pieces()
    if not due.samples:
        return False
    encoding, compress = compression()
    sequence = spool.next_sequence()
    body = batch_body(spool.sealing_epoch(), sequence, _stamp(now), due.pieces, due.measurements)
    batch = Batch(sequence, due.samples, encoding, compress(body))
    spool.seal(batch, last_window=due.last_window, at=now)
    return True


class Delivery:
    """Sends the spool's content, oldest first; one batch at a time."""

    def __init__(self, channel: Channel, *, delay_seconds: int) -> None:
        self._channel = channel
        self._spool = channel.spool
        self._server = channel.server
        self._delay_seconds = delay_seconds
        self._failures = 0
        self._renumbered = 0
        self._said = ""
        self._looked_at = 0.0

    def due_in(self, now: float) -> float:
        """Seconds until a batch is to be made of what is queued now: when 1,000 samples wait or
        the oldest has waited long enough. Infinity when nothing is queued."""
        waiting, oldest = self._spool.due()
        if oldest is None:
            return math.inf
        # A clock set back must not hold samples: an age below zero is due, too.
        young = 0 <= now - oldest < self._delay_seconds
        if waiting < SAMPLES_PER_BATCH and young:
            return oldest + self._delay_seconds - now
        return 0.0

    def seal_due(self, now: float) -> bool:
        """Make a batch when that is due."""
        if self.due_in(now) > 0:
            return False
        seal_next(self._spool, now)
        return True

    def attempt(self, batch: Batch, now: float) -> Answer:
        """Send a batch once, signed anew. Raises ServerUnreachable."""
        headers = {"Content-Type": "application/json", "Content-Encoding": batch.encoding}
        return self._channel.send("POST", BATCHES_PATH, batch.body, headers, now=now)

    def step(self, now: float) -> float | None:
        """Deliver the oldest batch. Seconds to wait before the next try; None when all is done."""
        batch = self._spool.oldest_batch()
        if batch is None:
            # Sealed no earlier than it is sent: until then windows can still be coalesced.
            if not self.seal_due(now):
                self._release_ripe(now)
                return None
            batch = self._spool.oldest_batch()
            if batch is None:
                return None
        try:
            answer = self.attempt(batch, now)
        except ServerUnreachable as error:
            return self._put_off(str(error), None)
        verdict = judge(answer, batch, now=datetime.fromtimestamp(now, UTC))
        if verdict.action == "retry":
            said = verdict.reason
            if answer.status == 401:
                said = self._channel.reason(answer)
            reason = f"{self._server.url} answered {answer.status}: {said}"
            return self._put_off(reason, verdict.wait_seconds)
        return self._settle(batch, verdict, answer, now)

    def _release_ripe(self, now: float) -> None:
        """Once an hour, and when the clock was set back."""
        if 0 <= now - self._looked_at < _RIPE_SECONDS:
            return
        self._looked_at = now
        released = release_ripe(self._spool, now=now)
        if released:
            log.warning("%d samples that were ahead of the server's clock are sent again", released)

    def _settle(self, batch: Batch, verdict: Verdict, answer: Answer, now: float) -> float:
        """Seconds to wait before the next batch."""
        if self._failures:
            log.warning("delivering again to %s", self._server.url)
        self._failures, self._said = 0, ""
        if verdict.action == "acknowledge":
            self._renumbered = 0
            self._spool.acknowledge(batch, now=_stamp(now))
            return 0.0
        kind = str(answer.fields().get("type"))
        if answer.status == 409 and kind in _NUMBERED_ANEW:
            return self._number_anew(batch, answer, kind, now)
        self._set_aside(batch, answer, now)
        return 0.0

    def _number_anew(self, batch: Batch, answer: Answer, kind: str, now: float) -> float:
        """A copy of this state delivers too, or this state was set back: go on under a new epoch.
        What the server says that it holds is let go, the rest of the batch is sent anew."""
        epoch = str(uuid.uuid4()) if self._spool.was_sealed_last(batch) else None
        try:
            rest = stored_samples(answer, batch)
        except BodyUnreadable as error:
            log.error("batch %d: %s", batch.sequence, error)
            rest = None
        if rest is None:
            self._set_aside(batch, answer, now)
            if epoch is not None:
                self._spool.begin_epoch(epoch)
        else:
            self._spool.renumber(batch, rest, epoch=epoch, now=_stamp(now), at=now)
        if epoch is not None:
            log.error(
                "%s: %s The next batches are sent under a new epoch, %s",
                kind, answer.detail(), epoch,
            )  # fmt: skip
        self._renumbered += 1
        # A server that never has enough of this is not asked without a pause.
        return 0.0 if self._renumbered == 1 else backoff_seconds(self._renumbered, 1.0)

    def _set_aside(self, batch: Batch, answer: Answer, now: float) -> None:
        """Keep what was refused: the samples that the server names, or else the whole batch."""
        refused: Batch = batch
        rest: list[Piece] = []
        named = refused_samples(answer, batch)
        if named:
            try:
                refused, rest = split(batch, named)
            except BodyUnreadable as error:
                log.error("batch %d is refused whole: %s", batch.sequence, error)
        reason = answer.detail()
        self._spool.quarantine(
            refused, rest, status=answer.status, reason=reason, now=_stamp(now), at=now
        )
        log.error(
            "batch %d: %d of %d samples were refused with %d and are kept in quarantine: %s",
            batch.sequence, refused.samples, batch.samples, answer.status, reason,
        )  # fmt: skip

    def _put_off(self, reason: str, wait_seconds: float | None) -> float:
        self._failures += 1
        if reason != self._said:
            log.warning("not delivered, will be tried again: %s", reason)
            self._said = reason
            self._spool.note_error(reason)
        if wait_seconds is not None:
            return wait_seconds
        return backoff_seconds(self._failures, random.random())  # noqa: S311  spreads load only
