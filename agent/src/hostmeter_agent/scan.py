"""One look at every process of the host: counters and gauges by application."""

import os
from dataclasses import dataclass, field
from operator import add
from typing import Final

from hostmeter_agent.births import Births
from hostmeter_agent.cgroups import CgroupFs, Counters
from hostmeter_agent.config import Config
from hostmeter_agent.discovery import OTHER, Discovery
from hostmeter_agent.holdings import GONE, NO_KINDS, Holding, Holdings
from hostmeter_agent.motion import Motion
from hostmeter_agent.proc import Io, ProcFs, Stat, UnreadableStat
from hostmeter_agent.readings import NO_IO, Reading, Table, newborn

_STILL_SECONDS: Final = 300
"""A process that does not run is read anew after this time at the latest: its memory may have been
taken back, and it may have been moved to another cgroup."""
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Gauges:
    """What an application holds at one moment. None: some of it could not be read.

    private_bytes: the proportional memory of the processes of which it can be read, and what the
    others hold alone; shared_bytes: the largest share that any of the others has in files and
    shared memory, so that pages that they share are counted once.
    """

    processes: int = 0
    threads: int = 0
    private_bytes: int | None = 0
    shared_bytes: int = 0
    descriptors: int | None = 0
    kinds: tuple[int, ...] | None = NO_KINDS
    cgroup_bytes: int | None = None

    def add(self, holding: Holding) -> None:
        """One more process."""
        self.processes += 1
        self.threads += holding.threads
        if self.private_bytes is not None:
            private = holding.private_bytes
            self.private_bytes = None if private is None else self.private_bytes + private
        if holding.shared_bytes > self.shared_bytes:
            self.shared_bytes = holding.shared_bytes
        if self.descriptors is not None:
            held = holding.descriptors
            self.descriptors = None if held is None else self.descriptors + held
        if self.kinds is not None:
            kinds = holding.kinds
            self.kinds = None if kinds is None else tuple(map(add, self.kinds, kinds))

    @property
    def memory_bytes(self) -> int | None:
        if self.cgroup_bytes is not None or self.private_bytes is None:
            return self.cgroup_bytes
        return self.private_bytes + self.shared_bytes


@dataclass(slots=True)
class Scan:
    """The host at one moment."""

    table: Table = field(default_factory=Table)
    gauges: dict[str, Gauges] = field(default_factory=dict)
    cgroups: dict[str, Counters] = field(default_factory=dict)
    """By path: every cgroup that is an application's."""
    cgroups_of: dict[str, list[str]] = field(default_factory=dict)
    """By application, where its cgroups hold all of its processes and no others."""
    overflowed: int = 0


@dataclass(slots=True)
class _Seen:
    """What was read of a process, and how long that may stand if it does not run."""

    stat: Stat
    reading: Reading
    holding: Holding
    overflowed: bool
    until_s: float


