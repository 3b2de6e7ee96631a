"""The lines of a bundle's tables, each a JSON object.

Instants are whole microseconds since 1970-01-01T00:00Z: one number has one way to be written.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hostmeter_agent.wire import ROLES

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_US_MAX: Final = 253_402_300_799_000_000
INTEGER_BELOW: Final = 10**40
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TEXT_MAX: Final = 20_000
_NAMES_MAX: Final = 10_000


class RecordNotReadable(ValueError):
    """A line of a table is not what it has to be."""


def canonical(value: object) -> bytes:
    """JSON with its members in order and no space: one value has one way to be written."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    """The instant in UTC. Raises RecordNotReadable."""
    if not 0 <= us <= _US_MAX:
        raise RecordNotReadable("an instant is out of bounds")
    return _EPOCH + us * _MICROSECOND


@dataclass(frozen=True, slots=True)
class RollupRecord:
    """One instance's usage in one 5-minute bucket. `measured` has the ids of its samples'
    profiles, None among them for samples without one; `usage` is in the meters' raw units."""

    application: str
    start: datetime
    instance: str
    role: str
    samples: int
    window_us: int
    covered_us: int
    usage: Mapping[str, int]
    measured: frozenset[str | None]

    def to_json(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "start": microseconds(self.start),
            "instance": self.instance,
            "role": self.role,
            "samples": self.samples,
            "window_us": self.window_us,
            "covered_us": self.covered_us,
            "usage": dict(self.usage),
            "measured": sorted(self.measured, key=lambda each: each or ""),
        }


def rollup_from(line: Any) -> RollupRecord:
    """Raises RecordNotReadable."""
    usage, measured = member(line, "usage", dict), member(line, "measured", list)
    if len(usage) > _NAMES_MAX or len(measured) > _NAMES_MAX:
        raise RecordNotReadable("a rollup names too many meters or profiles")
    return RollupRecord(
        application=identifier(line, "application"),
        start=instant(integer(line, "start")),
        instance=identifier(line, "instance"),
        role=role(line),
        samples=integer(line, "samples"),
        window_us=integer(line, "window_us"),
        covered_us=integer(line, "covered_us"),
        usage={meter: integer(usage, meter) for meter in usage},
        measured=frozenset(None if each is None else identifier_of(each) for each in measured),
    )


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A signed batch of which `used` samples are behind the invoice, of `samples` in all.

    `digest` is the SHA-256 of the inflated body, `content_digest` the header that was signed, of
    the body as transferred. `signature_base` is what was signed (RFC 9421, 2.5); empty where it was
    not kept, and then follows from the rest if nothing else is covered than the contract asks for.
    """

    host: str
    epoch: str
    sequence: int
    samples: int
    used: int
    digest: str
    key_id: str
    signature_input: str
    signature: str
    content_digest: str
    signature_base: str
    received_at: datetime

    @property
    def name(self) -> str:
        return f"batch {self.sequence} of epoch {self.epoch}"

    def to_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "epoch": self.epoch,
            "sequence": self.sequence,
            "samples": self.samples,
            "used": self.used,
            "digest": self.digest,
            "key_id": self.key_id,
            "signature_input": self.signature_input,
            "signature": self.signature,
            "content_digest": self.content_digest,
            "signature_base": self.signature_base,
            "received_at": microseconds(self.received_at),
        }


def batch_from(line: Any) -> BatchRecord:
    """Raises RecordNotReadable."""
    return BatchRecord(
        host=identifier(line, "host"),
        epoch=identifier(line, "epoch"),
        sequence=integer(line, "sequence"),
        samples=integer(line, "samples"),
        used=integer(line, "used"),
        digest=sha256_of(member(line, "digest", str)),
        key_id=text(line, "key_id"),
        signature_input=text(line, "signature_input"),
        signature=text(line, "signature"),
        content_digest=text(line, "content_digest"),
        signature_base=text(line, "signature_base"),
        received_at=instant(integer(line, "received_at")),
    )


@dataclass(frozen=True, slots=True)
class HourDigest:
    """`sha256` of an application's samples whose windows start in one UTC hour, see `samples`."""

    application: str
    hour: datetime
    samples: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "hour": microseconds(self.hour),
            "samples": self.samples,
            "sha256": self.sha256,
        }


def digest_from(line: Any) -> HourDigest:
    """Raises RecordNotReadable."""
    return HourDigest(
        application=identifier(line, "application"),
        hour=instant(integer(line, "hour")),
        samples=integer(line, "samples"),
        sha256=sha256_of(member(line, "sha256", str)),
    )


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One CloudEvent that states usage. `properties` are its data beside meter and quantity. What
    is allocated is posted as one as well, and can be below 0: less than was posted before."""

    source: str
    id: str
    application: str
    instance: str
    time: datetime
    meter: str
    quantity: int
    properties: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "id": self.id,
            "application": self.application,
            "instance": self.instance,
            "time": microseconds(self.time),
            "meter": self.meter,
            "quantity": self.quantity,
            "properties": dict(self.properties),
        }


def event_from(line: Any) -> EventRecord:
    """Raises RecordNotReadable."""
    return EventRecord(
        source=text(line, "source"),
        id=text(line, "id"),
        application=identifier(line, "application"),
        instance=identifier(line, "instance"),
        time=instant(integer(line, "time")),
        meter=text(line, "meter"),
        quantity=signed(line, "quantity"),
        properties=member(line, "properties", dict),
    )


def member(line: Any, name: str, kind: type) -> Any:
    """Raises RecordNotReadable where the object lacks it or it is of another kind."""
    if not isinstance(line, dict):
        raise RecordNotReadable("it is no JSON object")
    found = line.get(name)
    if type(found) is not kind:
        raise RecordNotReadable(f"{name[:40]!r} is missing or of another kind")
    return found


def integer(line: Any, name: str) -> int:
    found: int = member(line, name, int)
    if not 0 <= found < INTEGER_BELOW:
        raise RecordNotReadable(f"{name[:40]!r} is out of bounds")
    return found


def signed(line: Any, name: str) -> int:
    found: int = member(line, name, int)
    if not -INTEGER_BELOW < found < INTEGER_BELOW:
        raise RecordNotReadable(f"{name[:40]!r} is out of bounds")
    return found


def text(line: Any, name: str) -> str:
    found: str = member(line, name, str)
    if len(found) > _TEXT_MAX:
        raise RecordNotReadable(f"{name[:40]!r} is too long")
    return found


def role(line: Any) -> str:
    found = text(line, "role")
    if found not in ROLES:
        raise RecordNotReadable(f"a role is one of {', '.join(ROLES)}")
    return found


def identifier(line: Any, name: str) -> str:
    return identifier_of(member(line, name, str))


def identifier_of(found: Any) -> str:
    if not isinstance(found, str) or _ID.fullmatch(found) is None:
        raise RecordNotReadable("an id is a UUID in small letters")
    return found


def sha256_of(found: Any) -> str:
    if not isinstance(found, str) or _SHA256.fullmatch(found) is None:
        raise RecordNotReadable("a SHA-256 is 64 hexadecimal digits")
    return found
