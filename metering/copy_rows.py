"""Samples as rows of PostgreSQL's binary COPY format.

A batch's rows differ little: the same meters, the same windows, the same instances. Bytes that
repeat are packed once, and quantities with one call a row.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from struct import Struct, pack
from types import MappingProxyType
from typing import Final
from uuid import UUID

from hostmeter_agent.wire import METERS_BY_NAME, ROLES, SAMPLES_PER_BATCH_MAX
from msgspec import UNSET, UnsetType

from metering.wire_body import Batch, InstanceName, Quantities, Row
from metering.wire_values import Window

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_LENGTH_8: Final = pack(">i", 8)
_FIELD_BYTES: Final = 12
_JSONB_VERSION: Final = 1
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

# The columns before the meters', in the order in which rows are put together here.
_SOURCE_COLUMNS: Final = ("tenant_id", "batch_id", "application_id", "instance_id", "role")
_WINDOW_COLUMNS: Final = ("window_start", "window_end", "batch_index", "coverage_ppm")

_pack_start: Final = Struct(">h i16s i16s").pack
_pack_ids: Final = Struct(">i16s i16s").pack
_pack_window: Final = Struct(">iq iq").pack
_pack_id: Final = Struct(">i16s").pack
_PACKED_ROLES: Final = {role: pack(">i", len(role)) + role.encode() for role in ROLES}
_INDEXES: Final = [pack(">ih", 2, index) for index in range(SAMPLES_PER_BATCH_MAX)]


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
    batch: Batch,
    *,
    tenant_id: UUID,
    batch_id: UUID,
    ids: Mapping[InstanceName, InstanceIds],
    measurements: Mapping[str, UUID] = MappingProxyType({}),
) -> CopyStream:
    """The batch's samples as rows. Columns that no sample fills are left out. `measurements` has
    the stored profile for each key that samples name."""
    quantities = batch.quantities
    columns = _SOURCE_COLUMNS + (("measurement_id",) if batch.measurements else ())
    columns += _WINDOW_COLUMNS
    columns += tuple(METERS_BY_NAME[meter].column for meter in quantities.meters)
    columns += ("more",) if quantities.more is not None else ()
    start = _pack_start(len(columns), 16, tenant_id.bytes, 16, batch_id.bytes)
    heads = _row_heads(batch, start, ids, _packed_measurements(batch, measurements))
    rows = zip(*heads, *_row_tails(quantities), strict=True)
    return CopyStream(columns, b"".join((SIGNATURE, *chain.from_iterable(rows), TRAILER)))


def _row_heads(
    batch: Batch,
    start: bytes,
    ids: Mapping[InstanceName, InstanceIds],
    measured: Mapping[str | None, bytes],
) -> tuple[list[bytes], ...]:
    """Each row up to its coverage, in four pieces."""
    sources = {
        source: start + ids[source[:3]].packed + _PACKED_ROLES[source[3]] + measured[source[4]]
        for source in batch.distinct_sources
    }
    windows = {span: _packed_window(window) for span, window in batch.windows.items()}
    coverages = {
        coverage: pack(">ii", 4, coverage_ppm(coverage)) for coverage in set(batch.coverages)
    }
    return (
        [sources[source] for source in batch.sources],
        [windows[span] for span in batch.spans],
        _INDEXES[: batch.samples],
        [coverages[coverage] for coverage in batch.coverages],
    )


def _packed_measurements(
    batch: Batch, measurements: Mapping[str, UUID]
) -> Mapping[str | None, bytes]:
    """The column of the profile by the key that samples give it; without one there is no column."""
    if not batch.measurements:
        return {None: b""}
    packed: dict[str | None, bytes] = {
        key: _pack_id(16, measurements[key].bytes) for key in batch.measurements
    }
    return packed | {None: _NULL}


def _packed_window(window: Window) -> bytes:
    return _pack_window(8, _microseconds(window.start), 8, _microseconds(window.end))


def _microseconds(instant: datetime) -> int:
    since = instant - _POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def coverage_ppm(coverage: float) -> int:
    """A coverage of 0 to 1 in millionths."""
    return round(coverage * 1_000_000)


def _row_tails(quantities: Quantities) -> Iterator[list[bytes]]:
    """Each row from its first meter on, in one or two pieces."""
    try:
        yield _complete_rows(quantities.rows, len(quantities.meters))
    except struct.error:  # some sample lacks some meter
        yield [_row(row) for row in quantities.rows]
    if quantities.more is not None:
        yield list(map(_packed_more, quantities.more))


def _complete_rows(rows: list[Row], meters: int) -> list[bytes]:
    """Rows of quantities, each behind its length. Raises struct.error where one is missing."""
    if meters == 0:
        return [b""] * len(rows)
    pack_row = _row_packer(meters)
    fields = bytearray(b"".join([pack_row(*row) for row in rows]))
    _put_lengths(fields)
    size, whole = meters * _FIELD_BYTES, bytes(fields)
    return [whole[first : first + size] for first in range(0, len(whole), size)]


def _row(row: Row) -> bytes:
    try:
        fields = bytearray(_row_packer(len(row))(*row))
    except struct.error:
        return b"".join(map(_packed_quantity, row))
    _put_lengths(fields)
    return bytes(fields)


@cache
def _row_packer(meters: int) -> Callable[..., bytes]:
    """Quantities with room before each for its length. It raises struct.error for UNSET."""
    return Struct(">" + "4xq" * meters).pack


def _put_lengths(fields: bytearray) -> None:
    """They are all alike: 8, of whose four bytes only the last is not 0."""
    fields[3::_FIELD_BYTES] = b"\x08" * (len(fields) // _FIELD_BYTES)


def _packed_quantity(quantity: int | UnsetType) -> bytes:
    return _NULL if quantity is UNSET else _LENGTH_8 + quantity.to_bytes(8, "big")


def _packed_more(more: Mapping[str, int]) -> bytes:
    if not more:
        return _NULL
    text = json.dumps(more).encode()
    return pack(">ib", len(text) + 1, _JSONB_VERSION) + text
