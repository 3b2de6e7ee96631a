"""One look at every process of the host: counters and gauges by application."""

import os
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.cgroup_files import CgroupFs
from hostmeter_agent.cgroup_tree import CgroupTree, Group, Groups
from hostmeter_agent.config import Config
from hostmeter_agent.discovery import OTHER, Discovery
from hostmeter_agent.proc import RESOURCE_KINDS, Io, ProcFs, Stat, UnreadableStat
from hostmeter_agent.proportional import ProportionalMemory
from hostmeter_agent.readings import NO_IO, Reading, Table, newborn

_CLASSIFY_SECONDS: Final = 60
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
_NO_KINDS: Final = (0,) * len(RESOURCE_KINDS)
_GONE: Final = (FileNotFoundError, ProcessLookupError)


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
    kinds: tuple[int, ...] | None = _NO_KINDS
    cgroup_bytes: int | None = None

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
    groups: Groups = field(default_factory=Groups)
    outside: set[str] = field(default_factory=set)
    """Applications of which some process is in no cgroup that is theirs alone."""
    overflowed: int = 0


@dataclass(slots=True)
class _Details:
    """What is dear to read, kept while cheaper signs say that it has not changed."""

    start: int
    rss_pages: int = -1
    shared_pages: int = 0
    descriptors: int = -1
    kinds: tuple[int, ...] | None = None
    classify_at_s: float = 0.0


