"""The tables in which the operator says how applications tell what they do."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.wire import METERS, METERS_BY_NAME, METERS_PER_SAMPLE_MAX
from hostmeter_agent.words import checks
from hostmeter_agent.words.checks import Conditions, ValueRefused

ACCESS_LOGS_MAX: Final = 64
ENDPOINTS_MAX: Final = 32
METRICS_MAX: Final = 500
OWN_METERS_MAX: Final = METERS_PER_SAMPLE_MAX - len(METERS) - 1
"""For one application, beside all that are built in and that of lines that no rule can read: with
more of them the server would refuse its samples."""
VERSION_MAX: Final = 1_000_000

Invalid = Callable[[str], AgentError]
"""Makes the error of the configuration file from its text."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Lines of the files that `path`, a shell pattern, matches are transactions of `application`.

    user: the field that names who asked. active_seconds: for how long one is present after a
    line. bytes_per_scan: the most that one scan reads.
    """

    application: str
    path: str
    format: str
    pattern: re.Pattern[str] | None = None
    where: Conditions = ()
    unless: Conditions = ()
    transactions: bool = True
    user: str | None = None
    time: str | None = None
    active_seconds: int = 300
    bytes_per_scan: int = 16 << 20
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A page of `application` in the Prometheus text format."""

    application: str
    url: str
    timeout_seconds: int = 2
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class OtlpInlet:
    """Where OTLP over HTTP is taken: a unix socket, a port of 127.0.0.1, or both."""

    socket: str | None = None
    mode: int = 0o660
    port: int | None = None
    stale_seconds: int = 300


@dataclass(frozen=True, slots=True)
class StatsdInlet:
    """Where StatsD is taken: datagrams, a stream, datagrams to a port of 127.0.0.1."""

    socket: str | None = None
    stream: str | None = None
    mode: int = 0o660
    port: int | None = None
    stale_seconds: int = 300


