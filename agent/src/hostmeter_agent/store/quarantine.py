"""What was refused for good: which of a batch's samples, and how they come back into the queue."""

import gzip
import json
import zlib
from contextlib import closing
from typing import Any, Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.compression import zstd_module
from hostmeter_agent.server.transport import Answer
from hostmeter_agent.store.coalescing import at_ms
from hostmeter_agent.store.spool import Batch, Piece, Spool, encode_rows
from hostmeter_agent.store.state import StateDirectory
from hostmeter_agent.wire import WINDOW_AHEAD_SECONDS_MAX

PIECES: Final = "pieces"
"""The encoding of samples that are in no batch: their JSON, separated by commas."""

Sample = dict[str, object]
_LOOKED_AT_MAX: Final = 100


class NothingQuarantined(AgentError):
    """There is nothing of this identity to bring back."""


class BodyUnreadable(AgentError):
    """A batch that this agent cannot read again."""


def samples_in(encoding: str, body: bytes) -> list[Sample]:
    """The samples of a batch, or of pieces. Raises BodyUnreadable."""
    try:
        if encoding == PIECES:
            content = json.loads(b"[" + body + b"]")
        else:
            content = json.loads(_inflated(encoding, body))["samples"]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise BodyUnreadable(f"a batch in {encoding} cannot be read: {error}") from error
    return list(content)


def _inflated(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    zstd = zstd_module()
    if encoding != "zstd" or zstd is None:
        raise ValueError("this Python has no such decoder")
    try:
        return bytes(zstd.decompress(body))
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def refused_samples(answer: Answer, batch: Batch) -> frozenset[int]:
    """The samples of a batch that a 422 names, where it names some, not all, and nothing else."""
    errors = answer.fields().get("errors")
    if answer.status != 422 or not isinstance(errors, list):
        return frozenset()
    named = set()
    for error in errors:
        index = error.get("index") if isinstance(error, dict) else None
        if type(index) is not int or not 0 <= index < batch.samples:
            return frozenset()
        named.add(index)
    return frozenset(named) if len(named) < batch.samples else frozenset()


def stored_samples(answer: Answer, batch: Batch) -> list[Piece] | None:
    """What is left of a batch whose number is taken, without the samples of which the server says
    that it holds them; None where it does not say. Raises BodyUnreadable."""
    fields = answer.fields()
    # An epoch that is another host's: nothing of this host is stored under it.
    indexes = [] if fields.get("type") == "epoch-in-use" else fields.get("stored")
    if not isinstance(indexes, list) or not all(type(index) is int for index in indexes):
        return None
    samples = samples_in(batch.encoding, batch.body)
    held = frozenset(indexes)
    return encode_rows([sample for index, sample in enumerate(samples) if index not in held])


def split(batch: Batch, refused: frozenset[int]) -> tuple[Batch, list[Piece]]:
    """(the refused samples, the rest as pieces to be queued again). Raises BodyUnreadable."""
    samples = samples_in(batch.encoding, batch.body)
    bad = [sample for index, sample in enumerate(samples) if index in refused]
    rest = [sample for index, sample in enumerate(samples) if index not in refused]
    body = b",".join(piece.body for piece in encode_rows(bad))
    return Batch(batch.sequence, len(bad), PIECES, body), encode_rows(rest)


def release_ripe(spool: Spool, *, now: float) -> int:
    """Queue again what was refused because its windows were ahead of the server's clock, as they
    are when this host's clock was ahead, and no longer are; how many samples.

    Raises SpoolUnusable.
    """
    rows = spool.select(
        "SELECT id, encoding, body, at FROM quarantine WHERE status = 422"
        " AND epoch = (SELECT epoch FROM identity) ORDER BY id DESC LIMIT ?",
        (_LOOKED_AT_MAX,),
    ).fetchall()
    released = 0
    for identifier, encoding, body, at in rows:
        try:
            samples = samples_in(encoding, body)
            ends_ms = [at_ms(end) for end in _ends(samples)]
        except (BodyUnreadable, ValueError, TypeError, KeyError):
            continue  # it stays, and `requeue` says why
        early = at_ms(at) + WINDOW_AHEAD_SECONDS_MAX * 1_000 < min(ends_ms)
        if early and max(ends_ms) <= now * 1_000:
            spool.release(identifier, encode_rows(samples), at=now)
            released += len(samples)
    return released


def _ends(samples: list[Any]) -> list[str]:
    return [sample["window"][1] for sample in samples]


def requeue(state: StateDirectory, *, now: float) -> tuple[int, int]:
    """Queue what the present identity has in quarantine, to be sent in new batches.

    Returns (samples queued, samples of former identities that stay). Raises NothingQuarantined,
    BodyUnreadable and SpoolUnusable.
    """
    if not state.spool.exists():
        raise NothingQuarantined(f"{state.path} has no spool")
    with closing(Spool(state.spool)) as spool:
        queued = 0
        while (held := spool.oldest_quarantined()) is not None:
            identifier, batch = held
            samples = samples_in(batch.encoding, batch.body)
            spool.release(identifier, encode_rows(samples), at=now)
            queued += len(samples)
        staying = spool.quarantined_samples()
    if not queued:
        kept = f" ({staying} samples of former identities stay)" if staying else ""
        raise NothingQuarantined(f"nothing of this identity is quarantined{kept}")
    return queued, staying
