"""Turns scans into samples: what each application used in the window that has just ended."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hostmeter_agent.accounting import account
from hostmeter_agent.baseline import Baseline
from hostmeter_agent.config import Config
from hostmeter_agent.exits import Exit, ExitListener
from hostmeter_agent.measured import Profiles
from hostmeter_agent.probing import SCAN, Probed, Probing
from hostmeter_agent.readings import Table, Usage
from hostmeter_agent.samples import Held, Sample, Seen, Source, build, build_gap
from hostmeter_agent.scan import Scan, Scanner
from hostmeter_agent.stretches import Moment, Stretches, stretches_since
from hostmeter_agent.windows import aligned_ms

log = logging.getLogger("hostmeter_agent")


@dataclass(frozen=True, slots=True)
class Step:
    """One scan's outcome, to be stored as one: the samples, the measurements that they name, and
    the baseline behind them."""

    samples: list[Sample]
    measurements: dict[str, str]
    baseline: Baseline
    held: Held


@dataclass(slots=True)
class Measuring:
    """The chain of scans of one run of the agent."""

    scanner: Scanner
    config: Config
    boot_id: str
    instance: str
    baseline: Baseline | None
    listener: ExitListener | None
    probing: Probing
    _exits: list[Exit] = field(default_factory=list)
    _held: Held | None = None
    _overflow_said: bool = False
    _profiles: Profiles = field(default_factory=Profiles)

    def watch(self, now: Moment) -> None:
        """Between scans: take in what has begun and what has ended."""
        if self._held is None or self.baseline is None:
            return
        processes = self.baseline.table.processes
        for pid, reading in self.scanner.births(now_s=now.boot_ms / 1_000).items():
            former = processes.get(pid)
            # A number used again while its former process still has a tail to book: leave that.
            if former is None or former.start == reading.start:
                processes[pid] = reading
        self._drain()
        self.probing.watch()

    def measure(self, clock: Callable[[], Moment]) -> Step:
        """Scan now and account for the time since the baseline.

        Nothing is moved until commit(): a step that could not be stored is measured again, as
        part of the next.
        """
        self.probing.begin()
        now = clock()
        with self.probing.budget.timed(SCAN):
            scan = self.scanner.scan(now_s=now.boot_ms / 1_000)
            self._drain()
        self._say_overflow(scan)
        if self._held is None:
            # The time before this run is told by parents; records of it would count it again.
            self._exits = [e for e in self._exits if e.pid in scan.table.processes]
        end_ms = aligned_ms(now.wall_ms, self.config.interval_seconds * 1_000)
        since = stretches_since(
            self.baseline, now, end_ms, boot_id=self.boot_id, running=self._held is not None,
            interval_ms=self.config.interval_seconds * 1_000,
        )  # fmt: skip
        former = self.baseline.probes if self.baseline is not None else {}
        probed = self.probing.read(scan, former, elapsed_ms=since.elapsed_ms)
        held = Held(scan.gauges, [reading.gauges for reading in probed.readings])
        samples, measurements = self._samples(scan, since, probed, held)
        baseline = self._next_baseline(scan, now, end_ms, probed.states)
        return Step(samples, measurements, baseline, held)

    def commit(self, step: Step) -> None:
        """The step is stored: go on from it."""
        if self._held is not None:
            self._exits = []
        self.baseline, self._held = step.baseline, step.held
        self.probing.stored()

    def _drain(self) -> None:
        if self.listener is None:
            return
        exits, lost = self.listener.drain()
        self._exits.extend(exits)
        if lost:
            log.warning("the kernel dropped exit records: CPU time of ended processes is missing")

    def _say_overflow(self, scan: Scan) -> None:
        if scan.overflowed and not self._overflow_said:
            log.warning(
                "more than %d applications: %d processes are metered together as 'other'",
                self.config.applications_max - 1, scan.overflowed,
            )  # fmt: skip
        self._overflow_said = bool(scan.overflowed)

    def _samples(
        self, scan: Scan, since: Stretches, probed: Probed, held: Held
    ) -> tuple[list[Sample], dict[str, str]]:
        if self.baseline is None or since.measured is None:
            return [], {}
        before = self.baseline.table if since.same_boot else Table()
        exits = None if self._held is None or self.listener is None else self._exits
        usage = account(before, scan.table, exits=exits, elapsed_us=since.elapsed_ms * 1_000)
        cgroups = self.baseline.cgroups if since.same_boot else {}
        _prefer_cgroups(usage, scan, cgroups, since.elapsed_ms)
        source = Source(self.instance, self.config.environment)
        seen = Seen(usage, held, self._held or Held(), probed.readings, how={})
        measured = replace(since.measured, marks=since.measured.marks | probed.marks)
        samples, measurements = build(seen, measured, source, self._profiles)
        if since.down is not None:
            names = dict.fromkeys(r.application for r in self.baseline.table.processes.values())
            gaps, named = build_gap(list(names), since.down, source, self._profiles)
            samples, measurements = gaps + samples, measurements | named
        return samples, measurements

    def _next_baseline(
        self, scan: Scan, now: Moment, end_ms: int, states: dict[str, object]
    ) -> Baseline:
        cgroups = {
            path: (counters.inode, counters.cpu_us)
            for path, counters in scan.cgroups.items()
            if counters.cpu_us is not None
        }
        return Baseline(
            self.boot_id, now.boot_ms, end_ms, scan.table, cgroups, now.suspended_ms, states
        )


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