class Scanner:
    """Scans the host again and again, reading no more than has changed."""

    def __init__(self, proc: ProcFs, cgroup_fs: CgroupFs, config: Config, own_pid: int) -> None:
        self._proc = proc
        self.tree = CgroupTree(cgroup_fs)
        self._discovery = Discovery(proc, config, own_pid)
        self._applications_max = config.applications_max
        self._details: dict[int, _Details] = {}
        self._proportional = ProportionalMemory(proc)
        self._admitted: dict[str, None] = {}
        self._last_stats: dict[int, Stat] = {}
        self._settled: frozenset[int] = frozenset()

    def births(self, *, now_s: float) -> dict[int, Reading]:
        """Processes that began since the last scan, with their application found out while they
        live, and nothing yet booked. Cheap: one directory listing, and a look at each new one."""
        new: dict[int, Reading] = {}
        for pid in self._proc.pids():
            if pid in self._settled:
                continue
            stat = self._stat(pid)
            if stat is not None:
                self._last_stats[pid] = stat
                name = self._discovery.glance_at(stat, self._last_stats, now_s=now_s)
                # Nothing yet, not unreadable: the next difference has to hold its first bytes.
                new[pid] = self._placed(newborn(_reading(stat, self._admit(name), NO_IO)))
        return new

    def application_of(self, pid: int) -> str | None:
        """Of a process that the last scan or a look since has seen; else None."""
        name = self._discovery.application(pid)
        return self._admit(name) if name is not None else None

    def _placed(self, reading: Reading) -> Reading:
        """With its cgroup, where that is its application's alone as far as is known."""
        place = self._discovery.cgroup(reading.pid)
        if place is None or not self.tree.meet(place.path, reading.application):
            return reading
        return replace(reading, cgroup=place.path)

    def scan(self, *, now_s: float) -> Scan:
        """Read everything. now_s: seconds on a clock that never goes back."""
        stats = {pid: stat for pid in self._proc.pids() if (stat := self._stat(pid)) is not None}
        applications = self._discovery.look_at(stats, now_s=now_s)
        self._last_stats, self._settled = stats, frozenset(stats)
        self._proportional.begin(stats)
        scan = Scan()
        for pid, stat in stats.items():
            try:
                io = self._io(stat)
            except _GONE:
                continue  # ended since its stat was read: not one whose bytes may not be read
            name = self._admit(applications[pid])
            scan.overflowed += name != applications[pid]
            scan.table.processes[pid] = _reading(stat, name, io)
            gauges = scan.gauges.setdefault(name, Gauges())
            gauges.processes += 1
            gauges.threads += stat.threads
            self._measure(stat, gauges, now_s)
        self._details = {pid: self._details[pid] for pid in stats if pid in self._details}
        self._read_cgroups(scan)
        self._admitted = dict.fromkeys(scan.gauges)
        return scan

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
        except (*_GONE, UnreadableStat):
            return None

    def _io(self, stat: Stat) -> Io | None:
        if stat.kernel:
            return None
        try:
            return self._proc.io(stat.pid)
        except _GONE:
            raise
        except (OSError, ValueError, IndexError):
            return None

    def _measure(self, stat: Stat, gauges: Gauges, now_s: float) -> None:
        if stat.kernel:
            gauges.private_bytes = gauges.descriptors = gauges.kinds = None
            return
        if stat.zombie:
            return
        details = self._details.get(stat.pid)
        if details is None or details.start != stat.start:
            details = self._details[stat.pid] = _Details(stat.start)
        self._measure_memory(stat, gauges, details, now_s)
        self._measure_descriptors(stat.pid, gauges, details, now_s)

    def _measure_memory(self, stat: Stat, gauges: Gauges, details: _Details, now_s: float) -> None:
        try:
            pss_bytes = self._proportional.pss_bytes(stat, now_s=now_s)
        except _GONE:
            return
        if pss_bytes is None:
            self._estimate_memory(stat, gauges, details)
        elif gauges.private_bytes is not None:
            gauges.private_bytes += pss_bytes

    def _estimate_memory(self, stat: Stat, gauges: Gauges, details: _Details) -> None:
        if details.rss_pages != stat.rss_pages:
            try:
                details.shared_pages = min(self._proc.shared_pages(stat.pid), stat.rss_pages)
            except _GONE:
                return
            except (OSError, IndexError, ValueError):
                gauges.private_bytes = None
                return
            details.rss_pages = stat.rss_pages
        if gauges.private_bytes is not None:
            gauges.private_bytes += (stat.rss_pages - details.shared_pages) * _PAGE_BYTES
        gauges.shared_bytes = max(gauges.shared_bytes, details.shared_pages * _PAGE_BYTES)

    def _measure_descriptors(
        self, pid: int, gauges: Gauges, details: _Details, now_s: float
    ) -> None:
        try:
            count = self._proc.descriptor_count(pid)
            if count != details.descriptors or now_s >= details.classify_at_s:
                details.kinds = self._kinds(pid)
                details.descriptors = count
                details.classify_at_s = now_s + _CLASSIFY_SECONDS - pid % (_CLASSIFY_SECONDS // 2)
        except _GONE:
            return
        except OSError:
            gauges.descriptors = gauges.kinds = None
            return
        if gauges.descriptors is not None:
            gauges.descriptors += count
        if details.kinds is None or gauges.kinds is None:
            gauges.kinds = None
        else:
            gauges.kinds = tuple(a + b for a, b in zip(gauges.kinds, details.kinds, strict=True))

    def _kinds(self, pid: int) -> tuple[int, ...] | None:
        try:
            return self._proc.descriptor_kinds(pid)
        except PermissionError:
            return None

    def _read_cgroups(self, scan: Scan) -> None:
        """Cgroup counters stand for an application where they hold no other's processes."""
        found: dict[str, Group] = {}
        members: list[tuple[Reading, str]] = []
        for pid, reading in scan.table.processes.items():
            place = self._discovery.cgroup(pid)
            if place is None:
                scan.outside.add(reading.application)
                continue
            group = found.setdefault(place.path, Group())
            group.applications.add(reading.application)
            group.hierarchies &= place.hierarchies
            members.append((reading, place.path))
        scan.groups = self.tree.read(found)
        for reading, path in members:
            if scan.groups.owners.get(path) == reading.application:
                scan.table.processes[reading.pid] = replace(reading, cgroup=path)
            else:
                scan.outside.add(reading.application)
        for application, used in scan.groups.memory_bytes(scan.outside).items():
            if application in scan.gauges:
                scan.gauges[application].cgroup_bytes = used


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
