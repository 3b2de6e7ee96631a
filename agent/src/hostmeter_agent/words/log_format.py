"""What one line of an access log says: whether it counts, who asked, and when."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hostmeter_agent.words.checks import Conditions
from hostmeter_agent.words.config import AccessLog

COMBINED_FIELDS: Final = (
    "remote_addr", "ident", "remote_user", "time", "method", "path", "protocol", "request",
    "status", "bytes", "referer", "user_agent",
)  # fmt: skip
_QUOTED: Final = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_COMBINED: Final = re.compile(
    r"(\S++) (\S++) ([^ \[]+(?: .+?)??) \[([^\]]{1,60})\] "
    rf"{_QUOTED} (\d{{3}}) (\d+|-)(?: {_QUOTED} {_QUOTED})?(?= |$)"
)
"""The combined format of Apache and nginx, or the common one; what follows is not looked at."""
_NOBODY: Final = frozenset({"", "-"})
_MILLISECONDS_FROM: Final = 10**11
"""A number that large is a time in milliseconds: in seconds it would be the year 5138."""

Field = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. counts: it passed the rule's conditions; at_s: seconds since 1970, if it says."""

    counts: bool
    user: str | None = None
    at_s: int | None = None


_REFUSED: Final = Entry(False)
_PLAIN: Final = Entry(True)


def _combined(line: str) -> Field | None:
    found = _COMBINED.match(line)
    if found is None:
        return None

    def field(name: str) -> str | None:
        if name in ("method", "path", "protocol"):
            words = (found[5] or "").split(" ")
            at = ("method", "path", "protocol").index(name)
            return words[at] if at < len(words) else ""
        position = {"request": 5, "status": 6, "bytes": 7, "referer": 8, "user_agent": 9}
        return found[position.get(name) or 1 + COMBINED_FIELDS.index(name)]

    return field


def _json(line: str) -> Field | None:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return (lambda name: _member(given, name)) if isinstance(given, dict) else None


def _member(given: dict[str, object], name: str) -> str | None:
    """A member by its name, or by the names on the way to it with dots between them."""
    value: object = given
    if name in given:
        value = given[name]
    else:
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _regex(pattern: re.Pattern[str]) -> Callable[[str], Field | None]:
    def parse(line: str) -> Field | None:
        found = pattern.search(line)
        return found.group if found is not None else None

    return parse


def _line_parser(rule: AccessLog) -> Callable[[str], Field | None]:
    if rule.pattern is not None:
        return _regex(rule.pattern)
    return _combined if rule.format == "combined" else _json


def seconds_of(text: str) -> int | None:
    """A log's time as seconds since 1970: 24/Nov/2026:21:49:14 +0000, ISO 8601 with its offset,
    or a number of seconds or milliseconds. None where it is none of these."""
    try:
        if re.fullmatch(r"\d{1,15}(\.\d{0,9})?", text):
            whole = int(text.split(".")[0])
            return whole // 1_000 if whole >= _MILLISECONDS_FROM else whole
        if "/" in text:
            return int(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp())
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp()) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


class LineReader:
    """Reads the lines of one rule."""

    def __init__(self, rule: AccessLog) -> None:
        self._parse = _line_parser(rule)
        self._where: Conditions = rule.where
        self._unless: Conditions = rule.unless
        self._user = rule.user
        self._time = rule.time or ("time" if rule.format == "combined" else None)
        self._plain = not (rule.where or rule.unless or rule.user)
        self._moment: tuple[str, int | None] = ("", None)

    def entry(self, line: bytes) -> Entry | None:
        """What a line (without its newline) says; None where it is not in the format."""
        field = self._parse(line.decode(errors="replace"))
        if field is None:
            return None
        if self._plain:
            return _PLAIN
        if not self._passes(field):
            return _REFUSED
        if self._user is None:
            return _PLAIN
        user = field(self._user)
        return Entry(True, None if user in _NOBODY else user, self._seconds(field))

    def _passes(self, field: Field) -> bool:
        return all(p.search(field(name) or "") for name, p in self._where) and not any(
            p.search(field(name) or "") for name, p in self._unless
        )

    def _seconds(self, field: Field) -> int | None:
        """Most lines bear the time of the line before: that is not read again."""
        text = (field(self._time) or "") if self._time is not None else ""
        if text != self._moment[0]:
            self._moment = (text, seconds_of(text))
        return self._moment[1]
