"""OTLP requests put together byte by byte, and one from the reference encoder."""

import struct
from typing import Final

NANO: Final = 10**9
START, END = 1_700_000_000 * NANO, 1_700_000_010 * NANO

GOLDEN: Final = bytes.fromhex(
    "0ac6030a320a160a0c736572766963652e6e616d6512060a0473686f700a180a09686f73742e63707573120b"
    "18fcffffffffffffffff01128f030a070a0573636f706512750a066f72646572731201641a01313a650a2b11"
    "00002a36fe9c97171900e4358a009d9717312a000000000000003a0e0a06726567696f6e12040a0265750a32"
    "1100002a36fe9c97171900e4358a009d971721000000000000d03f2a093103000000000000003a0a0a047061"
    "6964120210011002180112720a086475726174696f6e1a01734a630a5f1100002a36fe9c97171900e4358a00"
    "9d971721070000000000000029000000000000f83f3210030000000000000004000000000000003a089a9999"
    "999999b93f4a0b0a04636f6465120318c801599a9999999999b93f61cdccccccccccec3f1001125e0a0b6578"
    "706f6e656e7469616c524f0a4b0a120a05726174696f120921000000000000e03f1100002a36fe9c97171900"
    "e4358a009d971721090000000000000029000000000000f83f30063901000000000000004206080312020404"
    "1002122d0a0873657373696f6e732a210a121900e4358a009d97173103000000000000000a0b1900e4358a00"
    "9d971740011a0a68747470733a2f2f782f"
)
"""A request as the encoder of opentelemetry-proto writes it: of a service "shop" on "host.cpus" -4,
orders (cumulative sum: 42 in region eu, 0.25 paid), duration (delta histogram of 7, code 200),
exponential (cumulative exponential histogram of 9, ratio 0.5), sessions (gauge: 3, none)."""


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(field_number: int, value: int) -> bytes:
    return varint(field_number << 3) + varint(value)


def fixed(field_number: int, value: int) -> bytes:
    return varint(field_number << 3 | 1) + struct.pack("<q", value)


def double(field_number: int, value: float) -> bytes:
    return varint(field_number << 3 | 1) + struct.pack("<d", value)


def attribute(where: int, key: str, value: str) -> bytes:
    return message(where, message(1, key.encode()) + message(2, message(1, value.encode())))


def request(*metrics: bytes, service: str = "shop") -> bytes:
    resource = message(1, attribute(1, "service.name", service))
    scope = message(2, message(1, message(1, b"scope")) + b"".join(message(2, m) for m in metrics))
    return message(1, resource + scope)


def point(value: bytes, *, start: int = START, time: int = END, more: bytes = b"") -> bytes:
    return message(1, fixed(2, start) + fixed(3, time) + value + more)


def sum_of(name: str, *points: bytes, temporality: int = 2, monotonic: bool = True) -> bytes:
    data = b"".join(points) + number(2, temporality) + number(3, int(monotonic))
    return message(1, name.encode()) + message(7, data)


def orders(count: int, *, start: int = START, time: int = END, temporality: int = 2) -> bytes:
    one = point(fixed(6, count), start=start, time=time)
    return request(sum_of("orders", one, temporality=temporality))


def sessions(count: int, *, time: int = END, region: str = "eu") -> bytes:
    one = point(fixed(6, count), time=time, more=attribute(7, "region", region))
    return request(message(1, b"sessions") + message(5, one))
