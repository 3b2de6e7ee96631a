"""Batches and the pieces that they are made of: plain values and their bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hostmeter_agent.wire import SCHEMA

SAMPLES_PER_BATCH: Final = 1_000


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
