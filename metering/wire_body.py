"""A batch's body: decoded at once where it keeps the contract, gone through value by value where
it does not, so that the answer can list all that is wrong."""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from math import inf, isinf
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from hostmeter_agent.wire import (
    METER_NAME_PATTERN,
    METERS_PER_SAMPLE_MAX,
    SAMPLES_PER_BATCH_MAX,
    SCHEMA,
    VALUE_MAX,
    WINDOW_AGE_DAYS_MAX,
    WINDOW_AHEAD_SECONDS_MAX,
)
from msgspec import Meta

from metering.core.buckets import BUCKET, bucket_of
from metering.problems import Problem

ERRORS_MAX: Final = 100
SEQUENCE_MAX: Final = 2**63 - 1
UNKNOWN_ENVIRONMENT: Final = "is unknown, or not this host's to use"
# A body with more JSON values than this holds no 5,000 samples of 64 meters; it is not even
# decoded, for its objects would take many times the body's own memory.
_VALUES_MAX: Final = 2_000_000
_SURELY_FEW_BYTES: Final = 2 * 1024 * 1024
_TEXT_PIECE_BYTES: Final = 1024 * 1024
_DIGITS_MAX: Final = 20

_Environments = Callable[[], Collection[str]] | None
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]
Instant = Annotated[datetime, Meta(tz=True)]
Quantity = Annotated[int, Meta(ge=0, le=VALUE_MAX)]
Coverage = Annotated[float, Meta(ge=0, le=1)]
Role = Literal["primary", "replica", "standby"]
Sequence = Annotated[int, Meta(ge=1, le=SEQUENCE_MAX)]


class Sample(msgspec.Struct, gc=False):
    """A sample whose types are right. Names, meters and the window are checked apart: they repeat
    from sample to sample."""

    application: str
    instance: str
    role: Role
    window: tuple[str, str]
    coverage: Coverage
    usage: dict[str, Quantity]
    environment: str | None = None


class _Envelope(msgspec.Struct):
    schema: Literal[1]
    epoch: UUID
    sequence: Sequence
    sent_at: Instant
    samples: list[Sample]


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) within the 5-minute bucket that starts at `bucket`."""

    start: datetime
    end: datetime
    bucket: datetime


# Environment's name as sent (None: the host's own), application, instance.
InstanceName = tuple[str | None, str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that keeps the contract, but for environments, which only the host's records know.

    `instances[i]`, `roles[i]` and `meters[i]` are sample i's; `windows` has each window that
    samples name.
    """

    epoch: UUID
    sequence: int
    sent_at: datetime
    samples: list[Sample]
    instances: list[InstanceName]
    roles: list[str]
    meters: list[tuple[str, ...]]
    windows: dict[tuple[str, str], Window]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value that is out of contract. `index` is its sample's, None for the envelope's."""

    index: int | None
    field: str
    reason: str


class OutOfContract(Problem):
    """422: the batch breaks the wire contract and nothing of it was stored."""

    def __init__(self, errors: list[FieldError]) -> None:
        shown = errors[:ERRORS_MAX]
        super().__init__(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The body breaks the contract; nothing was stored.",
            errors=[msgspec.to_builtins(error) for error in shown],
        )
        self.errors = shown


class WindowOutOfBounds(Exception):
    """A window that is empty, crosses a bucket's end, or is too old or too far ahead."""


_decoder = msgspec.json.Decoder(_Envelope)
_is_name = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}\Z").match
_is_meter = re.compile(METER_NAME_PATTERN.removesuffix("$") + r"\Z").match


