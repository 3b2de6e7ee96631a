"""Turns scans into samples: what each application used in the window that has just ended."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.accounting import account
from hostmeter_agent.baseline import Baseline
from hostmeter_agent.config import Config
from hostmeter_agent.exits import Exit, ExitListener
from hostmeter_agent.proc import RESOURCE_KINDS
from hostmeter_agent.readings import Table, Usage
from hostmeter_agent.scan import Gauges, Scan, Scanner
from hostmeter_agent.windows import Window, aligned_ms, shares, split

log = logging.getLogger("hostmeter_agent")

Sample = dict[str, object]

STEP_MS_MAX: Final = 1_000
"""A wall clock that moved further than this has been set: the window takes the new time."""
INTERVALS_PER_WINDOW_MAX: Final = 3
_IO_METERS: Final = ("file.read", "file.written", "disk.read", "disk.written")


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks: CLOCK_BOOTTIME measures, the wall clock labels."""

    boot_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """One scan's outcome, to be stored as one: the samples and the baseline behind them."""

    samples: list[Sample]
    baseline: Baseline
    gauges: dict[str, Gauges]


def gauge_values(gauges: Gauges) -> dict[str, int | None]:
    """An application's gauges by meter."""
    values: dict[str, int | None] = {
        "memory.used": gauges.memory_bytes,
        "processes": gauges.processes,
        "threads": gauges.threads,
        "files.open": gauges.kinds[0] if gauges.kinds is not None else None,
        "resources.open": gauges.descriptors,
    }
    for index, kind in enumerate(RESOURCE_KINDS):
        values[f"resources.open.{kind}"] = gauges.kinds[index] if gauges.kinds else None
    return values


_WITHOUT_MAXIMUM: Final = frozenset(f"resources.open.{kind}" for kind in RESOURCE_KINDS)


def gauge_meters(now: Gauges, before: Gauges | None, length_ms: int) -> dict[str, int]:
    """Integrals over a window (the value at its end, held for its whole length) and maxima (the
    larger of the values at both ends). What could not be read is left out."""
    meters: dict[str, int] = {}
    former = gauge_values(before) if before is not None else {}
    for name, value in gauge_values(now).items():
        if value is None:
            continue
        meters[name] = (value * length_ms + 500) // 1_000
        if name not in _WITHOUT_MAXIMUM:
            meters[f"{name}.max"] = max(value, former.get(name) or 0)
    return meters


def counter_meters(usage: Usage, application: str) -> dict[str, int]:
    """An application's counters over the whole time between two scans."""
    meters = {"cpu.time": usage.cpu_us.get(application, 0)}
    io = usage.io.get(application)
    if io is not None:
        meters.update(zip(_IO_METERS, io, strict=True))
    return meters


