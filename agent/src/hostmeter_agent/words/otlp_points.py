"""What an OTLP metrics request holds, in protobuf or JSON, as far as the wanted names go.

By hand, after opentelemetry/proto/metrics/v1/metrics.proto of OTLP 1: field numbers stand in the
names below. What is not known is passed over, as protobuf asks.
"""

import json
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from hostmeter_agent.words.amounts import NANO, nanos

POINTS_MAX: Final = 50_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NOT_RECORDED: Final = 1
_DELTA, _CUMULATIVE = 1, 2
_TEMPORALITIES: Final = {
    "AGGREGATION_TEMPORALITY_DELTA": _DELTA,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": _CUMULATIVE,
}
Attributes = dict[str, str]


class RequestMalformed(ValueError):
    """The body is not an ExportMetricsServiceRequest; the text says why."""


@dataclass(frozen=True, slots=True)
class Point:
    """One data point. kind: delta, cumulative or gauge; times in ns since 1970, 0 for unknown;
    value in billionths. A histogram's value is its count. monotonic: it only grows."""

    name: str
    kind: str
    monotonic: bool
    start_ns: int
    time_ns: int
    value: int
    resource: Attributes
    attributes: Attributes


def _kind(temporality: int, *, monotonic: bool) -> str | None:
    """A sum that also falls stands for a level, if it is cumulative."""
    if temporality == _CUMULATIVE:
        return "cumulative" if monotonic else "gauge"
    return "delta" if temporality == _DELTA and monotonic else None


# Protobuf ------------------------------------------------------------------------------------


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers as they stand on the wire, the rest as bytes."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value, at = int.from_bytes(message[at : at + size], "little"), at + size
        elif kind == _BYTES:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            raise RequestMalformed(f"wire type {kind}")
        if at > end:
            raise RequestMalformed("a field ends after the message")
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(message):
            raise RequestMalformed("the message ends within a number")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise RequestMalformed("a number of more than 10 bytes")


def _submessages(message: bytes, number: int) -> Iterator[bytes]:
    for found, value in fields(message):
        if found == number:
            yield _as_bytes(value)


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise RequestMalformed("a number where a message or text is due")
    return value


def _as_int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise RequestMalformed("a message or text where a number is due")
    return value


def _text(value: int | bytes) -> str:
    return _as_bytes(value).decode(errors="replace")


def _signed(value: int | bytes) -> int:
    number = _as_int(value)
    return number - 2**64 if number >= 2**63 else number


def _double(value: int | bytes) -> float:
    return float(struct.unpack("<d", _as_int(value).to_bytes(8, "little"))[0])


def _any_value(message: bytes) -> str:
    """AnyValue: string 1, bool 2, int 3, double 4; lists and maps cannot be told apart here."""
    for number, value in fields(message):
        if number == 1:
            return _text(value)
        if number == 2:
            return "true" if value else "false"
        if number == 3:
            return str(_signed(value))
        if number == 4:
            return str(_double(value))
    return ""


def _attributes(message: bytes, number: int) -> Attributes:
    """KeyValue: key 1, value 2."""
    found: Attributes = {}
    for pair in _submessages(message, number):
        key, text = "", ""
        for field, value in fields(pair):
            key = _text(value) if field == 1 else key
            text = _any_value(_as_bytes(value)) if field == 2 else text
        found[key] = text
    return found


def protobuf_points(body: bytes, wanted: Collection[str]) -> Iterator[Point]:
    """Request: resource_metrics 1; ResourceMetrics: resource 1, scope_metrics 2; Resource:
    attributes 1; ScopeMetrics: metrics 2."""
    for of_resource in _submessages(body, 1):
        resource: Attributes = {}
        for message in _submessages(of_resource, 1):
            resource |= _attributes(message, 1)
        for scope in _submessages(of_resource, 2):
            for metric in _submessages(scope, 2):
                yield from _metric_points(metric, resource, wanted)


