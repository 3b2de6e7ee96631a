"""The values that the wire contract is made of, each with its bounds."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from hostmeter_agent.wire import (
    MEASUREMENT_KEY_PATTERN,
    METER_NAME_PATTERN,
    VALUE_MAX,
    WINDOW_AGE_DAYS_MAX,
    WINDOW_AHEAD_SECONDS_MAX,
)
from msgspec import Meta

from metering.core.buckets import BUCKET, bucket_of

SEQUENCE_MAX: Final = 2**63 - 1

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]
Instant = Annotated[datetime, Meta(tz=True)]
Quantity = Annotated[int, Meta(ge=0, le=VALUE_MAX)]
Coverage = Annotated[float, Meta(ge=0, le=1)]
Role = Literal["primary", "replica", "standby"]
Sequence = Annotated[int, Meta(ge=1, le=SEQUENCE_MAX)]

is_name: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}\Z").match
is_meter: Final = re.compile(METER_NAME_PATTERN.removesuffix("$") + r"\Z").match
is_measurement_key: Final = re.compile(MEASUREMENT_KEY_PATTERN.removesuffix("$") + r"\Z").match


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) within the 5-minute bucket that starts at `bucket`."""

    start: datetime
    end: datetime
    bucket: datetime


class OutsideCalendar(Exception):
    """An instant before the year 1 or after 9999 in UTC."""


class WindowOutOfBounds(Exception):
    """A window that is empty, crosses a bucket's end, or is too old or too far ahead."""


def window_of(start: str, end: str, *, as_of: datetime) -> Window:
    """The window between two RFC 3339 instants.

    Raises msgspec.ValidationError, OutsideCalendar or WindowOutOfBounds.
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


def utc_of(instant: datetime) -> datetime:
    """The instant in UTC. Raises OutsideCalendar for what the time zone moves out of it."""
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise OutsideCalendar("lies outside the calendar") from error


def _utc(instant: str) -> datetime:
    return utc_of(msgspec.convert(instant, Instant))


def base64_bytes(value: object) -> bytes | None:
    """What a value says in base64; None where it says nothing."""
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None
