"""CloudEvents 1.0 in JSON, one (structured) or several (batched), as usage: pure.

An event of the type `hostmeter.usage.v1` says what was used at a moment:

- `subject`: whose usage, as environment/application;
- `time`: RFC 3339, at most 400 days ago and 10 minutes ahead;
- `data`: {"meter": name, "quantity": integer, ...properties}. Properties are text, integers, true,
  false or null; their different values can be counted.

An event is known by its `source` and `id`. What it says beside them has a digest: a second one with
the same source and id is the same event if the digests are equal, and a contradiction if not.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NoReturn

from hostmeter_agent.wire import (
    METER_NAME_PATTERN,
    NAME_LENGTH_MAX,
    VALUE_MAX,
    WINDOW_AGE_DAYS_MAX,
    WINDOW_AHEAD_SECONDS_MAX,
)

from metering.core.posting import spread_meter

USAGE_TYPE: Final = "hostmeter.usage.v1"
# What is posted of hosts' allocated hours: we write these ourselves and take none.
ALLOCATED_TYPE: Final = "hostmeter.allocated.v1"
ALLOCATION_SOURCE: Final = "hostmeter/allocation/"
EVENTS_PER_BATCH_MAX: Final = 1_000
PROPERTIES_MAX: Final = 32
PROPERTY_LENGTH_MAX: Final = 200

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"

Property = str | int | bool | None

_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")
_METER: Final = re.compile(METER_NAME_PATTERN.removesuffix("$") + r"\Z")
_PROPERTY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)


class NotCloudEvents(ValueError):
    """The body as a whole is no CloudEvent in JSON and no batch of them."""


class EventNotUsable(ValueError):
    """An attribute or a member of the data is missing, of the wrong kind or out of bounds."""


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One event as it is stored. `digest` is of all it says beside its source and id."""

    source: str
    id: str
    environment: str
    application: str
    time: datetime
    meter: str
    quantity: int
    properties: Mapping[str, Property]
    digest: bytes

    @property
    def subject(self) -> str:
        return f"{self.environment}/{self.application}"


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """What is wrong with an event; its source and id as far as they can be read."""

    source: str | None
    id: str | None
    reason: str


Parsed = UsageEvent | RefusedEvent


def parse_events(body: bytes, content_type: str, *, as_of: datetime) -> list[Parsed]:
    """The events of a request in their order. Raises NotCloudEvents."""
    kind = content_type.partition(";")[0].strip().lower()
    document = _document(body)
    if kind == STRUCTURED:
        return [parse_event(document, as_of=as_of)]
    if kind != BATCHED:
        raise NotCloudEvents(f"send {STRUCTURED} or {BATCHED}")
    if not isinstance(document, list):
        raise NotCloudEvents("a batch is a JSON array of events")
    if len(document) > EVENTS_PER_BATCH_MAX:
        raise NotCloudEvents(f"a batch has at most {EVENTS_PER_BATCH_MAX} events")
    return [parse_event(each, as_of=as_of) for each in document]


