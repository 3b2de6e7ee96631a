"""Meters from the Prometheus endpoints of applications."""

import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.wire import kind_of
from hostmeter_agent.words.amounts import NANO, Carry, rounded
from hostmeter_agent.words.config import Endpoint, Metric
from hostmeter_agent.words.exposition import Page, Series, passes
from hostmeter_agent.words.methods import claims_of, method
from hostmeter_agent.words.scraping import Fetched, Scraper

log = logging.getLogger("hostmeter_agent")

SERIES_MAX: Final = 2_000
RESET: Final = "counter-reset"
MISSING: Final = "endpoint-missing"
TOO_MANY: Final = "too-many-series"
_FIRST_WAIT_SECONDS: Final = 1.0
_SAME_START_NANOS: Final = 2 * NANO


def rule_digest(metric: Metric) -> str:
    """What tells one rule from another in the state."""
    conditions = [(name, p.pattern) for name, p in (*metric.where, ("", None), *metric.unless) if p]
    identity = repr((metric.name, metric.meter, metric.multiply, conditions))
    return hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class EndpointState:
    """What is known of one endpoint. since: when it was first asked, in billionths of a second
    since 1970; series: values by digest, in billionths; start: the process's; rules: those by
    which a page was read."""

    since: int
    series: dict[str, int] = field(default_factory=dict)
    start: int | None = None
    rules: list[str] = field(default_factory=list)

    def encode(self) -> dict[str, object]:
        return {
            "since": self.since, "series": self.series, "start": self.start, "rules": self.rules
        }  # fmt: skip


@dataclass(slots=True)
class PageStep:
    """What one page adds, by meter, in billionths of its unit; absent is what it does not say."""

    state: EndpointState
    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)


def step_of(page: Page, before: EndpointState, metrics: Iterable[Metric]) -> PageStep:
    """What a page adds to what was known.

    Same series: the difference; new series: its whole value; one that went backwards, or whose
    process began anew: its whole value, marked. What a rule reads for the first time is where it
    begins, unless the process is younger than the first look at its endpoint.
    """
    restarted = _restarted(page.start, before.start)
    series = {} if restarted else dict(before.series)
    step = PageStep(EndpointState(before.since, series, page.start or before.start))
    young = not before.rules and page.start is not None and page.start >= before.since
    seen: dict[str, int] = {}
    for metric in metrics:
        digest = rule_digest(metric)
        if metric.name not in page.refused or digest in before.rules:
            step.state.rules.append(digest)
        if metric.name in page.refused or not page.names(metric.name):
            step.absent.add(metric.meter)
            continue
        found = [
            one
            for one in page.series.get(metric.name, [])
            if passes(one.labels, metric.where, metric.unless)
        ]
        seen |= {one.digest: one.value for one in found}
        if kind_of(metric.meter) == "gauge":
            _add(step.gauges, metric, sum(one.value for one in found))
        elif young or digest in before.rules:
            _add(step.counters, metric, sum(one.value - _base(one, series) for one in found))
            if any(one.value < before.series.get(one.digest, 0) for one in found) or (
                restarted and any(one.digest in before.series for one in found)
            ):
                step.marks.add(RESET)
        else:
            step.absent.add(metric.meter)
    _remember(step, seen)
    return step


def _base(one: Series, series: dict[str, int]) -> int:
    """What of a series' value was known; nothing of one that went backwards."""
    known = series.get(one.digest, 0)
    return known if one.value >= known else 0


def _add(totals: dict[str, int], metric: Metric, amount: int) -> None:
    totals[metric.meter] = totals.get(metric.meter, 0) + amount * metric.multiply


def _restarted(start: int | None, before: int | None) -> bool:
    return start is not None and before is not None and abs(start - before) > _SAME_START_NANOS


def _remember(step: PageStep, seen: dict[str, int]) -> None:
    """A series that is not on the page now may come back, so it is kept while there is room."""
    room = max(SERIES_MAX - len(seen), 0)
    gone = {digest: value for digest, value in step.state.series.items() if digest not in seen}
    step.state.series = dict(list(gone.items())[-room:] if room else ()) | seen
    if len(seen) > SERIES_MAX:
        step.marks.add(TOO_MANY)
        step.state.series = dict(list(seen.items())[:SERIES_MAX])


