"""A batch's body: decoded at once where it keeps the contract, gone through value by value where
it does not, so that the answer can list all that is wrong."""

from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from hostmeter_agent.wire import (
    METERS,
    METERS_BY_NAME,
    METERS_PER_SAMPLE_MAX,
    SAMPLES_PER_BATCH_MAX,
)
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from metering.wire_errors import (
    Environments,
    FieldError,
    OutOfContract,
    errors_in,
    loosely_decoded,
    malformed,
)
from metering.wire_measurements import (
    Measurements,
    SentProfile,
    named,
    sent_profiles,
    unavailable_among,
)
from metering.wire_values import (
    Coverage,
    Instant,
    OutsideCalendar,
    Quantity,
    Role,
    Sequence,
    Window,
    WindowOutOfBounds,
    is_meter,
    is_name,
    utc_of,
    window_of,
)

# A body with more JSON values than this holds no 5,000 samples of 64 meters; it is not even
# decoded, for its objects would take many times the body's own memory.
_VALUES_MAX: Final = 2_000_000
_SURELY_FEW_BYTES: Final = 2 * 1024 * 1024
_TEXT_PIECE_BYTES: Final = 1024 * 1024

# Environment's name as sent (None: the host's own), application, instance.
InstanceName = tuple[str | None, str, str]
# The same, the sample's role, and the key of its profile (None: not stated). All that repeats from
# window to window is one look-up a sample.
Source = tuple[str | None, str, str, str, str | None]
Span = tuple[str, str]
Row = tuple[int | UnsetType, ...]

_Usage = TypeVar("_Usage")


class _Sample(msgspec.Struct, Generic[_Usage], gc=False):
    """A sample whose types are right. Names, meters and the window are checked apart: they repeat
    from sample to sample."""

    application: str
    instance: str
    role: Role
    window: Span
    coverage: Coverage
    usage: _Usage
    environment: str | None = None
    measured: str | None = None


class _Envelope(msgspec.Struct, Generic[_Usage]):
    schema: Literal[1]
    epoch: UUID
    sequence: Sequence
    sent_at: Instant
    samples: list[_Sample[_Usage]]
    measurements: Measurements = {}


# Usage of built-in meters alone, as nearly all is: half the price of a dictionary.
_BuiltIn: type[msgspec.Struct] = msgspec.defstruct(
    "_BuiltIn",
    [
        (meter.column, Quantity | UnsetType, msgspec.field(default=UNSET, name=meter.name))
        for meter in METERS
    ],
    gc=False,
    forbid_unknown_fields=True,
)
assert len(METERS) <= METERS_PER_SAMPLE_MAX  # noqa: S101 - so that such usage keeps the bound

_decode_built_in: Callable[[bytes], _Envelope[msgspec.Struct]] = msgspec.json.Decoder(
    _Envelope[_BuiltIn]  # type: ignore[valid-type]  # made above, from the contract's meters
).decode
_decode_any = msgspec.json.Decoder(_Envelope[dict[str, Quantity]]).decode
_source_of: Callable[[_Sample[Any]], Source] = attrgetter(
    "environment", "application", "instance", "role", "measured"
)


