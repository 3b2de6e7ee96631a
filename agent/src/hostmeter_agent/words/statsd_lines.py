"""StatsD: what lines say, and what they add up to until it is stored."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.wire import kind_of
from hostmeter_agent.words.amounts import NANO, nanos
from hostmeter_agent.words.config import Metric
from hostmeter_agent.words.exposition import digest_of, passes

GAUGE_SERIES_MAX: Final = 1_000
_TIMERS: Final = frozenset({"ms", "h", "d"})
_RATE_NANOS_MIN: Final = NANO // 1_000_000

Target = tuple[str, str]
"""An application and a meter."""


class LineMalformed(ValueError):
    """A line of one of our names that is no StatsD."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line. kind: c, g, ms, h, d or s; values in billionths; one_in: how many events each
    stands for, in billionths; relative: a gauge's change."""

    kind: str
    values: tuple[int, ...]
    one_in: int
    relative: bool
    tags: dict[str, str]


def event_of(rest: str) -> Event:
    """What stands after the name and its colon. Raises LineMalformed."""
    value_text, *sections = rest.split("|")
    if not sections:
        raise LineMalformed
    one_in, tags = NANO, {}
    for section in sections[1:]:
        if section.startswith("@"):
            rate = nanos(section[1:])
            if rate is None or not _RATE_NANOS_MIN <= rate <= NANO:
                raise LineMalformed
            one_in = (NANO * NANO + rate // 2) // rate
        elif section.startswith("#"):
            tags = dict(_tag(tag) for tag in section[1:].split(","))
    values = tuple(amount for text in value_text.split(":") if (amount := nanos(text)) is not None)
    if len(values) != value_text.count(":") + 1:
        raise LineMalformed
    return Event(sections[0], values, one_in, value_text[0] in "+-", tags)


def _tag(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value


@dataclass(slots=True)
class Gauge:
    """A gauge's last value in billionths, and when it came (seconds on the inlet's clock)."""

    value: int
    at_s: float


@dataclass(slots=True)
class Pending:
    """What came and is not stored: counters in billionths of the meter's unit; sampled: targets
    of which only some events were sent; malformed: targets with lines that say nothing."""

    counters: dict[Target, int] = field(default_factory=dict)
    peaks: dict[Target, int] = field(default_factory=dict)
    sampled: set[Target] = field(default_factory=set)
    malformed: set[Target] = field(default_factory=set)

    def take_in(self, more: "Pending") -> None:
        for target, amount in more.counters.items():
            self.counters[target] = self.counters.get(target, 0) + amount
        for target, peak in more.peaks.items():
            self.peaks[target] = max(self.peaks.get(target, 0), peak)
        self.sampled |= more.sampled
        self.malformed |= more.malformed


class Accumulator:
    """Adds up what the inlet's thread takes, for the scan to fetch."""

    def __init__(self, metrics: Iterable[Metric], clock: Callable[[], float]) -> None:
        self._rules: dict[str, list[Metric]] = {}
        for metric in metrics:
            self._rules.setdefault(metric.name, []).append(metric)
        self._clock = clock
        self._lock = threading.Lock()
        self._pending = Pending()
        self._gauges: dict[Target, dict[str, Gauge]] = {}

    def take(self, data: bytes) -> None:
        """The lines of one datagram, or whole lines of a stream."""
        for line in data.decode(errors="replace").split("\n"):
            name, _, rest = line.partition(":")
            rules = self._rules.get(name)
            if rules is not None:
                with self._lock:
                    self._take_line(name, rest.rstrip("\r"), rules)

    def _take_line(self, name: str, rest: str, rules: list[Metric]) -> None:
        try:
            event = event_of(rest)
        except LineMalformed:
            self._pending.malformed |= {(rule.application, rule.meter) for rule in rules}
            return
        for rule in rules:
            if passes(event.tags, rule.where, rule.unless):
                if kind_of(rule.meter) == "gauge":
                    self._set(rule, event, digest_of(name, event.tags))
                else:
                    self._add(rule, event)

    def _add(self, rule: Metric, event: Event) -> None:
        target = (rule.application, rule.meter)
        if event.kind in _TIMERS:
            amount = NANO * len(event.values)
        elif event.kind == "c" and min(event.values) >= 0:
            amount = sum(event.values)
        else:
            self._pending.malformed.add(target)
            return
        amount = (amount * event.one_in + NANO // 2) // NANO * rule.multiply
        self._pending.counters[target] = self._pending.counters.get(target, 0) + amount
        if event.one_in != NANO:
            self._pending.sampled.add(target)

    def _set(self, rule: Metric, event: Event, digest: str) -> None:
        target = (rule.application, rule.meter)
        gauges = self._gauges.setdefault(target, {})
        if event.kind != "g" or (digest not in gauges and len(gauges) >= GAUGE_SERIES_MAX):
            self._pending.malformed.add(target)
            return
        gauge = gauges.setdefault(digest, Gauge(0, 0))
        for value in event.values:
            amount = value * rule.multiply
            gauge.value = max(gauge.value + amount if event.relative else amount, 0)
        gauge.at_s = self._clock()
        total = sum(one.value for one in gauges.values())
        self._pending.peaks[target] = max(self._pending.peaks.get(target, 0), total)

    def fetch(self) -> Pending:
        """What came since the last fetch; whoever fetches it answers for it."""
        with self._lock:
            fetched, self._pending = self._pending, Pending()
            return fetched

    def gauges(self, *, stale_s: float) -> dict[Target, dict[str, Gauge]]:
        """The gauges that came within the last `stale_s` seconds; the others are forgotten."""
        oldest_s = self._clock() - stale_s
        with self._lock:
            for target, gauges in list(self._gauges.items()):
                fresh = {one: gauge for one, gauge in gauges.items() if gauge.at_s >= oldest_s}
                self._gauges[target] = fresh
                if not fresh:
                    del self._gauges[target]
            return {
                target: {one: Gauge(gauge.value, gauge.at_s) for one, gauge in gauges.items()}
                for target, gauges in self._gauges.items()
            }

    def restore(self, target: Target, digest: str, gauge: Gauge) -> None:
        """A gauge as a former run of the agent knew it, unless a newer one has come."""
        with self._lock:
            self._gauges.setdefault(target, {}).setdefault(digest, gauge)
