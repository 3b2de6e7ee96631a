"""Samples as rows of PostgreSQL's binary COPY format.

A batch's rows differ little: the same meters, the same windows, the same instances. Bytes that
repeat are packed once, and the quantities of all rows that have the batch's usual meters at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from struct import Struct, pack
from typing import Final
from uuid import UUID

from hostmeter_agent.wire import METERS, METERS_BY_NAME, ROLES, SAMPLES_PER_BATCH_MAX

from metering.wire_body import Batch, InstanceName, Sample, Window

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_LENGTH_8: Final = pack(">i", 8)
_FIELD_BYTES: Final = 12
_JSONB_VERSION: Final = 1
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

# The columns before the meters', in the order in which rows are put together here.
_KEY_COLUMNS: Final = (
    "tenant_id",
    "batch_id",
    "application_id",
    "instance_id",
    "role",
    "window_start",
    "window_end",
    "batch_index",
    "coverage_ppm",
)

_pack_start: Final = Struct(">h i16s i16s").pack
_pack_ids: Final = Struct(">i16s i16s").pack
_pack_window: Final = Struct(">iq iq").pack
_PACKED_ROLES: Final = {role: pack(">i", len(role)) + role.encode() for role in ROLES}
_INDEXES: Final = [pack(">ih", 2, index) for index in range(SAMPLES_PER_BATCH_MAX)]

_Meters = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstanceIds:
    """What an instance's names in a sample stand for."""

    application_id: UUID
    instance_id: UUID
    packed: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        packed = _pack_ids(16, self.application_id.bytes, 16, self.instance_id.bytes)
        object.__setattr__(self, "packed", packed)


@dataclass(frozen=True, slots=True)
class CopyStream:
    """A COPY of a batch's samples: the columns, in the order of the rows, and the whole stream."""

    columns: tuple[str, ...]
    data: bytes

    def statement(self, table: str) -> bytes:
        return f"COPY {table} ({', '.join(self.columns)}) FROM STDIN (FORMAT BINARY)".encode()


def copy_stream(
    batch: Batch, *, tenant_id: UUID, batch_id: UUID, ids: Mapping[InstanceName, InstanceIds]
) -> CopyStream:
    """The batch's samples as rows. The columns of the meters that its first sample has come
    first, in that sample's order, so that most rows need no sorting; columns that no sample fills
    are left out."""
    shapes = set(batch.meters)
    usual = tuple(meter for meter in batch.meters[0] if meter in METERS_BY_NAME)
    others = {meter for shape in shapes for meter in shape}.difference(usual)
    order = (*usual, *(meter.name for meter in METERS if meter.name in others))
    has_more = len(order) < len(usual) + len(others)
    columns = (*_KEY_COLUMNS, *(METERS_BY_NAME[meter].column for meter in order))
    columns += ("more",) if has_more else ()
    start = _pack_start(len(columns), 16, tenant_id.bytes, 16, batch_id.bytes)
    rows = zip(
        *_row_heads(batch, start, ids),
        _row_tails(batch, usual, order, has_more=has_more),
        strict=True,
    )
    return CopyStream(columns, b"".join((SIGNATURE, *chain.from_iterable(rows), TRAILER)))


def _row_heads(
    batch: Batch, start: bytes, ids: Mapping[InstanceName, InstanceIds]
) -> tuple[list[bytes], ...]:
    """Each row up to its coverage, in four pieces."""
    samples = batch.samples
    instances = {
        (name, role): start + ids[name].packed + _PACKED_ROLES[role]
        for name, role in set(zip(batch.instances, batch.roles, strict=True))
    }
    windows = {span: _packed_window(window) for span, window in batch.windows.items()}
    coverages = {
        coverage: pack(">ii", 4, coverage_ppm(coverage))
        for coverage in {sample.coverage for sample in samples}
    }
    return (
        [instances[key] for key in zip(batch.instances, batch.roles, strict=True)],
        [windows[sample.window] for sample in samples],
        _INDEXES[: len(samples)],
        [coverages[sample.coverage] for sample in samples],
    )


def _packed_window(window: Window) -> bytes:
    return _pack_window(8, _microseconds(window.start), 8, _microseconds(window.end))


def _microseconds(instant: datetime) -> int:
    since = instant - _POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def coverage_ppm(coverage: float) -> int:
    """A coverage of 0 to 1 in millionths."""
    return round(coverage * 1_000_000)


def _row_tails(batch: Batch, usual: _Meters, order: _Meters, *, has_more: bool) -> list[bytes]:
    """Each row from its first meter on: quantities, NULLs, and the meters without a column."""
    alike = [
        sample
        for sample, meters in zip(batch.samples, batch.meters, strict=True)
        if meters == usual
    ]
    nulls = _NULL * (len(order) - len(usual) + has_more)
    tails_alike = _tails_alike(alike, len(usual), nulls)
    if len(alike) == len(batch.samples):
        return tails_alike
    following = iter(tails_alike)
    return [
        next(following) if meters == usual else _tail(sample.usage, order, has_more=has_more)
        for sample, meters in zip(batch.samples, batch.meters, strict=True)
    ]


def _tails_alike(samples: list[Sample], meters: int, nulls: bytes) -> list[bytes]:
    """The tails of rows that all have the usual meters in the usual order: the quantities follow
    one another, each behind its length, and then come NULLs only."""
    if meters == 0:
        return [nulls] * len(samples)
    quantities = list(chain.from_iterable([sample.usage.values() for sample in samples]))
    raw = pack(f">{len(quantities)}q", *quantities)
    fields = bytearray((_LENGTH_8 + bytes(8)) * len(quantities))
    for byte in range(8):
        fields[4 + byte :: _FIELD_BYTES] = raw[byte::8]
    size = _FIELD_BYTES * meters
    whole = bytes(fields)
    tails = [whole[first : first + size] for first in range(0, len(whole), size)]
    return [tail + nulls for tail in tails] if nulls else tails


def _tail(usage: Mapping[str, int], order: _Meters, *, has_more: bool) -> bytes:
    known = [usage.get(meter) for meter in order]
    fields = [_NULL if value is None else _LENGTH_8 + value.to_bytes(8, "big") for value in known]
    if has_more:
        more = {meter: value for meter, value in usage.items() if meter not in METERS_BY_NAME}
        fields.append(_packed_more(more))
    return b"".join(fields)


def _packed_more(more: Mapping[str, int]) -> bytes:
    if not more:
        return _NULL
    text = json.dumps(more).encode()
    return pack(">ib", len(text) + 1, _JSONB_VERSION) + text
