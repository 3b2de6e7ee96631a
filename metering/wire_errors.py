"""What is wrong with a body, value by value: slow, and only for bodies that are refused."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from math import inf, isinf
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from hostmeter_agent.wire import (
    MARKS_PER_MEASUREMENT_MAX,
    MEASUREMENTS_PER_BATCH_MAX,
    METERS_PER_SAMPLE_MAX,
    QUALITIES,
    SAMPLES_PER_BATCH_MAX,
    SCHEMA,
    VALUE_MAX,
)

from metering.wire_measurements import Cause, How, Measurement
from metering.wire_values import (
    Coverage,
    Instant,
    Name,
    OutsideCalendar,
    Role,
    Sequence,
    WindowOutOfBounds,
    is_measurement_key,
    is_meter,
    utc_of,
    window_of,
)
from tenants.problems import Problem

ERRORS_MAX: Final = 100
UNKNOWN_ENVIRONMENT: Final = "is unknown, or not this host's to use"
_DIGITS_MAX: Final = 20
_FIELD_LENGTH_MAX: Final = 160

Environments = Callable[[], Collection[str]] | None


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


def malformed(error: Exception) -> Problem:
    """400 for a body that is no JSON."""
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Problem(HTTPStatus.BAD_REQUEST, f"The body is not well-formed JSON: {reason}")


def loosely_decoded(body: bytes) -> object:
    """Any JSON. Raises Problem 400 where the body is none."""
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        return _decoded_with_huge_numbers(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from error


def _decoded_with_huge_numbers(body: bytes) -> object:
    """JSON with a number that no float holds: well-formed, though nothing that the contract has.

    Such numbers become infinite, so that the errors can say where they stand.
    """
    try:
        return json.loads(body, parse_int=_whole_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise malformed(error) from error


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else inf


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def errors_in(
    document: object,
    as_of: datetime,
    environments: Environments = None,
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
    document: object, as_of: datetime, environments: Environments
) -> Iterator[FieldError]:
    if not isinstance(document, dict):
        yield FieldError(None, "", "has to be a JSON object")
        return
    for name, kind in _ENVELOPE_KINDS.items():
        for reason in reasons(document, name, kind):
            yield FieldError(None, name, reason)
    for field, reason in _measurement_errors(document):
        yield FieldError(None, field[:_FIELD_LENGTH_MAX], reason)
    samples = document.get("samples")
    if not isinstance(samples, list):
        yield FieldError(None, "samples", _unless_missing(document, "samples", "array"))
        return
    if not 1 <= len(samples) <= SAMPLES_PER_BATCH_MAX:
        yield FieldError(None, "samples", f"has to hold 1 to {SAMPLES_PER_BATCH_MAX} samples")
    profiles = document.get("measurements")
    for index, sample in enumerate(samples[:SAMPLES_PER_BATCH_MAX]):
        for field, reason in _sample_errors(sample, as_of, environments):
            yield FieldError(index, field, reason)
        for field, reason in _measured_errors(sample, profiles):
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


def decoded_object(
    body: bytes, kinds: Mapping[str, object]
) -> tuple[dict[str, Any], list[FieldError]]:
    """A JSON object with the members that `kinds` names, and what is wrong with these; others are
    let through. Raises OutOfContract (422) for a body that is no object."""
    try:
        document = loosely_decoded(body)
    except Problem as malformed:
        raise OutOfContract([FieldError(None, "", str(malformed))]) from malformed
    if not isinstance(document, dict):
        raise OutOfContract([FieldError(None, "", "has to be a JSON object")])
    return document, [
        FieldError(None, name, reason)
        for name, kind in kinds.items()
        for reason in reasons(document, name, kind)
    ]


def _reason(value: object, kind: object) -> str:
    """Why `value` is not of `kind`, judged as it stands in JSON; "" where it is."""
    if isinstance(value, float) and isinf(value):
        return "is out of bounds"
    try:
        # Through JSON: in there 1.0 is no integer and a string no number.
        decoded = msgspec.json.decode(msgspec.json.encode(value), type=kind)
        if isinstance(decoded, datetime):
            utc_of(decoded)
    except (msgspec.ValidationError, OutsideCalendar) as error:
        return str(error)
    except (ValueError, TypeError, OverflowError):
        return "is out of bounds"
    return ""


def _unless_missing(document: dict[str, object], name: str, wanted: str) -> str:
    return f"has to be a JSON {wanted}" if name in document else "is missing"


def _sample_errors(
    sample: object, as_of: datetime, environments: Environments
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
    except (msgspec.ValidationError, OutsideCalendar, WindowOutOfBounds) as error:
        return str(error)
    return ""


def _usage_errors(usage: dict[str, object]) -> Iterator[tuple[str, str]]:
    if len(usage) > METERS_PER_SAMPLE_MAX:
        yield "usage", f"has over {METERS_PER_SAMPLE_MAX} meters"
    for meter, value in list(usage.items())[: METERS_PER_SAMPLE_MAX + 1]:
        field = f"usage.{meter}"
        if not is_meter(meter):
            yield field[:80], "is no meter's name: 1 to 64 of a-z 0-9 . _"
        elif type(value) is not int or not 0 <= value <= VALUE_MAX:
            yield field, "has to be an integer from 0 to 2^63 - 1"


def _measurement_errors(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    profiles = document.get("measurements", {})
    if not isinstance(profiles, dict):
        yield "measurements", "has to be a JSON object"
        return
    if len(profiles) > MEASUREMENTS_PER_BATCH_MAX:
        yield "measurements", f"has over {MEASUREMENTS_PER_BATCH_MAX} members"
    for key, profile in list(profiles.items())[:MEASUREMENTS_PER_BATCH_MAX]:
        field = f"measurements.{key}"
        if not is_measurement_key(key):
            yield field, "is no key: 1 to 16 of a-z 0-9"
        elif not isinstance(profile, dict):
            yield field, "has to be a JSON object"
        else:
            for member, reason in _profile_errors(profile):
                yield f"{field}.{member}", reason


def _profile_errors(profile: dict[str, object]) -> Iterator[tuple[str, str]]:
    if _reason(profile.get("gap"), Cause | None):
        yield "gap", "is no cause: 1 to 64 of a-z 0-9 -"
    marks = profile.get("marks", [])
    if not isinstance(marks, list) or len(marks) > MARKS_PER_MEASUREMENT_MAX:
        yield "marks", f"has to be a JSON array of up to {MARKS_PER_MEASUREMENT_MAX} marks"
    elif any(_reason(mark, Cause) for mark in marks):
        yield "marks", "holds what is no mark: 1 to 64 of a-z 0-9 -"
    meters = profile.get("meters", {})
    if not isinstance(meters, dict):
        yield "meters", "has to be a JSON object"
        return
    if len(meters) > METERS_PER_SAMPLE_MAX:
        yield "meters", f"has over {METERS_PER_SAMPLE_MAX} meters"
    for meter, how in list(meters.items())[: METERS_PER_SAMPLE_MAX + 1]:
        if not is_meter(meter):
            yield f"meters.{meter}", "is no meter's name: 1 to 64 of a-z 0-9 . _"
        elif _reason(how, How):
            yield f"meters.{meter}", _HOW


_HOW: Final = (
    f"has to be [quality, method]: one of {', '.join(QUALITIES)}, and 1 to 64 of a-z 0-9 . _ / -"
)


def _measured_errors(sample: object, profiles: object) -> Iterator[tuple[str, str]]:
    """What does not fit between a sample and the profile that it names."""
    key = sample.get("measured") if isinstance(sample, dict) else None
    if key is None or not isinstance(sample, dict):
        return
    if not isinstance(key, str):
        yield "measured", "has to be a string or null"
    elif not isinstance(profiles, dict) or key not in profiles:
        yield "measured", "is none of the batch's measurements"
    elif isinstance(usage := sample.get("usage"), dict):
        for meter in _unavailable_in(usage, profiles[key]):
            yield f"usage.{meter}", "is unavailable by what the sample is measured with"


def _unavailable_in(usage: dict[str, object], profile: object) -> list[str]:
    try:
        measurement = msgspec.convert(profile, Measurement)
    except msgspec.ValidationError:
        return []  # Named with the profile already.
    return [meter for meter in usage if measurement.is_unavailable(meter)]
