"""One look at every process of the host: counters and gauges by application."""

from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import CgroupFs
from hostmeter_agent.cgroup.cgroup_tree import CgroupTree, Group, Groups
from hostmeter_agent.config import Config
from hostmeter_agent.measure.births import Births
from hostmeter_agent.measure.discovery import OTHER, Discovery
from hostmeter_agent.measure.holdings import GONE, NO_KINDS, Holding, Holdings
from hostmeter_agent.measure.motion import Motion
from hostmeter_agent.measure.proc import TICK_US, Io, ProcFs, Stat, UnreadableStat
from hostmeter_agent.measure.readings import INIT, NO_IO, Reading, Table, newborn

_STILL_SECONDS: Final = 1_200
"""A process that does not run is read anew after this time at the latest: its memory may have been
taken back, and it may have been moved to another cgroup."""


def _sums(some: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """One by one; written out, as this is done for every process at every scan."""
    a, b, c, d, e = some
    v, w, x, y, z = more
    return a + v, b + w, c + x, d + y, e + z


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
            self.kinds = None if kinds is None else _sums(self.kinds, kinds)

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
    sockets: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By process, the inodes of sockets that it holds, as far as they are known."""
    outside: set[str] = field(default_factory=set)
    """Applications of which some process is in no cgroup that is theirs alone."""
    overflowed: int = 0

    @property
    def cgroups_of(self) -> dict[str, list[str]]:
        """By application, where cgroups hold all of its processes and no others, those in which
        there are some."""
        found: dict[str, list[str]] = {}
        for path, application in self.groups.owners.items():
            if path in self.groups.inhabited and application not in self.outside:
                found.setdefault(application, []).append(path)
        return found


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
        self.proc = proc
        self.tree = CgroupTree(cgroup_fs)
        self._own_pid = own_pid
        self._discovery = Discovery(proc, config, own_pid)
        self._applications_max = config.applications_max
        self._holdings = Holdings(proc)
        self._motion = Motion(proc)
        self._births = Births(proc)
        self._young: list[int] = []
        self._seen: dict[int, _Seen] = {}
        self._admitted: dict[str, None] = {}
        self._counted_whole: frozenset[str] = frozenset()
        """Applications of which cgroups told the memory at the last scan."""
        self._last_stats: dict[int, Stat] = {}
        self._settled: frozenset[int] = frozenset()

    def reconfigure(self, config: Config) -> None:
        """Look at every process anew: which application it belongs to may have changed."""
        owners = self._discovery.owners
        self._discovery = Discovery(self.proc, config, self._own_pid)
        self._discovery.owners = owners
        self._applications_max = config.applications_max
        self._admitted = {}
        self._seen = {}

    def births(self, *, now_s: float) -> dict[int, Reading]:
        """Processes that began since the last scan, with their application found out while they
        live, and nothing yet booked. Each is looked at twice: many are born as a copy of their
        parent and become another program at once."""
        new: dict[int, Reading] = {}
        fresh = [pid for pid in self._births.since_last() if pid not in self._settled]
        young: list[int] = []
        for pid in dict.fromkeys([*self._young, *fresh]):
            stat = self._stat(pid)
            if stat is not None and not stat.thread:
                self._last_stats[pid] = stat
                if pid not in self._young:
                    young.append(pid)
                name = self._discovery.glance_at(stat, self._last_stats, now_s=now_s)
                # Nothing yet, not unreadable: the next difference has to hold its first bytes.
                new[pid] = self._placed(newborn(_reading(stat, self._admit(name), NO_IO)))
        self._young = young
        return new

    def seek(self, sockets: frozenset[int], *, again: bool) -> None:
        """Know of each of these sockets, by their inodes, which processes hold it. again: of some
        nobody is known: the next scan looks at the descriptors of all that could have got one."""
        self._holdings.asked_for = sockets
        for pid in self._holdings.stale if again else ():
            self._holdings.look_again(pid)
            if pid in self._seen:
                self._seen[pid].until_s = 0.0

    def application_of(self, pid: int) -> str | None:
        """Of a process that the last scan or a look since has seen; else None."""
        name = self._discovery.application(pid)
        return self._admit(name) if name is not None else None

    def adopt(self, owners: dict[str, str]) -> None:
        """owners: by path, the applications of cgroups that the agent makes, kept up to date."""
        self._discovery.owners = owners

    def homeless(self) -> list[tuple[Stat, str]]:
        """The processes that are in no cgroup of their application's, and that application, as
        the last scan and looks since have seen it; those that count as others are left out."""
        return [
            (stat, name)
            for pid, stat in self._last_stats.items()
            if pid != INIT and (name := self._discovery.homeless(pid)) is not None
            if self._admit(name) == name
        ]

    def moved(self, pid: int, *, now_s: float) -> None:
        """A process has been moved to another cgroup."""
        self._discovery.forget(pid)
        stat = self._last_stats[pid]
        name = self._discovery.glance_at(stat, self._last_stats, now_s=now_s)
        seen = self._seen.get(pid)
        if seen is not None:
            seen.reading = replace(seen.reading, application=self._admit(name))
            seen.until_s = 0.0  # its memory may have been left to its former cgroup

    def _placed(self, reading: Reading) -> Reading:
        """With its cgroup, where that is its application's alone as far as is known."""
        place = self._discovery.cgroup(reading.pid)
        if place is None or not self.tree.meet(place.path, reading.application):
            return reading
        return replace(reading, cgroup=place.path)

    @property
    def details_us(self) -> dict[str, int]:
        """What the dear details of the last scan took, in CPU time."""
        return {name: ns // 1_000 for name, ns in self._holdings.spent_ns.items()}

    def scan(self, *, now_s: float, left_out: frozenset[str] = frozenset()) -> Scan:
        """Read everything but the details that are `left_out` (budget.DETAILS). now_s: seconds on
        a clock that never goes back."""
        if left_out != self._holdings.left_out:
            for known in self._seen.values():
                known.until_s = 0.0  # its holding has too much or too little
        self._holdings.left_out = left_out
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
            if found.holding.sockets:
                scan.sockets[pid] = found.holding.sockets
        self._read_cgroups(scan)
        self._read_missing_memory(scan, now_s)
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
        holding = self._holdings.read(stat, now_s, memory=name not in self._counted_whole)
        return _Seen(
            stat, _reading(stat, name, io), holding, name != application,
            min(until_s, holding.due_s),
        )  # fmt: skip

    def _read_missing_memory(self, scan: Scan, now_s: float) -> None:
        """Processes' memory is dear and was left to their cgroups: read it where these do not tell
        any more, as one process is elsewhere now."""
        told = {name for name, gauges in scan.gauges.items() if gauges.cgroup_bytes is not None}
        missing = (self._counted_whole - told) & scan.gauges.keys()
        self._counted_whole = frozenset(told)
        scan.gauges.update({name: Gauges() for name in missing})
        for seen in self._seen.values() if missing else ():
            if seen.reading.application in missing:
                seen.holding = self._holdings.read(seen.stat, now_s)
                scan.gauges[seen.reading.application].add(seen.holding)

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
            return self.proc.stat(pid)
        except (*GONE, UnreadableStat):
            return None

    def _io(self, stat: Stat) -> Io | None:
        if stat.kernel:
            return None
        try:
            return self.proc.io(stat.pid)
        except GONE:
            raise
        except (OSError, ValueError, IndexError):
            return None

    def _read_cgroups(self, scan: Scan) -> None:
        """Cgroup counters stand for an application where they hold no other's processes."""
        found: dict[str, Group] = {}
        places: dict[int, str] = {}
        for pid, reading in scan.table.processes.items():
            place = self._discovery.cgroup(pid)
            if place is None:
                continue
            group = found.setdefault(place.path, Group())
            group.applications.add(reading.application)
            group.hierarchies &= place.hierarchies
            places[pid] = place.path
        scan.groups = self.tree.read(found)
        for pid, reading in scan.table.processes.items():
            path = places.get(pid)
            if path is None or scan.groups.owners.get(path) != reading.application:
                path = None
                scan.outside.add(reading.application)
            if reading.cgroup != path:
                placed = self._seen[pid].reading = replace(reading, cgroup=path)
                scan.table.processes[pid] = placed
        for application, used in scan.groups.memory_bytes(scan.outside).items():
            if application in scan.gauges:
                scan.gauges[application].cgroup_bytes = used


def _reading(stat: Stat, application: str, io: Io | None) -> Reading:
    return Reading(
        stat.pid,
        stat.start,
        stat.ppid,
        application,
        stat.cpu_ticks * TICK_US,
        stat.children_cpu_ticks * TICK_US,
        stat.faults,
        stat.children_faults,
        stat.threads,
        io,
    )