@dataclass(slots=True)
class _Told:
    """What the endpoints of one application told. short: meters that some did not tell."""

    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    short: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)

    def add(self, step: PageStep) -> None:
        for totals, more in ((self.counters, step.counters), (self.gauges, step.gauges)):
            for meter, amount in more.items():
                totals[meter] = totals.get(meter, 0) + amount
        self.short |= step.absent
        self.marks |= step.marks


class PrometheusProbe(Probe):
    """Reads what the scrapers' threads have fetched."""

    name = "prometheus"

    def __init__(
        self, endpoints: Iterable[Endpoint], metrics: Iterable[Metric], *, interval_seconds: int
    ) -> None:
        self._metrics: dict[str, list[Metric]] = {}
        for metric in metrics:
            self._metrics.setdefault(metric.application, []).append(metric)
        self._endpoints = [one for one in endpoints if one.application in self._metrics]
        self._scrapers = [
            Scraper(
                endpoint,
                frozenset(metric.name for metric in self._metrics[endpoint.application]),
                interval_seconds=interval_seconds,
            )
            for endpoint in self._endpoints
        ]
        self._said: dict[str, str] = {}
        self.claims = claims_of(
            (metric.application, metric.meter)
            for endpoint in self._endpoints
            for metric in self._metrics[endpoint.application]
        )

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        """What the pages add to `former`, this probe's own state."""
        state: dict[str, Any] = former if isinstance(former, dict) else {}
        known = state.get("endpoints", {})
        carry = Carry(state.get("carry", {}))
        kept: dict[str, object] = {}
        told: dict[str, _Told] = {}
        until = time.monotonic() + _FIRST_WAIT_SECONDS
        for endpoint, scraper in zip(self._endpoints, self._scrapers, strict=True):
            key = f"{endpoint.application}\n{endpoint.url}"
            so_far = told.setdefault(endpoint.application, _Told())
            fetched = scraper.latest(wait_s=max(until - time.monotonic(), 0))
            before = EndpointState(**known.get(key, {"since": time.time_ns()}))
            step = self._step(endpoint, fetched, before)
            if step is not None:
                so_far.add(step)
            else:
                so_far.marks.add(MISSING)
                so_far.short |= {metric.meter for metric in self._metrics[endpoint.application]}
            kept[key] = (before if step is None else step.state).encode()
        readings = Readings()
        for application, what in told.items():
            self._report(readings, application, what, carry)
        readings.state = {"endpoints": kept, "carry": carry.kept}
        return readings

    def close(self) -> None:
        for scraper in self._scrapers:
            scraper.stop()

    def _step(
        self, endpoint: Endpoint, fetched: Fetched | None, before: EndpointState
    ) -> PageStep | None:
        reason = "no answer yet" if fetched is None else fetched.reason
        if reason != self._said.get(endpoint.url, ""):
            log.warning(
                "metrics of %s, %s: %s", endpoint.application, endpoint.url, reason or "again there"
            )
        self._said[endpoint.url] = reason
        if fetched is None or fetched.page is None:
            return None
        return step_of(fetched.page, before, self._metrics[endpoint.application])

    def _report(self, readings: Readings, application: str, told: _Told, carry: Carry) -> None:
        measured = readings.measured.setdefault(application, {})
        for metric in self._metrics[application]:
            meter = metric.meter
            if meter in measured:
                continue
            quality: Quality = (
                "lower_bound" if meter in told.short or TOO_MANY in told.marks else "exact"
            )
            if meter in told.counters:
                whole = carry.whole(f"{application}\n{meter}", told.counters[meter])
                readings.counters.setdefault(application, {})[meter] = whole
            elif told.gauges.get(meter, -1) >= 0:
                value = rounded(told.gauges[meter])
                readings.gauges.setdefault(application, {})[meter] = value
            else:
                quality = "unavailable"
            measured[meter] = Measured(quality, method(self.name, metric.version))
        if told.marks:
            readings.marks[application] = set(told.marks)
