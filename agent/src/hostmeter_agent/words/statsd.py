"""Meters from what applications send by StatsD."""

import logging
import time
from typing import Any, Final

from hostmeter_agent.measure.measured import Measured, Quality
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.wire import kind_of
from hostmeter_agent.words.amounts import Carry, rounded
from hostmeter_agent.words.config import Metric, StatsdInlet
from hostmeter_agent.words.local_sockets import InletUnusable
from hostmeter_agent.words.methods import claims_of, method
from hostmeter_agent.words.statsd_inlet import StatsdSockets
from hostmeter_agent.words.statsd_lines import Accumulator, Gauge, Pending, Target

log = logging.getLogger("hostmeter_agent")

RESTARTED: Final = "inlet-restarted"
DROPPED: Final = "datagrams-dropped"
MALFORMED: Final = "malformed-lines"
CLOSED: Final = "inlet-closed"


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StatsdProbe(Probe):
    """What came since the last stored scan. It is in memory only: a killed agent loses it."""

    name = "statsd"

    def __init__(self, inlet: StatsdInlet, metrics: tuple[Metric, ...]) -> None:
        self._inlet = inlet
        self._metrics = {(one.application, one.meter): one for one in metrics}
        self.claims = claims_of(self._metrics)
        self._accumulator = Accumulator(metrics, _boot_s)
        self._sockets: StatsdSockets | None = None
        self._unstored = Pending()
        self._fresh = True
        self._dropped = self._dropped_read = 0
        try:
            self._sockets = StatsdSockets(inlet, self._accumulator.take)
        except InletUnusable as error:
            log.error("no StatsD is taken: %s", error)

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        """What has come since the last stored reading."""
        state: dict[str, Any] = former if isinstance(former, dict) else {}
        if self._fresh:
            self._restore(state.get("gauges", []))
        carry = Carry(state.get("carry", {}))
        self._unstored.take_in(self._accumulator.fetch())
        gauges = self._accumulator.gauges(stale_s=self._inlet.stale_seconds)
        readings = Readings()
        if self._sockets is not None:
            self._dropped_read = self._sockets.dropped
        for target, metric in self._metrics.items():
            self._report(readings, target, metric, gauges.get(target, {}), carry)
        readings.state = {"carry": carry.kept, "gauges": self._encode(gauges)}
        return readings

    def stored(self) -> None:
        self._unstored = Pending()
        self._fresh = False
        self._dropped = self._dropped_read

    def close(self) -> None:
        if self._sockets is not None:
            self._sockets.close()

    def _report(
        self, readings: Readings, target: Target, metric: Metric, gauges: dict[str, Gauge],
        carry: Carry,
    ) -> None:  # fmt: skip
        application, meter = target
        marks = self._marks(target)
        quality: Quality = "lower_bound" if marks else "exact"
        if kind_of(meter) == "gauge":
            quality = "exact" if gauges and self._sockets is not None else "unavailable"
            if quality == "exact":
                total = sum(gauge.value for gauge in gauges.values())
                peak = max(total, self._unstored.peaks.get(target, 0))
                readings.gauges.setdefault(application, {})[meter] = rounded(total)
                readings.maxima.setdefault(application, {})[meter] = rounded(peak)
        elif self._sockets is None:
            quality = "unavailable"
        else:
            whole = carry.whole(f"{application}\n{meter}", self._unstored.counters.get(target, 0))
            readings.counters.setdefault(application, {})[meter] = whole
            if target in self._unstored.sampled:
                quality = "estimated"
        readings.measured.setdefault(application, {})[meter] = Measured(
            quality, method(self.name, metric.version)
        )
        if marks:
            readings.marks.setdefault(application, set()).update(marks)

    def _marks(self, target: Target) -> set[str]:
        if self._sockets is None:
            return {CLOSED}
        marks = {RESTARTED} if self._fresh else set()
        if self._dropped_read != self._dropped:
            marks.add(DROPPED)
        if target in self._unstored.malformed:
            marks.add(MALFORMED)
        return marks

    def _encode(self, gauges: dict[Target, dict[str, Gauge]]) -> list[list[object]]:
        return [
            [*target, digest, gauge.value, gauge.at_s]
            for target, of_target in gauges.items()
            for digest, gauge in of_target.items()
        ]

    def _restore(self, kept: list[list[Any]]) -> None:
        """Gauges stay over a restart of the agent; times of a former boot are as good as now."""
        now_s = _boot_s()
        for application, meter, digest, value, at_s in kept:
            if (application, meter) in self._metrics:
                gauge = Gauge(value, min(at_s, now_s))
                self._accumulator.restore((application, meter), digest, gauge)
