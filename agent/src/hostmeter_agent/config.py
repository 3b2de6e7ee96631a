"""The agent's TOML file: every key has a bound, and what is not known is refused by its line."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hostmeter_agent.errors import AgentError
from hostmeter_agent.wire import BUCKET_SECONDS, NAME_LENGTH_MAX
from hostmeter_agent.wire_control import (
    KEY_ROTATION_DAYS,
    KEY_ROTATION_DAYS_MAX,
    PROBE_NAME,
    RESERVED_NAMES,
)

if TYPE_CHECKING:
    from hostmeter_agent.words.config import WordsConfig

FILE_BYTES_MAX: Final = 1_000_000
RULES_MAX: Final = 1_000
PROXIES_MAX: Final = 100
WORDS_TABLES: Final = ("access_log", "prometheus", "otlp", "statsd", "metric")


class ConfigInvalid(AgentError):
    """A configuration file that cannot be used; the text names the file, the line and the key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Processes that belong to the application `name`: all criteria given must match.

    process and executable are shell patterns over the program's name and the executable's path;
    command is a regular expression searched in the command line; user is a login name.
    """

    name: str
    process: str | None = None
    executable: str | None = None
    command: re.Pattern[str] | None = None
    user: str | None = None


class Limits(NamedTuple):
    """What each application may use on this host; None: as much as there is."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """What the agent does on this host. Times are whole seconds."""

    interval_seconds: int = 10
    push_delay_seconds: int = 10
    births_seconds: int = 2
    applications_max: int = 500
    cpu_permille_max: int = 20
    memory_megabytes_max: int = 100
    environment: str | None = None
    instance: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    helpers: frozenset[str] | None = None
    rules: tuple[Rule, ...] = ()
    words: "WordsConfig | None" = None
    spool_days_max: int = 30
    spool_megabytes_max: int = 500
    key_rotation_days: int = KEY_ROTATION_DAYS
    own_cgroups: bool = False
    limits: Limits | None = None
    """What the kernel holds in cgroups of the agent's own: the policy's word, never the file's."""
    interception: bool = False
    """Whether programs of this host are started with the intercepting library."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks behind which users are not told apart."""
    probes_off: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()
    """The keys that the file itself states: for these the server's wishes do not count."""


class _Invalid(Exception):
    """A value out of its bounds; the text says what is allowed."""


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Invalid(f"must be a whole number from {low} to {high}")
        return value

    return check


def _interval(value: Any) -> int:
    seconds = _whole(1, 60)(value)
    if BUCKET_SECONDS % seconds:
        raise _Invalid(f"must divide {BUCKET_SECONDS} seconds")
    return seconds


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LENGTH_MAX:
        raise _Invalid(f"must be text of 1 to {NAME_LENGTH_MAX} characters")
    if not value.isprintable():
        raise _Invalid("must not hold control characters")
    return value


def _application(value: Any) -> str:
    name = _text(value)
    if name in RESERVED_NAMES:
        raise _Invalid(f"must not be {name!r}: the agent itself uses that name")
    return name


