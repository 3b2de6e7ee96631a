"""What a verification comes to."""

from collections.abc import Mapping


class NotABundle(Exception):
    """The file is nothing that this command reads; the message says why."""


class Difference(Exception):
    """The bundle is not what it says: `expected` follows from the rest of it, `found` stands there
    instead."""

    def __init__(self, what: str, where: str, expected: object, found: object) -> None:
        self.what, self.where = what, where
        self.expected, self.found = _short(expected), _short(found)
        super().__init__(f"{what}, {where}: expected {self.expected}, found {self.found}")


_SHOWN_MAX = 200


def _short(value: object) -> str:
    """On one line, whatever a hostile file makes of it."""
    written = str(value).encode("unicode_escape").decode("ascii")
    return written if len(written) <= _SHOWN_MAX else f"{written[:_SHOWN_MAX]}..."


def require(holds: bool, what: str, where: str, expected: object, found: object) -> None:
    """Raises Difference unless it holds."""
    if not holds:
        raise Difference(what, where, expected, found)


def require_equal(what: str, where: str, expected: object, found: object) -> None:
    """Raises Difference, also where true stands for 1 or false for 0, which Python takes for
    equal."""
    same = expected == found and not _is_confused(expected, found)
    require(same, what, where, expected, found)


def _is_confused(one: object, other: object) -> bool:
    """Of two values that are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return any(_is_confused(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return any(map(_is_confused, one, other))
    return isinstance(one, bool) is not isinstance(other, bool)