def _document(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotCloudEvents("the body is not JSON in UTF-8") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_event(document: object, *, as_of: datetime) -> Parsed:
    """One event that was read from JSON; a RefusedEvent says what is wrong with it."""
    if not isinstance(document, dict):
        return RefusedEvent(None, None, "an event is a JSON object")
    try:
        return _usage_event(document, as_of)
    except EventNotUsable as error:
        return RefusedEvent(_known(document.get("source")), _known(document.get("id")), str(error))


def _known(value: object) -> str | None:
    return value if isinstance(value, str) and _is_name(value) else None


def _is_name(value: str) -> bool:
    return 0 < len(value) <= NAME_LENGTH_MAX and _PRINTABLE.match(value) is not None


def _usage_event(document: Mapping[str, Any], as_of: datetime) -> UsageEvent:
    _require_envelope(document)
    environment, slash, application = _text(document, "subject", 2 * NAME_LENGTH_MAX + 1).partition(
        "/"
    )
    if not slash or not _is_name(environment) or not _is_name(application):
        raise EventNotUsable("subject is environment/application")
    time = _time(document, as_of)
    data = document.get("data")
    if not isinstance(data, dict):
        raise EventNotUsable('data is an object: {"meter": …, "quantity": …}')
    meter, quantity, properties = _meter(data), _quantity(data), _properties(data)
    subject = environment, application
    return UsageEvent(
        source=_text(document, "source"),
        id=_text(document, "id"),
        environment=environment,
        application=application,
        time=time,
        meter=meter,
        quantity=quantity,
        properties=properties,
        digest=said_digest(USAGE_TYPE, subject, time, meter, quantity, properties),
    )


def said_digest(
    kind: str,
    subject: tuple[str, str],
    time: datetime,
    meter: str,
    quantity: int,
    properties: Mapping[str, Property],
) -> bytes:
    """SHA-256 of what an event says beside its source and id."""
    said = [kind, *subject, time.isoformat(), meter, quantity, dict(properties)]
    return sha256(json.dumps(said, sort_keys=True).encode()).digest()


def _require_envelope(document: Mapping[str, Any]) -> None:
    if document.get("specversion") != "1.0":
        raise EventNotUsable('specversion is "1.0"')
    for attribute in ("id", "source"):
        _text(document, attribute)
    if document["source"].startswith(ALLOCATION_SOURCE):
        raise EventNotUsable(f"source may not begin with {ALLOCATION_SOURCE}")
    if document.get("type") != USAGE_TYPE:
        raise EventNotUsable(f'type is "{USAGE_TYPE}"')
    if document.get("datacontenttype", "application/json") != "application/json":
        raise EventNotUsable("datacontenttype is application/json")


def _text(document: Mapping[str, Any], attribute: str, length_max: int = NAME_LENGTH_MAX) -> str:
    value = document.get(attribute)
    if not isinstance(value, str) or not 0 < len(value) <= length_max:
        raise EventNotUsable(f"{attribute} is text of 1 to {length_max} characters")
    if _PRINTABLE.match(value) is None:
        raise EventNotUsable(f"{attribute} has a control character or half a surrogate pair")
    return value


def _time(document: Mapping[str, Any], as_of: datetime) -> datetime:
    written = document.get("time")
    if not isinstance(written, str) or _RFC_3339.match(written) is None:
        raise EventNotUsable("time is written as 2026-01-31T14:05:00Z")
    try:
        time = datetime.fromisoformat(written.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise EventNotUsable("time is no instant of the calendar") from error
    if time < as_of - timedelta(days=WINDOW_AGE_DAYS_MAX):
        raise EventNotUsable(f"time lies over {WINDOW_AGE_DAYS_MAX} days ago")
    if time > as_of + timedelta(seconds=WINDOW_AHEAD_SECONDS_MAX):
        raise EventNotUsable(f"time lies over {WINDOW_AHEAD_SECONDS_MAX} s ahead of our clock")
    return time


def _meter(data: Mapping[str, Any]) -> str:
    meter = data.get("meter")
    if not isinstance(meter, str) or _METER.match(meter) is None:
        raise EventNotUsable("data.meter is 1 to 64 of a-z, 0-9, dot and underscore")
    if spread_meter(meter) is not None:
        raise EventNotUsable(f"data.meter is posted by allocation alone: {meter}")
    return meter


def _quantity(data: Mapping[str, Any]) -> int:
    quantity = data.get("quantity")
    if not isinstance(quantity, int) or isinstance(quantity, bool):
        raise EventNotUsable("data.quantity is an integer from 0 to below 2^63")
    if not 0 <= quantity <= VALUE_MAX:
        raise EventNotUsable("data.quantity is an integer from 0 to below 2^63")
    return quantity


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _properties(data: Mapping[str, Any]) -> dict[str, Property]:
    properties = {name: data[name] for name in sorted(data) if name not in ("meter", "quantity")}
    if len(properties) > PROPERTIES_MAX:
        raise EventNotUsable(f"data has at most {PROPERTIES_MAX} properties")
    for name, value in properties.items():
        if _PROPERTY.match(name) is None:
            raise EventNotUsable("a property's name is 1 to 64 of a-z, A-Z, 0-9, dot, - and _")
        _require_property(name, value)
    return properties


def _require_property(name: str, value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int) and abs(value) <= VALUE_MAX:
        return
    if not isinstance(value, str):
        raise EventNotUsable(f"data.{name} is text, an integer below 2^63, true, false or null")
    if len(value) > PROPERTY_LENGTH_MAX or _PRINTABLE.match(value) is None:
        raise EventNotUsable(f"data.{name} has up to {PROPERTY_LENGTH_MAX} printable characters")
