"""What a value in the tables of the applications' own words may be."""

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from hostmeter_agent.wire import METER_NAME_PATTERN, METERS_BY_NAME, NAME_LENGTH_MAX, kind_of
from hostmeter_agent.wire_control import RESERVED_NAMES

CONDITIONS_MAX: Final = 16
TEXT_LENGTH_MAX: Final = 1_000
TOLD: Final = ("transactions", "users.concurrent", "network.received", "network.sent")
"""Built-in meters that applications may tell; the others the agent reads from the kernel."""

Conditions = tuple[tuple[str, re.Pattern[str]], ...]
"""Field names, each with the expression that is searched in the field's text."""


class ValueRefused(Exception):
    """A value out of its bounds; the text says what is allowed."""


def whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueRefused(f"must be a whole number from {low} to {high}")
        return value

    return check


def mode(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise ValueRefused("must be a file mode from 0o000 to 0o777")
    return value


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueRefused("must be true or false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_LENGTH_MAX:
        raise ValueRefused(f"must be text of 1 to {TEXT_LENGTH_MAX} characters")
    if not value.isprintable():
        raise ValueRefused("must not hold control characters")
    return value


def one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueRefused(f"must be one of {', '.join(allowed)}")
        return str(value)

    return check


def application(value: Any) -> str:
    name = text(value)
    if len(name) > NAME_LENGTH_MAX:
        raise ValueRefused(f"must be text of 1 to {NAME_LENGTH_MAX} characters")
    if name in RESERVED_NAMES:
        raise ValueRefused(f"must not be {name!r}: the agent itself uses that name")
    return name


def absolute(value: Any) -> str:
    path = text(value)
    if not path.startswith("/"):
        raise ValueRefused("must be an absolute path")
    return path


def socket_path(value: Any) -> str:
    path = absolute(value)
    if len(path.encode()) > 107:
        raise ValueRefused("must be at most 107 bytes long, as the kernel has it")
    return path


def pattern(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(text(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueRefused(f"is not a regular expression: {error}") from error


def conditions(value: Any) -> Conditions:
    if not isinstance(value, dict) or not 1 <= len(value) <= CONDITIONS_MAX:
        raise ValueRefused(
            f"must be a table of 1 to {CONDITIONS_MAX} names with regular expressions"
        )
    return tuple((text(name), pattern(wanted)) for name, wanted in value.items())


def meter(value: Any) -> str:
    name = text(value)
    if not re.match(METER_NAME_PATTERN, name):
        raise ValueRefused("must be a meter's name: 1 to 64 of a-z 0-9 . _")
    if kind_of(name) == "maximum":
        raise ValueRefused("must not be a maximum: the agent takes those itself")
    if name in METERS_BY_NAME and name not in TOLD:
        raise ValueRefused(f"must be {', '.join(TOLD)} or a name that is not built in")
    return name


def url(value: Any) -> str:
    """http://HOST[:PORT]/PATH, https://... or unix:/SOCKET:/PATH."""
    address = text(value)
    if address.startswith("unix:"):
        socket, _, path = address.removeprefix("unix:").partition(":")
        socket_path(socket)
        absolute(path or "/")
        return address
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or " " in address:
        raise ValueRefused("must be http://HOST:PORT/PATH, https://... or unix:/SOCKET:/PATH")
    return address