class Scanner:
    """Scans the host again and again, reading no more than has changed."""

    def __init__(self, proc: ProcFs, cgroup_fs: CgroupFs, config: Config, own_pid: int) -> None:
        self._proc = proc
        self._cgroup_fs = cgroup_fs
        self._own_pid = own_pid
        self._discovery = Discovery(proc, config, own_pid)
        self._applications_max = config.applications_max
        self._holdings = Holdings(proc)
        self._motion = Motion(proc)
        self._births = Births(proc)
        self._young: list[int] = []
        self._seen: dict[int, _Seen] = {}
        self._admitted: dict[str, None] = {}
        self._last_stats: dict[int, Stat] = {}
        self._settled: frozenset[int] = frozenset()

    def reconfigure(self, config: Config) -> None:
        """Look at every process anew: which application it belongs to may have changed."""
        self._discovery = Discovery(self._proc, config, self._own_pid)
        self._applications_max = config.applications_max
        self._admitted = {}
        self._seen = {}

    def births(self, *, now_s: float) -> dict[int, Reading]:
        """Processes that began since the last scan, with their application found out while they
        live, and nothing yet booked. Each is looked at twice: many are born as a copy of their
        parent and become another program at once."""
        new: dict[int, Reading] = {}
        fresh = [pid for pid in self._births.since_last() if pid not in self._settled]
        for pid in dict.fromkeys([*self._young, *fresh]):
            stat = self._stat(pid)
            if stat is not None:
                self._last_stats[pid] = stat
                name = self._discovery.glance_at(stat, self._last_stats, now_s=now_s)
                # Nothing yet, not unreadable: the next difference has to hold its first bytes.
                new[pid] = newborn(_reading(stat, self._admit(name), NO_IO))
        self._young = fresh
        return new

    def scan(self, *, now_s: float) -> Scan:
        """Read everything. now_s: seconds on a clock that never goes back."""
        stats, still = self._stats(now_s)
        applications = self._discovery.look_at(stats, still, now_s=now_s)
        self._last_stats, self._settled = stats, frozenset(stats)
        self._holdings.begin(stats)
        scan, seen = Scan(), self._seen
        self._seen = {}
        for pid, stat in stats.items():
            if pid in still:
                found = seen[pid]
            else:
                try:
                    found = self._read(stat, applications[pid], now_s)
                except GONE:
                    continue  # ended since its stat was read: not one whose bytes may not be read
            self._seen[pid] = found
            name = found.reading.application
            scan.overflowed += found.overflowed
            scan.table.processes[pid] = found.reading
            gauges = scan.gauges.get(name)
            if gauges is None:
                gauges = scan.gauges[name] = Gauges()
            gauges.add(found.holding)
        self._read_cgroups(scan)
        self._admitted = dict.fromkeys(scan.gauges)
        return scan

    def _stats(self, now_s: float) -> tuple[dict[int, Stat], set[int]]:
        """(the stat of every process, those that have not run since they were last read)."""
        stats: dict[int, Stat] = {}
        still: set[int] = set()
        orphaned: set[int] = set()
        self._young = []
        pids = self._births.everyone()
        self._motion.keep_only(frozenset(pids))
        for pid in pids:
            seen = self._seen.get(pid)
            if seen is not None and not self._motion.may_have_run(pid) and now_s < seen.until_s:
                stats[pid] = seen.stat
                still.add(pid)
                continue
            if seen is not None and seen.stat.threads == 1:
                self._motion.follow(pid)
            stat = self._stat(pid)
            if stat is None:
                continue
            stats[pid] = stat
            if stat.threads != 1:
                self._motion.forget(pid)
            if stat.zombie:
                orphaned.add(pid)
        orphaned.update(pid for pid in self._seen if pid not in stats)
        self._read_orphans(stats, still, orphaned)
        return stats, still

    def _read_orphans(self, stats: dict[int, Stat], still: set[int], ended: set[int]) -> None:
        """Whose parent has ended has another one now, without having run."""
        for pid in [pid for pid in still if stats[pid].ppid in ended]:
            still.discard(pid)
            stat = self._stat(pid)
            if stat is None:
                del stats[pid]
            else:
                stats[pid] = stat

    def _read(self, stat: Stat, application: str, now_s: float) -> _Seen:
        io = self._io(stat)
        name = self._admit(application)
        # Spread over the numbers, so that not all come due in one scan.
        until_s = now_s + _STILL_SECONDS - stat.pid % (_STILL_SECONDS // 2)
        return _Seen(
            stat, _reading(stat, name, io), self._holdings.read(stat, now_s),
            name != application, until_s,
        )  # fmt: skip

    def _admit(self, name: str) -> str:
        """The name, or the common overflow when the host has too many applications."""
        if name in self._admitted:
            return name
        if len(self._admitted) >= self._applications_max - 1:
            return OTHER
        self._admitted[name] = None
        return name

    def _stat(self, pid: int) -> Stat | None:
        try:
            return self._proc.stat(pid)
        except (*GONE, UnreadableStat):
            return None

    def _io(self, stat: Stat) -> Io | None:
        if stat.kernel:
            return None
        try:
            return self._proc.io(stat.pid)
        except GONE:
            raise
        except (OSError, ValueError, IndexError):
            return None

    def _read_cgroups(self, scan: Scan) -> None:
        """Cgroup counters stand for an application only where both hold the same processes."""
        cgroups_of: dict[str, set[str | None]] = {}
        applications_in: dict[str, set[str]] = {}
        for pid, reading in scan.table.processes.items():
            cgroup = self._discovery.cgroup(pid)
            cgroups_of.setdefault(reading.application, set()).add(cgroup)
            if cgroup is not None:
                applications_in.setdefault(cgroup, set()).add(reading.application)
        for path in applications_in:
            counters = self._cgroup_fs.counters(path)
            if counters is not None:
                scan.cgroups[path] = counters
        for application, paths in cgroups_of.items():
            if all(path and applications_in[path] == {application} for path in paths):
                self._use_cgroups(scan, application, [path for path in paths if path])

    def _use_cgroups(self, scan: Scan, application: str, paths: list[str]) -> None:
        counters = [scan.cgroups.get(path) for path in paths]
        if all(c is not None and c.cpu_us is not None for c in counters):
            scan.cgroups_of[application] = paths
        used = [c.memory_bytes if c is not None else None for c in counters]
        if all(value is not None for value in used):
            scan.gauges[application].cgroup_bytes = sum(value or 0 for value in used)


def _reading(stat: Stat, application: str, io: Io | None) -> Reading:
    return Reading(
        stat.pid,
        stat.start,
        stat.ppid,
        application,
        stat.cpu_ticks * _TICK_US,
        stat.children_cpu_ticks * _TICK_US,
        stat.faults,
        stat.children_faults,
        stat.threads,
        io,
    )