def decode_batch(body: bytes, *, as_of: datetime, environments: _Environments = None) -> Batch:
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
        envelope = _decoder.decode(body)
        return checked_batch(
            envelope.epoch, envelope.sequence, envelope.sent_at, envelope.samples, as_of=as_of
        )
    except (msgspec.ValidationError, WindowOutOfBounds) as error:
        errors = errors_in(loosely_decoded(body), as_of, environments)
        # What only a repeated member breaks is gone from the decoded body.
        raise OutOfContract(errors or [FieldError(None, "", str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error


def _check_utf8(body: bytes) -> None:
    """The decoder passes over members that it does not know; JSON is UTF-8 in these as well.

    Raises UnicodeDecodeError.
    """
    decode = getincrementaldecoder("utf-8")().decode
    for first in range(0, len(body), _TEXT_PIECE_BYTES):
        decode(body[first : first + _TEXT_PIECE_BYTES])
    decode(b"", final=True)


def checked_batch(
    epoch: UUID, sequence: int, sent_at: datetime, samples: list[Sample], *, as_of: datetime
) -> Batch:
    """A batch of samples whose types are right already.

    Raises msgspec.ValidationError or WindowOutOfBounds.
    """
    if not 1 <= len(samples) <= SAMPLES_PER_BATCH_MAX:
        raise msgspec.ValidationError("samples")
    instances = [(sample.environment, sample.application, sample.instance) for sample in samples]
    roles: list[str] = [sample.role for sample in samples]
    meters = list(map(tuple, [sample.usage for sample in samples]))
    _check_names(set(instances))
    _check_meters(set(meters))
    spans = {sample.window for sample in samples}
    windows = {span: window_of(*span, as_of=as_of) for span in spans}
    return Batch(epoch, sequence, sent_at, samples, instances, roles, meters, windows)


def _check_names(instances: set[InstanceName]) -> None:
    applications = {application for _, application, _ in instances}
    if not all(map(_is_name, applications.union(instance for _, _, instance in instances))):
        raise msgspec.ValidationError("application or instance")


def _check_meters(every: set[tuple[str, ...]]) -> None:
    for meters in every:
        if len(meters) > METERS_PER_SAMPLE_MAX or not all(map(_is_meter, meters)):
            raise msgspec.ValidationError("usage")


def window_of(start: str, end: str, *, as_of: datetime) -> Window:
    """The window between two RFC 3339 instants.

    Raises msgspec.ValidationError or WindowOutOfBounds.
    """
    starts, ends = _utc(start), _utc(end)
    if ends <= starts:
        raise WindowOutOfBounds("ends no later than it starts")
    bucket = bucket_of(starts)
    if ends - bucket > BUCKET:
        raise WindowOutOfBounds("does not lie within one 5-minute bucket (UTC)")
    if starts < as_of - timedelta(days=WINDOW_AGE_DAYS_MAX):
        raise WindowOutOfBounds(f"starts over {WINDOW_AGE_DAYS_MAX} days ago")
    if ends > as_of + timedelta(seconds=WINDOW_AHEAD_SECONDS_MAX):
        raise WindowOutOfBounds(f"ends over {WINDOW_AHEAD_SECONDS_MAX} s ahead of our clock")
    return Window(starts, ends, bucket)


def _utc(instant: str) -> datetime:
    try:
        return msgspec.convert(instant, Instant).astimezone(UTC)
    except OverflowError as error:
        raise WindowOutOfBounds("lies outside the calendar") from error


def _malformed(error: Exception) -> Problem:
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Problem(HTTPStatus.BAD_REQUEST, f"The body is not well-formed JSON: {reason}")


def loosely_decoded(body: bytes) -> object:
    """Any JSON. Raises Problem 400 where the body is none."""
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        return _decoded_with_huge_numbers(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error


def _decoded_with_huge_numbers(body: bytes) -> object:
    """JSON with a number that no float holds: well-formed, though nothing that the contract has.

    Such numbers become infinite, so that the errors can say where they stand.
    """
    try:
        return json.loads(body, parse_int=_whole_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from error


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else inf


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def errors_in(
    document: object,
    as_of: datetime,
    environments: _Environments = None,
) -> list[FieldError]:
    """The first ERRORS_MAX values of a decoded body that break the contract; none where only a
    repeated member does."""
    errors: list[FieldError] = []
    for error in _envelope_errors(document, as_of, cache(environments) if environments else None):
        errors.append(error)
        if len(errors) == ERRORS_MAX:
            break
    return errors


def _envelope_errors(
    document: object, as_of: datetime, environments: _Environments
) -> Iterator[FieldError]:
    if not isinstance(document, dict):
        yield FieldError(None, "", "has to be a JSON object")
        return
    for name, kind in _ENVELOPE_KINDS.items():
        for reason in reasons(document, name, kind):
            yield FieldError(None, name, reason)
    samples = document.get("samples")
    if not isinstance(samples, list):
        yield FieldError(None, "samples", _unless_missing(document, "samples", "array"))
        return
    if not 1 <= len(samples) <= SAMPLES_PER_BATCH_MAX:
        yield FieldError(None, "samples", f"has to hold 1 to {SAMPLES_PER_BATCH_MAX} samples")
    for index, sample in enumerate(samples[:SAMPLES_PER_BATCH_MAX]):
        for field, reason in _sample_errors(sample, as_of, environments):
            yield FieldError(index, field, reason)


_ENVELOPE_KINDS: Final[dict[str, object]] = {
    "schema": Literal[1],
    "epoch": UUID,
    "sequence": Sequence,
    "sent_at": Instant,
}
_SAMPLE_KINDS: Final[dict[str, object]] = {
    "application": Name,
    "instance": Name,
    "role": Role,
    "coverage": Coverage,
}
assert SCHEMA == 1  # noqa: S101 - Literal[1] above says the same


def reasons(document: dict[str, object], name: str, kind: object) -> Iterator[str]:
    """What is wrong with the value under `name`, if anything."""
    if name not in document:
        yield "is missing"
        return
    reason = _reason(document[name], kind)
    if reason:
        yield reason


def _reason(value: object, kind: object) -> str:
    """Why `value` is not of `kind`, judged as it stands in JSON; "" where it is."""
    if isinstance(value, float) and isinf(value):
        return "is out of bounds"
    try:
        # Through JSON: in there 1.0 is no integer and a string no number.
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError as error:
        return str(error)
    except (ValueError, TypeError, OverflowError):
        return "is out of bounds"
    return ""


def _unless_missing(document: dict[str, object], name: str, wanted: str) -> str:
    return f"has to be a JSON {wanted}" if name in document else "is missing"


def _sample_errors(
    sample: object, as_of: datetime, environments: _Environments
) -> Iterator[tuple[str, str]]:
    if not isinstance(sample, dict):
        yield "", "has to be a JSON object"
        return
    for name, kind in _SAMPLE_KINDS.items():
        for reason in reasons(sample, name, kind):
            yield name, reason
    environment = sample.get("environment")
    if environment is not None and not isinstance(environment, str):
        yield "environment", "has to be a string or null"
    elif environment is not None and environments and environment not in environments():
        yield "environment", UNKNOWN_ENVIRONMENT
    window_reason = _window_reason(sample, as_of)
    if window_reason:
        yield "window", window_reason
    if isinstance(sample.get("usage"), dict):
        yield from _usage_errors(sample["usage"])
    else:
        yield "usage", _unless_missing(sample, "usage", "object")


def _window_reason(sample: dict[str, object], as_of: datetime) -> str:
    if "window" not in sample:
        return "is missing"
    try:
        span = msgspec.convert(sample["window"], tuple[str, str])
        window_of(*span, as_of=as_of)
    except (msgspec.ValidationError, WindowOutOfBounds) as error:
        return str(error)
    return ""


def _usage_errors(usage: dict[str, object]) -> Iterator[tuple[str, str]]:
    if len(usage) > METERS_PER_SAMPLE_MAX:
        yield "usage", f"has over {METERS_PER_SAMPLE_MAX} meters"
    for meter, value in list(usage.items())[: METERS_PER_SAMPLE_MAX + 1]:
        field = f"usage.{meter}"
        if not _is_meter(meter):
            yield field[:80], "is no meter's name: 1 to 64 of a-z 0-9 . _"
        elif type(value) is not int or not 0 <= value <= VALUE_MAX:
            yield field, "has to be an integer from 0 to 2^63 - 1"
