"""What was refused for good: which of a batch's samples, and how they come back into the queue."""

import gzip
import json
import zlib
from contextlib import closing
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.server.compression import zstd_module
from hostmeter_agent.server.transport import Answer
from hostmeter_agent.store.spool import Batch, Piece, Spool, encode_rows
from hostmeter_agent.store.state import StateDirectory

PIECES: Final = "pieces"
"""The encoding of samples that are in no batch: their JSON, separated by commas."""

Sample = dict[str, object]


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
