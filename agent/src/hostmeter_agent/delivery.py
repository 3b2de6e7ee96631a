"""Delivery: seals what is queued into batches and sends them until the server has them."""

import logging
import random
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hostmeter_agent.compression import compression
from hostmeter_agent.quarantine import BodyUnreadable, refused_samples, split
from hostmeter_agent.signing import signed_headers
from hostmeter_agent.spool import SAMPLES_PER_BATCH, Batch, Identity, Piece, Spool, batch_body
from hostmeter_agent.transport import Answer, Server, ServerUnreachable, parse_server
from hostmeter_agent.wire import BATCHES_PATH

log = logging.getLogger("hostmeter_agent")

BACKOFF_FIRST_SECONDS: Final = 1.0
BACKOFF_MAX_SECONDS: Final = 300.0
RETRY_AFTER_MAX_SECONDS: Final = 3_600.0
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
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
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


class Delivery:
    """Sends the spool's content, oldest first; one batch at a time."""

    def __init__(
        self, spool: Spool, identity: Identity, key: Ed25519PrivateKey, *, delay_seconds: int
    ) -> None:
        self._spool = spool
        self._identity = identity
        self._key = key
        self._server: Server = parse_server(identity.server)
        self._delay_seconds = delay_seconds
        self._encoding, self._compress = compression()
        self._failures = 0
        self._said = ""

    def seal_due(self, now: float) -> bool:
        """Make a batch when 1,000 samples wait or the oldest has waited long enough."""
        waiting, oldest = self._spool.queued()
        if oldest is None:
            return False
        # A clock set back must not hold samples: an age below zero is due, too.
        young = 0 <= now - oldest < self._delay_seconds
        if waiting < SAMPLES_PER_BATCH and young:
            return False
        due = self._spool.next_pieces()
        sequence = self._spool.next_sequence()
        epoch = self._spool.sealing_epoch()
        body = batch_body(epoch, sequence, _stamp(now), due.pieces, due.measurements)
        batch = Batch(sequence, due.samples, self._encoding, self._compress(body))
        self._spool.seal(batch, last_window=due.last_window, at=now)
        return True

    def attempt(self, batch: Batch, now: float) -> Answer:
        """Send a batch once, signed anew. Raises ServerUnreachable."""
        path = self._server.path(BATCHES_PATH)
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": batch.encoding,
            **signed_headers(
                self._key, self._identity.key_id, method="POST", path=path, body=batch.body,
                created=int(now),
            ),
        }  # fmt: skip
        return self._server.post(path, batch.body, headers)

    def step(self, now: float) -> float | None:
        """Deliver the oldest batch. Seconds to wait before the next try; None when all is done."""
        while self.seal_due(now):
            pass
        batch = self._spool.oldest_batch()
        if batch is None:
            return None
        try:
            answer = self.attempt(batch, now)
        except ServerUnreachable as error:
            return self._put_off(str(error), None)
        verdict = judge(answer, batch, now=datetime.fromtimestamp(now, UTC))
        if verdict.action == "retry":
            reason = f"{self._server.url} answered {answer.status}: {verdict.reason}"
            return self._put_off(reason, verdict.wait_seconds)
        self._settle(batch, verdict, answer, now)
        return 0.0

    def _settle(self, batch: Batch, verdict: Verdict, answer: Answer, now: float) -> None:
        if self._failures:
            log.warning("delivering again to %s", self._server.url)
        self._failures, self._said = 0, ""
        if verdict.action == "acknowledge":
            self._spool.acknowledge(batch, now=_stamp(now))
            return
        self._set_aside(batch, answer, now)
        kind = str(answer.fields().get("type"))
        if answer.status == 409 and kind in _NUMBERED_ANEW and self._spool.was_sealed_last(batch):
            epoch = str(uuid.uuid4())
            self._spool.begin_epoch(epoch)
            log.error("%s: the next batches are sent under a new epoch, %s", kind, epoch)

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


class DeliveryThread(threading.Thread):
    """Runs the delivery beside the measuring, which a slow server must not hold up."""

    def __init__(
        self, path: Path, identity: Identity, key: Ed25519PrivateKey, *, delay_seconds: int
    ) -> None:
        super().__init__(name="delivery", daemon=True)
        self._path, self._identity, self._key = path, identity, key
        self._delay_seconds = delay_seconds
        self._stopping = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            spool = Spool(self._path)
            delivery = Delivery(spool, self._identity, self._key, delay_seconds=self._delay_seconds)
            while not self._stopping.is_set():
                wait = delivery.step(time.time())
                self._stopping.wait(1.0 if wait is None else wait)
        except Exception as error:  # noqa: BLE001  told to the main thread, which ends on it
            self.failure = error

    def stop(self) -> None:
        self._stopping.set()
