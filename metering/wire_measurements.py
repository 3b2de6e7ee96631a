"""How a batch's samples were measured: its profiles, each sent once and named by many samples."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from hostmeter_agent.wire import (
    MARK_PATTERN,
    MARKS_PER_MEASUREMENT_MAX,
    MEASUREMENT_KEY_PATTERN,
    MEASUREMENTS_PER_BATCH_MAX,
    METER_NAME_PATTERN,
    METERS_PER_SAMPLE_MAX,
    METHOD_PATTERN,
    QUALITIES,
)
from msgspec import Meta

from metering.core.quality import UNAVAILABLE


def _whole(pattern: str) -> str:
    # In the contract's patterns "$" would let a newline follow.
    return pattern.removesuffix("$") + r"\Z"


Quality = Literal["exact", "sampled", "lower_bound", "estimated", "unavailable"]
assert set(QUALITIES) == set(Quality.__args__)  # type: ignore[attr-defined]  # noqa: S101
Method = Annotated[str, Meta(pattern=_whole(METHOD_PATTERN))]
Cause = Annotated[str, Meta(pattern=_whole(MARK_PATTERN))]
Marks = Annotated[list[Cause], Meta(max_length=MARKS_PER_MEASUREMENT_MAX)]
How = tuple[Quality, Method]
_Meter = Annotated[str, Meta(pattern=_whole(METER_NAME_PATTERN))]
_Key = Annotated[str, Meta(pattern=_whole(MEASUREMENT_KEY_PATTERN))]


class Measurement(msgspec.Struct):
    """A profile as it is sent; what it leaves out is not stated."""

    meters: Annotated[dict[_Meter, How], Meta(max_length=METERS_PER_SAMPLE_MAX)] = {}
    gap: Cause | None = None
    marks: Marks = []

    def is_unavailable(self, meter: str) -> bool:
        """Whether the profile says that the meter could not be measured."""
        entry = self.meters.get(meter) or self.meters.get(meter.removesuffix(".max"))
        return entry is not None and entry[0] == UNAVAILABLE


Measurements = Annotated[dict[_Key, Measurement], Meta(max_length=MEASUREMENTS_PER_BATCH_MAX)]

_encode: Final = msgspec.json.Encoder(order="sorted").encode


def stored_body(measurement: Measurement) -> bytes:
    """The profile as it is kept, in JSON: the same content gives the same bytes."""
    members: dict[str, object] = {}
    if measurement.meters:
        members["meters"] = measurement.meters
    if measurement.gap is not None:
        members["gap"] = measurement.gap
    if measurement.marks:
        members["marks"] = sorted(set(measurement.marks))
    return _encode(members)


def digest_of(body: bytes) -> bytes:
    return sha256(body).digest()


def unavailable_among(measurement: Measurement, meters: Iterable[str]) -> list[str]:
    """Those of the meters that the profile says could not be measured."""
    if not any(quality == UNAVAILABLE for quality, _ in measurement.meters.values()):
        return []
    return [meter for meter in meters if measurement.is_unavailable(meter)]


def named(
    keys: Iterable[str | None], measurements: Mapping[str, Measurement]
) -> dict[str, Measurement]:
    """The profiles that samples name. Raises msgspec.ValidationError for one that is not there."""
    try:
        return {key: measurements[key] for key in set(keys) if key is not None}
    except KeyError as absent:
        raise msgspec.ValidationError("measured") from absent