class Measuring:
    """The chain of scans of one run of the agent."""

    def __init__(
        self, scanner: Scanner, config: Config, *, boot_id: str, instance: str,
        baseline: Baseline | None, listener: ExitListener | None,
    ) -> None:  # fmt: skip
        self._scanner = scanner
        self._config = config
        self._boot_id = boot_id
        self._instance = instance
        self._baseline = baseline
        self._listener = listener
        self._exits: list[Exit] = []
        self._gauges: dict[str, Gauges] | None = None
        self._overflow_said = False

    def watch(self, now: Moment) -> None:
        """Between scans: take in what has begun and what has ended."""
        if self._gauges is None or self._baseline is None:
            return
        processes = self._baseline.table.processes
        for pid, reading in self._scanner.births(now_s=now.boot_ms / 1_000).items():
            former = processes.get(pid)
            # A number used again while its former process still has a tail to book: leave that.
            if former is None or former.start == reading.start:
                processes[pid] = reading
        self._drain()

    def measure(self, clock: Callable[[], Moment]) -> Step:
        """Scan now and account for the time since the baseline.

        Nothing is moved until commit(): a step that could not be stored is measured again, as
        part of the next.
        """
        now = clock()
        scan = self._scanner.scan(now_s=now.boot_ms / 1_000)
        self._drain()
        self._say_overflow(scan)
        first = self._gauges is None
        if first:
            # The time before this run is told by parents; records of it would count it again.
            self._exits = [e for e in self._exits if e.pid in scan.table.processes]
        samples: list[Sample] = []
        end_ms = aligned_ms(now.wall_ms, self._config.interval_seconds * 1_000)
        if self._baseline is not None:
            samples = self._samples(self._baseline, scan, now, end_ms, first=first)
        return Step(samples, self._next_baseline(scan, now, end_ms), scan.gauges)

    def commit(self, step: Step) -> None:
        """The step is stored: go on from it."""
        if self._gauges is not None:
            self._exits = []
        self._baseline, self._gauges = step.baseline, step.gauges

    def _drain(self) -> None:
        if self._listener is None:
            return
        exits, lost = self._listener.drain()
        self._exits.extend(exits)
        if lost:
            log.warning("the kernel dropped exit records: CPU time of ended processes is missing")

    def _say_overflow(self, scan: Scan) -> None:
        if scan.overflowed and not self._overflow_said:
            log.warning(
                "more than %d applications: %d processes are metered together as 'other'",
                self._config.applications_max - 1, scan.overflowed,
            )  # fmt: skip
        self._overflow_said = bool(scan.overflowed)

    def _samples(
        self, baseline: Baseline, scan: Scan, now: Moment, end_ms: int, *, first: bool
    ) -> list[Sample]:
        same_boot = baseline.boot_id == self._boot_id
        elapsed_ms = now.boot_ms - baseline.at_boot_ms if same_boot else now.boot_ms
        if elapsed_ms <= 0:
            return []
        before = baseline.table if same_boot else Table()
        exits = None if first or self._listener is None else self._exits
        usage = account(before, scan.table, exits=exits, elapsed_us=elapsed_ms * 1_000)
        _prefer_cgroups(usage, scan, baseline.cgroups if same_boot else {}, elapsed_ms)
        start_ms = end_ms - elapsed_ms
        if same_boot and abs(baseline.end_ms - start_ms) <= STEP_MS_MAX:
            start_ms = min(baseline.end_ms, end_ms - 1)
        longest_ms = INTERVALS_PER_WINDOW_MAX * self._config.interval_seconds * 1_000
        watched = not first and elapsed_ms <= longest_ms
        return self._build(usage, scan.gauges, split(start_ms, end_ms), watched=watched)

    def _build(
        self, usage: Usage, gauges: dict[str, Gauges], windows: Sequence[Window], *, watched: bool
    ) -> list[Sample]:
        before = self._gauges or {}
        names = dict.fromkeys([*gauges, *before, *usage.cpu_us])
        weights = [window.length_ms for window in windows]
        samples: list[Sample] = []
        for name in names:
            counters = counter_meters(usage, name)
            parts = {meter: shares(total, weights) for meter, total in counters.items()}
            held = gauges.get(name) or (Gauges() if name in before else None)
            for index, window in enumerate(windows):
                meters = {meter: part[index] for meter, part in parts.items()}
                if watched and held is not None:
                    meters.update(gauge_meters(held, before.get(name), window.length_ms))
                samples.append(self._sample(name, window, meters, watched=watched))
        return samples

    def _sample(
        self, name: str, window: Window, meters: dict[str, int], *, watched: bool
    ) -> Sample:
        return {
            "application": name,
            "instance": self._instance,
            "role": "primary",
            "environment": self._config.environment,
            "window": window.label(),
            "coverage": int(watched),
            "usage": meters,
        }

    def _next_baseline(self, scan: Scan, now: Moment, end_ms: int) -> Baseline:
        cgroups = {
            path: (counters.inode, counters.cpu_us)
            for path, counters in scan.cgroups.items()
            if counters.cpu_us is not None
        }
        return Baseline(self._boot_id, now.boot_ms, end_ms, scan.table, cgroups)


def _prefer_cgroups(
    usage: Usage, scan: Scan, before: dict[str, tuple[int, int]], elapsed_ms: int
) -> None:
    """Where cgroups are an application's and only its own, their count is the better one: it
    holds the processes that no scan has seen."""
    possible_us = elapsed_ms * 1_000 * (os.cpu_count() or 1)
    for application, paths in scan.cgroups_of.items():
        total = 0
        for path in paths:
            counters = scan.cgroups[path]
            inode, former = before.get(path, (0, 0))
            known = former if inode == counters.inode else 0
            total += max((counters.cpu_us or 0) - known, 0)
        # A cgroup that stood empty keeps its old count: more than the time allows is not new.
        if total <= possible_us:
            usage.cpu_us[application] = total
