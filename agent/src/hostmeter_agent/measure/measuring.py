"""Turns scans into samples: what each application used in the window that has just ended."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_tree import Groups
from hostmeter_agent.cgroup.cgroup_usage import CgroupState, Settled, first_state, settle
from hostmeter_agent.cgroup.cgroups import OURS
from hostmeter_agent.cgroup.limits import release_former
from hostmeter_agent.cgroup.own_cgroups import Moving, open_moving
from hostmeter_agent.config import Config
from hostmeter_agent.measure.accounting import account
from hostmeter_agent.measure.base_quality import How, base_quality
from hostmeter_agent.measure.baseline import Baseline
from hostmeter_agent.measure.exits import Exit, ExitListener
from hostmeter_agent.measure.folding import fold, is_too_much
from hostmeter_agent.measure.measured import Profiles
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.probing import SCAN, Probing
from hostmeter_agent.measure.readings import Table, Usage
from hostmeter_agent.measure.samples import Held, Sample, Seen, Source, build, build_gap
from hostmeter_agent.measure.scan import Scan, Scanner
from hostmeter_agent.measure.stretches import Moment, Stretches, stretches_since
from hostmeter_agent.measure.windows import aligned_ms

log = logging.getLogger("hostmeter_agent")


@dataclass(frozen=True, slots=True)
class Step:
    """One scan's outcome, to be stored as one: the samples, the measurements that they name, and
    the baseline behind them."""

    samples: list[Sample]
    measurements: dict[str, str]
    baseline: Baseline
    held: Held
    groups: Groups


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
    moving: Moving | None = None
    _exits: list[Exit] = field(default_factory=list)
    _held: Held | None = None
    _groups: Groups | None = None
    _immovable: bool = False
    _exits_lost: bool = False
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
        self._move(self.baseline.table, now.boot_ms)
        self.probing.watch()

    def measure(self, clock: Callable[[], Moment]) -> Step:
        """Scan now and account for the time since the baseline.

        Nothing is moved until commit(): a step that could not be stored is measured again, as
        part of the next.
        """
        left_out = self.probing.begin()
        now = clock()
        self._open_moving()
        if self._held is None and self.baseline is not None:
            self.scanner.tree.owners.update(self.baseline.cgroups.owners)
        with self.probing.budget.timed(SCAN):
            scan = self.scanner.scan(now_s=now.boot_ms / 1_000, left_out=left_out)
            earlier = len(self._exits)
            self._drain()
            self._fold(scan.table, earlier)
        self.probing.note_details(self.scanner.details_us)
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
        usage, settled, how = self._account(scan, since)
        readings = [self._cgroup_readings(scan, settled), *probed.readings]
        samples, measurements = self._samples(
            Seen(usage, held, self._held or Held(), readings, how), since, probed.marks
        )
        baseline = Baseline(
            self.boot_id, now.boot_ms, end_ms, scan.table, settled.state, now.suspended_ms,
            probed.states,
        )  # fmt: skip
        return Step(samples, measurements, baseline, held, scan.groups)

    def commit(self, step: Step) -> None:
        """The step is stored: go on from it."""
        if self._held is not None:
            self._exits, self._exits_lost = [], False
        self.baseline, self._held, self._groups = step.baseline, step.held, step.groups
        self.probing.stored()
        if self.moving is not None:
            self.moving.stored(step.baseline.cgroups)
            self._move(step.baseline.table, step.baseline.at_boot_ms)

    def _open_moving(self) -> None:
        """The configuration may ask for it at any time; it is found out once whether it can be."""
        if self.moving is not None or self._immovable:
            return
        if not self.config.own_cgroups:
            self._release_former()
            return
        self.moving = open_moving(self.scanner)
        self._immovable = self.moving is None
        if self.moving is not None and self.baseline is not None:
            self.moving.recall(self.baseline.table)

    def _release_former(self) -> None:
        unified = self.scanner.tree.files.mounts.unified
        if self._held is None and unified is not None:
            release_former(Path(f"{unified}{OURS}"))

    def _move(self, table: Table, boot_ms: int) -> None:
        if self.moving is None:
            return
        if self.config.own_cgroups:
            self.moving.take_in(table, now_s=boot_ms / 1_000, exits=len(self._exits))
        self.moving.hold(self.config.limits)

    def states(self) -> dict[str, str]:
        """What each probe does at present, in words, and what the kernel holds."""
        if self.moving is None or self.config.limits is None:
            return self.probing.states()
        return self.probing.states() | {"limits": self.moving.holding.in_words}

    def _drain(self) -> None:
        if self.listener is None:
            return
        exits, lost = self.listener.drain()
        self._exits.extend(exits)
        if lost:
            self._exits_lost = True
            log.warning("the kernel dropped exit records: CPU time of ended processes is missing")

    def _fold(self, now: Table, earlier: int) -> None:
        """earlier: so many records had come before `now` was read."""
        if self._held is None or self.baseline is None:
            return
        before, exits = self.baseline.table, self._exits
        if is_too_much(before, now, exits):
            recorded = self.listener is not None
            later = exits[earlier:]
            self._exits = fold(before, now, exits[:earlier], later=later, recorded=recorded)

    def _say_overflow(self, scan: Scan) -> None:
        if scan.overflowed and not self._overflow_said:
            log.warning(
                "more than %d applications: %d processes are metered together as 'other'",
                self.config.applications_max - 1, scan.overflowed,
            )  # fmt: skip
        self._overflow_said = bool(scan.overflowed)

    def _account(self, scan: Scan, since: Stretches) -> tuple[Usage, Settled, dict[str, How]]:
        """What processes and cgroups used since the baseline, and how well that is known; nothing
        when there is none."""
        if self.baseline is None or since.measured is None:
            return Usage(), Settled(first_state(scan.groups)), {}
        before, counted = self.baseline.table, self.baseline.cgroups
        if not since.same_boot:
            before, counted = Table(), CgroupState.at_boot()
        exits = None if self._held is None or self.listener is None else self._exits
        usage = account(before, scan.table, exits=exits, elapsed_us=since.elapsed_ms * 1_000)
        moved: list[str] = []
        if self.moving is not None:
            moved = self.moving.book(usage, before, counted.moved)
        settled = settle(usage, scan.groups, counted, scan.outside)
        settled.state.moved = moved
        recorded = exits is not None and not self._exits_lost
        return usage, settled, base_quality(scan, usage, settled, before, recorded=recorded)

    def _cgroup_readings(self, scan: Scan, settled: Settled) -> Readings:
        """What cgroups say better than processes."""
        counters = {
            name: {"disk.read": read, "disk.written": written}
            for name, (read, written) in settled.disk_bytes.items()
        }
        maxima = {}
        if self._groups is not None:
            maxima = scan.groups.peaks(self._groups, scan.outside)
        return Readings(counters=counters, maxima=maxima)

    def _samples(
        self, seen: Seen, since: Stretches, marks: frozenset[str]
    ) -> tuple[list[Sample], dict[str, str]]:
        if self.baseline is None or since.measured is None:
            return [], {}
        source = Source(self.instance, self.config.environment)
        measured = replace(since.measured, marks=since.measured.marks | marks)
        samples, measurements = build(seen, measured, source, self._profiles)
        if since.down is not None:
            names = dict.fromkeys(r.application for r in self.baseline.table.processes.values())
            gaps, named = build_gap(list(names), since.down, source, self._profiles)
            samples, measurements = gaps + samples, measurements | named
        return samples, measurements