@dataclass(frozen=True, slots=True)
class Quantities:
    """What the samples measured: a row a sample, its places named by `meters`, all built in.

    UNSET stands where a sample has no such meter. `more` holds what each sample has beside them.
    """

    meters: tuple[str, ...]
    rows: list[Row]
    more: list[dict[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that keeps the contract, but for environments, which only the host's records know.

    `sources[i]`, `spans[i]`, `coverages[i]` and `quantities.rows[i]` are sample i's; `windows` has
    each window that samples name, `measurements` each profile that they name.
    """

    epoch: UUID
    sequence: int
    sent_at: datetime
    sources: list[Source]
    distinct_sources: frozenset[Source]
    spans: list[Span]
    coverages: list[float]
    windows: dict[Span, Window]
    quantities: Quantities
    measurements: dict[str, SentProfile]

    @property
    def samples(self) -> int:
        return len(self.sources)


def decode_batch(body: bytes, *, as_of: datetime, environments: Environments = None) -> Batch:
    """The batch in an inflated body. Raises Problem 400 for what is no JSON, OutOfContract else.

    `environments` names those that the host may use. It is asked only for a list of errors, so
    that the list is complete; a batch that keeps the contract is judged against them elsewhere.
    """
    if len(body) > _SURELY_FEW_BYTES and sum(map(body.count, (b",", b":", b"[", b"{"))) > (
        _VALUES_MAX
    ):
        raise OutOfContract([FieldError(None, "samples", "holds too many values")])
    try:
        if not body.isascii():
            _check_utf8(body)
        return _decoded(body, as_of)
    except (msgspec.ValidationError, OutsideCalendar, WindowOutOfBounds) as error:
        errors = errors_in(loosely_decoded(body), as_of, environments)
        # What only a repeated member breaks is gone from the decoded body.
        raise OutOfContract(errors or [FieldError(None, "", str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error


def _check_utf8(body: bytes) -> None:
    """The decoder passes over members that it does not know; JSON is UTF-8 in these as well.

    Raises UnicodeDecodeError.
    """
    decode = getincrementaldecoder("utf-8")().decode
    for first in range(0, len(body), _TEXT_PIECE_BYTES):
        decode(body[first : first + _TEXT_PIECE_BYTES])
    decode(b"", final=True)


def _decoded(body: bytes, as_of: datetime) -> Batch:
    try:
        built_in = _decode_built_in(body)
    except msgspec.ValidationError:
        anything = _decode_any(body)
        return _checked(anything, _quantities_of_any, as_of)
    return _checked(built_in, _quantities_of_built_in, as_of)


def _checked(
    envelope: _Envelope[_Usage],
    quantities_of: Callable[[list[_Usage]], Quantities],
    as_of: datetime,
) -> Batch:
    """Raises msgspec.ValidationError, OutsideCalendar or WindowOutOfBounds."""
    samples = envelope.samples
    if not 1 <= len(samples) <= SAMPLES_PER_BATCH_MAX:
        raise msgspec.ValidationError("samples")
    sources = list(map(_source_of, samples))
    distinct_sources = frozenset(sources)
    _check_names(distinct_sources)
    spans = [sample.window for sample in samples]
    quantities = quantities_of([sample.usage for sample in samples])
    profiles = sent_profiles(envelope.measurements)
    measurements = named((source[4] for source in distinct_sources), profiles)
    _check_measured(sources, measurements, quantities)
    return Batch(
        epoch=envelope.epoch,
        sequence=envelope.sequence,
        sent_at=utc_of(envelope.sent_at),
        sources=sources,
        distinct_sources=distinct_sources,
        spans=spans,
        coverages=[sample.coverage for sample in samples],
        windows={span: window_of(*span, as_of=as_of) for span in set(spans)},
        quantities=quantities,
        measurements=measurements,
    )


def _check_names(sources: frozenset[Source]) -> None:
    names = {source[1] for source in sources}.union(source[2] for source in sources)
    if not all(map(is_name, names)):
        raise msgspec.ValidationError("application or instance")


def _check_measured(
    sources: list[Source], profiles: Mapping[str, SentProfile], quantities: Quantities
) -> None:
    """No sample has a quantity of what its profile says could not be measured."""
    for key, profile in profiles.items():
        meters = unavailable_among(profile.measurement, quantities.meters)
        places = [quantities.meters.index(meter) for meter in meters]
        if quantities.more is None and not places:
            continue
        for index, source in enumerate(sources):
            if source[4] != key:
                continue
            more = quantities.more[index] if quantities.more else {}
            if unavailable_among(profile.measurement, more) or any(
                quantities.rows[index][place] is not UNSET for place in places
            ):
                raise msgspec.ValidationError("usage of what is unavailable")


def _quantities_of_built_in(usages: list[msgspec.Struct]) -> Quantities:
    """The rows have the meters of the first sample, unless a later one has others as well."""
    whole: list[Row] = list(map(astuple, usages))
    used = tuple(place for place, value in enumerate(whole[0]) if value is not UNSET)
    unused = tuple(place for place in range(len(METERS)) if place not in used)
    if list(map(_places(unused), whole)).count((UNSET,) * len(unused)) < len(whole):
        used = tuple(place for place in range(len(METERS)) if _is_used(place, whole))
    return Quantities(tuple(METERS[place].name for place in used), list(map(_places(used), whole)))


def _is_used(place: int, rows: list[Row]) -> bool:
    return any(row[place] is not UNSET for row in rows)


@lru_cache(maxsize=64)
def _places(places: tuple[int, ...]) -> Callable[[Row], Row]:
    """A row's values at some places."""
    if len(places) > 1:
        several: Callable[[Row], Row] = itemgetter(*places)
        return several
    # itemgetter would give the one value itself, and refuses to give none.
    return lambda row: tuple(row[place] for place in places)


def _quantities_of_any(usages: list[dict[str, int]]) -> Quantities:
    """Raises msgspec.ValidationError for a meter's name, or too many meters."""
    for meters in set(map(tuple, usages)):
        if len(meters) > METERS_PER_SAMPLE_MAX or not all(map(is_meter, meters)):
            raise msgspec.ValidationError("usage")
    named = {name for usage in usages for name in usage}
    meters = tuple(meter.name for meter in METERS if meter.name in named)
    rows: list[Row] = [tuple([usage.get(name, UNSET) for name in meters]) for usage in usages]
    more = [
        {name: value for name, value in usage.items() if name not in METERS_BY_NAME}
        for usage in usages
    ]
    return Quantities(meters, rows, more if named.difference(METERS_BY_NAME) else None)