@dataclass(frozen=True, slots=True)
class Metric:
    """A name in `source` (prometheus, otlp, statsd) whose values are a meter of `application`.

    multiply: what one of its units is in the meter's.
    """

    source: str
    application: str
    name: str
    meter: str
    where: Conditions = ()
    unless: Conditions = ()
    multiply: int = 1
    version: int | None = None


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """How the applications of this host tell what they do."""

    access_logs: tuple[AccessLog, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    otlp: OtlpInlet | None = None
    statsd: StatsdInlet | None = None
    metrics: tuple[Metric, ...] = ()

    def metrics_of(self, source: str) -> tuple[Metric, ...]:
        return tuple(metric for metric in self.metrics if metric.source == source)


_Checks = dict[str, Callable[[Any], object]]
_CONDITIONS: Final[_Checks] = {"where": checks.conditions, "unless": checks.conditions}
_VERSION: Final[_Checks] = {"version": checks.whole(1, VERSION_MAX)}
_ACCESS_LOG: Final[_Checks] = {
    "application": checks.application,
    "path": checks.absolute,
    "format": checks.one_of("combined", "json", "regex"),
    "pattern": checks.pattern,
    **_CONDITIONS,
    "transactions": checks.switch,
    "user": checks.text,
    "time": checks.text,
    "active_seconds": checks.whole(1, 86_400),
    "bytes_per_scan": checks.whole(1 << 16, 1 << 28),
    **_VERSION,
}
_ENDPOINT: Final[_Checks] = {
    "application": checks.application,
    "url": checks.url,
    "timeout_seconds": checks.whole(1, 10),
    "token_file": checks.absolute,
}
_OTLP: Final[_Checks] = {
    "socket": checks.socket_path,
    "mode": checks.mode,
    "port": checks.whole(1, 65_535),
    "stale_seconds": checks.whole(1, 86_400),
}
_STATSD: Final[_Checks] = {**_OTLP, "stream": checks.socket_path}
_METRIC: Final[_Checks] = {
    "source": checks.one_of("prometheus", "otlp", "statsd"),
    "application": checks.application,
    "name": checks.text,
    "meter": checks.meter,
    **_CONDITIONS,
    "multiply": checks.whole(1, 10**12),
    **_VERSION,
}


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    text: str
    error: Invalid

    def invalid(self, table: str, index: int | None, key: str, reason: str) -> AgentError:
        name = f"[{table}]" if index is None else f"[[{table}]] {index + 1}"
        line = self._line(table, index or 0, key)
        return self.error(f"{self.path}, line {line}: {name}: {key} {reason}")

    def _line(self, table: str, index: int, key: str) -> int:
        """The line on which a key of the table's index-th standing is, or its header's."""
        header, current, inside = 1, -1, False
        wanted = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*[=.]|\.{re.escape(key)}\s*\]""")
        for number, line in enumerate(self.text.splitlines(), start=1):
            found = re.match(r"\s*\[+\s*([\w-]+)\s*(\.|\])", line)
            if found:
                inside = found[1] == table
                current += inside and found[2] == "]"
                header = number if inside and current == index and header == 1 else header
            if inside and current == index and wanted.search(line):
                return number
        return header


def _values(
    source: _Source, table: str, index: int | None, given: object, known: _Checks,
    needed: Iterable[str],
) -> dict[str, Any]:  # fmt: skip
    if not isinstance(given, dict):
        brackets = f"[{table}]" if index is None else f"[[{table}]]"
        raise source.invalid(table, index, table, f"must be written as {brackets}")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise source.invalid(table, index, key, f"is not known; known are {', '.join(known)}")
        try:
            values[key] = known[key](value)
        except ValueRefused as error:
            raise source.invalid(table, index, key, str(error)) from error
    for key in needed:
        if key not in values:
            raise source.invalid(table, index, key, "is missing")
    return values


def _each(
    source: _Source, table: str, given: object, known: _Checks, needed: Iterable[str], most: int
) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        raise source.invalid(table, 0, table, f"must be written as [[{table}]]")
    if len(given) > most:
        raise source.invalid(table, most, table, f"may stand at most {most} times")
    return [_values(source, table, at, one, known, needed) for at, one in enumerate(given)]


def _check_access_log(source: _Source, index: int, rule: AccessLog) -> None:
    def refuse(key: str, reason: str) -> AgentError:
        return source.invalid("access_log", index, key, reason)

    if (rule.format == "regex") != (rule.pattern is not None):
        raise refuse("pattern", "is needed with format regex, and only there")
    if not rule.transactions and rule.user is None:
        raise refuse("user", "is needed where transactions is false")
    known = fields_of(rule)
    named = [name for name, _ in (*rule.where, *rule.unless)]
    for key, name in [("user", rule.user), ("time", rule.time), *(("where", n) for n in named)]:
        if known is not None and name is not None and name not in known:
            raise refuse(key, f"names {name!r}, which is no field; fields are {', '.join(known)}")


def fields_of(rule: AccessLog) -> tuple[str, ...] | None:
    """The fields that lines of a rule have; None where each line has its own."""
    if rule.pattern is not None:
        return tuple(rule.pattern.groupindex)
    if rule.format == "combined":
        from hostmeter_agent.words.log_format import COMBINED_FIELDS

        return COMBINED_FIELDS
    return None


def _access_logs(source: _Source, given: object) -> tuple[AccessLog, ...]:
    needed = ("application", "path", "format")
    tables = _each(source, "access_log", given, _ACCESS_LOG, needed, ACCESS_LOGS_MAX)
    rules = tuple(AccessLog(**values) for values in tables)
    seen: dict[tuple[str, str], int] = {}
    versions: dict[str, int | None] = {}
    for index, rule in enumerate(rules):
        _check_access_log(source, index, rule)
        if seen.setdefault((rule.application, rule.path), index) != index:
            raise source.invalid("access_log", index, "path", "stands twice for one application")
        if versions.setdefault(rule.application, rule.version) != rule.version:
            raise source.invalid(
                "access_log", index, "version", "must be one for all logs of an application"
            )
    return rules


def _metrics(source: _Source, given: object, sources: set[str]) -> tuple[Metric, ...]:
    needed = ("source", "application", "name", "meter")
    tables = _each(source, "metric", given, _METRIC, needed, METRICS_MAX)
    metrics = tuple(Metric(**values) for values in tables)
    versions: dict[tuple[str, str], int | None] = {}
    for index, metric in enumerate(metrics):
        if metric.source not in sources:
            reason = f"is {metric.source!r}, for which there is no table"
            raise source.invalid("metric", index, "source", reason)
        if metrics.index(metric) != index:
            raise source.invalid("metric", index, "name", "stands twice for one meter")
        key = (metric.application, metric.meter)
        if versions.setdefault(key, metric.version) != metric.version:
            raise source.invalid("metric", index, "version", "must be one for a meter")
        own = {one for name, one in versions if name == metric.application} - METERS_BY_NAME.keys()
        if len(own) > OWN_METERS_MAX:
            reason = (
                f"is one too many: at most {OWN_METERS_MAX} meters of one application"
                " may be its own"
            )
            raise source.invalid("metric", index, "meter", reason)
    return metrics


def _check_one_origin(source: _Source, words: WordsConfig) -> None:
    """Two origins of one meter would count everything twice."""
    origins: dict[tuple[str, str], str] = {}
    for rule in words.access_logs:
        if rule.transactions:
            origins[rule.application, "transactions"] = "access_log"
        if rule.user is not None:
            origins[rule.application, "users.concurrent"] = "access_log"
    for index, metric in enumerate(words.metrics):
        origin = origins.setdefault((metric.application, metric.meter), metric.source)
        if origin != metric.source:
            reason = f"comes from {origin} already"
            raise source.invalid("metric", index, "meter", reason)


def _inlet(source: _Source, table: str, given: object, known: _Checks) -> dict[str, Any]:
    values = _values(source, table, None, given, known, ())
    if not values.keys() & {"socket", "stream", "port"}:
        raise source.invalid(table, None, "socket", "or port is needed")
    return values


def parse_words(path: Path, text: str, given: dict[str, Any], error: Invalid) -> WordsConfig:
    """What the tables in `given`, parsed from `text`, the content of `path`, describe.

    Raises what `error` makes: one line with the file, the line and the key.
    """
    source = _Source(path, text, error)
    endpoints = _each(
        source, "prometheus", given.get("prometheus", []), _ENDPOINT, ("application", "url"),
        ENDPOINTS_MAX,
    )  # fmt: skip
    otlp, statsd = given.get("otlp"), given.get("statsd")
    sources = {name for name in ("prometheus", "otlp", "statsd") if given.get(name)}
    words = WordsConfig(
        access_logs=_access_logs(source, given.get("access_log", [])),
        endpoints=tuple(Endpoint(**values) for values in endpoints),
        otlp=None if otlp is None else OtlpInlet(**_inlet(source, "otlp", otlp, _OTLP)),
        statsd=None if statsd is None else StatsdInlet(**_inlet(source, "statsd", statsd, _STATSD)),
        metrics=_metrics(source, given.get("metric", []), sources),
    )
    _check_one_origin(source, words)
    return words