def _pattern(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(_text(value))
    except (re.error, OverflowError, RecursionError) as error:
        raise _Invalid(f"is not a regular expression: {error}") from error


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Invalid("must be true or false")
    return value


def _probes(value: Any) -> frozenset[str]:
    names = _names(value)
    if not all(PROBE_NAME.match(name) for name in names):
        raise _Invalid("must be a list of names of probes")
    return names


def _names(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise _Invalid("must be a list of names")
    return frozenset(_text(name) for name in value)


def _networks(value: Any) -> tuple[str, ...]:
    import ipaddress

    if not isinstance(value, list) or len(value) > PROXIES_MAX:
        raise _Invalid(f"must be a list of at most {PROXIES_MAX} addresses or networks")
    for text in value:
        try:
            ipaddress.ip_network(_text(text), strict=False)
        except ValueError as error:
            raise _Invalid(f"holds {text!r}, which is no address and no network") from error
    return tuple(value)


def _aliases(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Invalid("must be a table of names")
    return {_text(old): _application(new) for old, new in value.items()}


_KEYS: Final[dict[str, Callable[[Any], object]]] = {
    "interval_seconds": _interval,
    "push_delay_seconds": _whole(0, 30),
    "births_seconds": _whole(0, 10),
    "applications_max": _whole(10, 5_000),
    "cpu_permille_max": _whole(1, 1_000),
    "memory_megabytes_max": _whole(20, 10_000),
    "environment": _text,
    "instance": _text,
    "aliases": _aliases,
    "helpers": _names,
    "spool_days_max": _whole(1, 400),
    "spool_megabytes_max": _whole(1, 1_000_000),
    "key_rotation_days": _whole(1, KEY_ROTATION_DAYS_MAX),
    "own_cgroups": _truth,
    "interception": _truth,
    "proxies": _networks,
    "probes_off": _probes,
}
_RULE_KEYS: Final[dict[str, Callable[[Any], object]]] = {
    "name": _application,
    "process": _text,
    "executable": _text,
    "command": _pattern,
    "user": _text,
}


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    text: str

    def invalid(self, key: str, reason: str, table: int | None = None) -> ConfigInvalid:
        where = f"[[application]] {table + 1}: {key}" if table is not None else key
        return ConfigInvalid(f"{self.path}, line {self._line(key, table)}: {where} {reason}")

    def _line(self, key: str, table: int | None) -> int:
        """The line on which a key stands: in the given [[application]], or before the first."""
        current, header = -1, 1
        wanted = re.compile(rf"""^\s*\[*\s*["']?{re.escape(key)}["']?\s*[]=.]""")
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.match(r"^\s*\[\[\s*application\s*\]\]", line):
                current += 1
                header = number if current == table else header
            if current == (-1 if table is None else table) and wanted.match(line):
                return number
        return header


def _values(
    source: _Source, given: dict[str, Any], keys: dict[str, Callable[[Any], object]],
    table: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in keys:
            raise source.invalid(key, f"is not known; known are {', '.join(keys)}", table)
        try:
            values[key] = keys[key](value)
        except _Invalid as error:
            raise source.invalid(key, str(error), table) from error
    return values


def _rules(source: _Source, tables: object) -> tuple[Rule, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise source.invalid("application", "must be written as [[application]]")
    if len(tables) > RULES_MAX:
        raise source.invalid("application", f"may stand at most {RULES_MAX} times")
    rules = []
    for index, table in enumerate(tables):
        values = _values(source, table, _RULE_KEYS, index)
        if "name" not in values:
            raise source.invalid("name", "is missing", index)
        if len(values) < 2:
            raise source.invalid("name", "needs process, executable, command or user", index)
        rules.append(Rule(**values))
    return tuple(rules)


def _words(path: Path, text: str, given: dict[str, Any]) -> "WordsConfig | None":
    """What applications say themselves; its parser is loaded only where there is something."""
    tables: dict[str, Any] = {table: given.pop(table) for table in WORDS_TABLES if table in given}
    if not tables:
        return None
    from hostmeter_agent.words.config import parse_words

    return parse_words(path, text, tables, ConfigInvalid)


def parse_config(path: Path, text: str) -> Config:
    """The configuration that `text`, the content of `path`, describes. Raises ConfigInvalid."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = found[1] if found else str(text.count("\n") + 1)
        lines = text.splitlines()
        at = lines[int(line) - 1].split("=")[0].strip()[:60] if int(line) <= len(lines) else ""
        reason = re.sub(r"\s*\(at [^)]*\)", "", str(error))
        raise ConfigInvalid(f"{path}, line {line}: {at or 'end of file'}: {reason}") from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise ConfigInvalid(f"{path}: a number is too long, or brackets lie too deep") from error
    source = _Source(path, text)
    rules = _rules(source, given.pop("application", []))
    words = _words(path, text, given)
    values = _values(source, given, {**_KEYS})
    return Config(**values, rules=rules, words=words, stated=frozenset(values))


def load_config(path: Path | None) -> Config:
    """The configuration in `path`, or the defaults without one. Raises ConfigInvalid."""
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigInvalid(f"{path}: larger than {FILE_BYTES_MAX} bytes")
        return parse_config(path, content.decode("utf-8").replace("\r\n", "\n"))
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{path}: not UTF-8 text") from error
