"""How a batch's samples were measured: its profiles, each sent once and named by many samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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


# Profiles repeat from batch to batch and cost a microsecond a meter to check: they are left as they
# are, and each is gone through once.
Measurements = Annotated[dict[_Key, msgspec.Raw], Meta(max_length=MEASUREMENTS_PER_BATCH_MAX)]

_PROFILES_KEPT_MAX: Final = 512
_KEPT_BYTES_MAX: Final = 8_192

_decode: Final = msgspec.json.Decoder(Measurement).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class SentProfile:
    """A profile, and how it is kept: as JSON, the same for the same content, and by its SHA-256."""

    measurement: Measurement
    body: bytes
    digest: bytes


def _sent_profile(raw: bytes) -> SentProfile:
    """Raises msgspec.ValidationError."""
    measurement = _decode(raw)
    body = _stored_body(measurement)
    return SentProfile(measurement, body, sha256(body).digest())


_kept_profile: Final = lru_cache(maxsize=_PROFILES_KEPT_MAX)(_sent_profile)


def sent_profiles(measurements: Mapping[str, msgspec.Raw]) -> dict[str, SentProfile]:
    """The profiles by their keys. Raises msgspec.ValidationError, msgspec.DecodeError."""
    return {
        key: (_kept_profile if len(text) <= _KEPT_BYTES_MAX else _sent_profile)(text)
        for key, text in ((key, bytes(raw)) for key, raw in measurements.items())
    }


def _stored_body(measurement: Measurement) -> bytes:
    members: dict[str, object] = {}
    if measurement.meters:
        members["meters"] = measurement.meters
    if measurement.gap is not None:
        members["gap"] = measurement.gap
    if measurement.marks:
        members["marks"] = sorted(set(measurement.marks))
    return _encode(members)


def unavailable_among(measurement: Measurement, meters: Iterable[str]) -> list[str]:
    """Those of the meters that the profile says could not be measured."""
    if not any(quality == UNAVAILABLE for quality, _ in measurement.meters.values()):
        return []
    return [meter for meter in meters if measurement.is_unavailable(meter)]


def named(
    keys: Iterable[str | None], measurements: Mapping[str, SentProfile]
) -> dict[str, SentProfile]:
    """The profiles that samples name. Raises msgspec.ValidationError for one that is not there."""
    try:
        return {key: measurements[key] for key in set(keys) if key is not None}
    except KeyError as absent:
        raise msgspec.ValidationError("measured") from absent