def _metric_points(metric: bytes, resource: Attributes, wanted: Collection[str]) -> Iterator[Point]:
    """Metric: name 1, gauge 5, sum 7, histogram 9, exponential_histogram 10."""
    name, data, form = "", b"", 0
    for number, value in fields(metric):
        if number == 1:
            name = _text(value)
        elif number in (5, 7, 9, 10):
            form, data = number, _as_bytes(value)
    if name not in wanted or not form:
        return
    temporality, monotonic = 0, form in (9, 10)
    for number, value in fields(data):
        if number == 2:
            temporality = _as_int(value)
        elif number == 3 and form == 7:
            monotonic = bool(value)
    kind = "gauge" if form == 5 else _kind(temporality, monotonic=monotonic)
    if kind is not None:
        for message in _submessages(data, 1):
            yield from _point(message, form, name, kind, resource)


def _point(
    message: bytes, form: int, name: str, kind: str, resource: Attributes
) -> Iterator[Point]:
    """NumberDataPoint: start 2, time 3, double 4, int 6, attributes 7, flags 8.
    HistogramDataPoint: start 2, time 3, count 4, attributes 9, flags 10; the exponential one has
    its attributes in 1."""
    histogram = form in (9, 10)
    flags_number = 10 if histogram else 8
    start = time = 0
    amount: int | None = None
    for number, value in fields(message):
        if number == 2:
            start = _as_int(value)
        elif number == 3:
            time = _as_int(value)
        elif number == 4:
            amount = _as_int(value) * NANO if histogram else nanos(_double(value))
        elif number == 6 and not histogram:
            amount = _signed(value) * NANO
        elif number == flags_number and _as_int(value) & _NOT_RECORDED:
            return
    attributes = _attributes(message, {9: 9, 10: 1}.get(form, 7))
    if amount is not None:
        yield Point(name, kind, kind != "gauge", start, time, amount, resource, attributes)


# JSON ----------------------------------------------------------------------------------------


def json_points(body: bytes, wanted: Collection[str]) -> Iterator[Point]:
    """The same in JSON: lowerCamelCase names, 64-bit numbers as text or numbers."""
    try:
        given = json.loads(body, parse_float=Decimal)
        for of_resource in _list(given, "resourceMetrics"):
            resource = _json_attributes(of_resource.get("resource") or {})
            for scope in _list(of_resource, "scopeMetrics"):
                for metric in _list(scope, "metrics"):
                    if metric.get("name") in wanted:
                        yield from _json_metric(metric, resource)
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise RequestMalformed(f"not OTLP JSON: {type(error).__name__}") from error


def _list(given: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = given.get(name) or []
    if not isinstance(found, list):
        raise RequestMalformed(f"{name} is no list")
    return found


def _json_metric(metric: dict[str, Any], resource: Attributes) -> Iterator[Point]:
    for form in ("gauge", "sum", "histogram", "exponentialHistogram"):
        data = metric.get(form)
        if data is None:
            continue
        given = data.get("aggregationTemporality", 0)
        temporality = _TEMPORALITIES.get(given, 0) if isinstance(given, str) else int(given)
        monotonic = form.endswith("istogram") or data.get("isMonotonic") is True
        kind = "gauge" if form == "gauge" else _kind(temporality, monotonic=monotonic)
        if kind is not None:
            for point in _list(data, "dataPoints"):
                yield from _json_point(point, metric["name"], kind, resource)


def _json_point(
    point: dict[str, Any], name: str, kind: str, resource: Attributes
) -> Iterator[Point]:
    if int(point.get("flags", 0)) & _NOT_RECORDED:
        return
    given = next((point[key] for key in ("asInt", "asDouble", "count") if key in point), None)
    amount = nanos(given) if isinstance(given, str | int | Decimal) else None
    if amount is not None:
        start, time = (int(point.get(key, 0)) for key in ("startTimeUnixNano", "timeUnixNano"))
        attributes = _json_attributes(point)
        yield Point(name, kind, kind != "gauge", start, time, amount, resource, attributes)


def _json_attributes(given: dict[str, Any]) -> Attributes:
    found: Attributes = {}
    for pair in _list(given, "attributes"):
        values = pair.get("value") or {}
        value = next(iter(values.values()), "")
        if isinstance(value, bool):
            value = "true" if value else "false"
        found[str(pair["key"])] = str(value) if isinstance(value, str | int | Decimal) else ""
    return found
