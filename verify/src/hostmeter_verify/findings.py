"""What a verification comes to."""


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
    """Raises Difference."""
    require(expected == found, what, where, expected, found)
