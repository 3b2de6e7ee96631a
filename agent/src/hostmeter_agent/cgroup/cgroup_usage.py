"""Who used what by the count of cgroups: pure, and each µs and byte once.

A cgroup that holds one application's processes and no others counts for it, those included that
no scan has seen. Such a process's own count in /proc is booked under the cgroup's label instead of
its application, and dropped here; it stands in where the cgroup has gone and nothing around it
tells what it counted last.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hostmeter_agent.cgroup.cgroup_files import Counters
from hostmeter_agent.cgroup.cgroup_tree import ROOT, Around, Groups, ancestors, is_below, parent_of
from hostmeter_agent.measure.readings import UNATTRIBUTED, Usage, is_label, label_path

_SPREAD_US_MIN: Final = 1_000
"""What a cgroup may have grown beyond its children without one that nobody saw."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A cgroup's counters as far as they are booked, or were there before it was metered."""

    inode: int
    cpu_us: int
    disk_bytes: tuple[int, int] | None = None


@dataclass(slots=True)
class CgroupState:
    """What the next differences are taken against.

    owners: by path, the application; held_us: by cgroup around others, what it counted beyond its
    present children, of cgroups that had gone, as far as that is booked; None for one that counts
    processes of its own, and for the root; moved: moves into the agent's cgroups that are booked.
    """

    booked: dict[str, Booked] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    held_us: dict[str, int | None] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)

    @classmethod
    def at_boot(cls) -> "CgroupState":
        """Before anything ran: every count is new."""
        return cls(held_us={ROOT: None})

    def encoded(self) -> dict[str, Any]:
        """As JSON holds it."""
        booked = {path: [b.inode, b.cpu_us, b.disk_bytes] for path, b in self.booked.items()}
        return {
            "booked": booked, "owners": self.owners, "held_us": self.held_us, "moved": self.moved,
        }  # fmt: skip

    @classmethod
    def decoded(cls, content: dict[str, Any]) -> "CgroupState":
        booked = {
            path: Booked(inode, cpu_us, (disk[0], disk[1]) if disk else None)
            for path, (inode, cpu_us, disk) in content["booked"].items()
        }
        return cls(booked, content["owners"], content["held_us"], content["moved"])


@dataclass(slots=True)
class Settled:
    """The outcome of one step.

    disk_bytes: by application, (read, written), where all that it has is in cgroups that count it;
    exact: the applications whose CPU time is all a cgroup's count, and the version of that; cut:
    those that lack what one of their cgroups counted last.
    """

    state: CgroupState
    disk_bytes: dict[str, tuple[int, int]] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)


def first_state(groups: Groups) -> CgroupState:
    """All that was counted up to now is not metered."""
    booked = {path: _booked(counters) for path, counters in groups.counters.items()}
    held = {path: _residual_us(path, groups) for path in groups.around}
    return CgroupState(booked, dict(groups.owners), held)


def settle(usage: Usage, groups: Groups, former: CgroupState, outside: Iterable[str]) -> Settled:
    """Put the count of cgroups in the place of their labels in `usage`.

    outside: applications that have processes in no cgroup of their own.
    """
    step = _Step(usage, groups, former)
    settled = Settled(first_state(groups))
    for path, application in groups.owners.items():
        step.book_cpu(path, application)
    for path, around in groups.around.items():
        settled.state.held_us[path] = step.book_gone(path, around)
    step.book_labels()
    elsewhere = {*outside, *step.by_process, *step.cut}
    settled.disk_bytes = step.disk_bytes(elsewhere)
    settled.exact = {n: version for n, version in step.exact.items() if n not in elsewhere}
    settled.cut = step.cut
    return settled


def _booked(counters: Counters) -> Booked:
    return Booked(counters.inode, counters.cpu_us or 0, counters.disk_bytes)


def _residual_us(path: str, groups: Groups) -> int | None:
    """What a cgroup counted beyond its children."""
    around = groups.around[path]
    if not around.plain:
        return None
    children = (groups.counters.get(child) for child in around.children)
    return _cpu_us(groups.counters[path]) - sum(_cpu_us(c) for c in children if c is not None)


def _cpu_us(counters: Counters) -> int:
    return counters.cpu_us or 0


@dataclass(slots=True)
class _Step:
    usage: Usage
    groups: Groups
    former: CgroupState
    counted: set[str] = field(default_factory=set)
    """Paths whose usage is booked, so that their labels are dropped."""
    exact: dict[str, int] = field(default_factory=dict)
    by_process: set[str] = field(default_factory=set)
    """Applications some of whose CPU time /proc told."""
    cut: set[str] = field(default_factory=set)

    def growth_us(self, path: str) -> int | None:
        """What a cgroup counted since the former state; None where nothing tells since when."""
        now, before = self.groups.counters[path], self.former.booked.get(path)
        if before is not None and before.inode == now.inode:
            return max(_cpu_us(now) - before.cpu_us, 0)
        if before is None and parent_of(path) not in self.former.held_us:
            return self._growth_inside(path)
        return _cpu_us(now)  # its parent's children were known: it has been made since

    def _growth_inside(self, path: str) -> int | None:
        """Of a cgroup about which nothing was known: at most what the one around it grew by."""
        for at in ancestors(path):
            if at in self.former.booked and at in self.groups.counters:
                return min(_cpu_us(self.groups.counters[path]), self.growth_us(at) or 0)
            if parent_of(at) in self.former.held_us:
                return _cpu_us(self.groups.counters[path])
        return None

    def book_cpu(self, path: str, application: str) -> None:
        """A cgroup's own growth, without that of applications' cgroups in it."""
        growth = self.growth_us(path)
        if growth is None:
            return
        below = (self.growth_us(other) or 0 for other in self.groups.nearest_below(path))
        self.usage.add_cpu(application, max(growth - sum(below), 0))
        self.counted.add(path)
        self.exact[application] = self.groups.counters[path].version

    def book_gone(self, path: str, around: Around) -> int | None:
        """What children counted that have gone: the cgroup's growth less its children's. Returns
        what it then holds of cgroups that have gone, all of it booked."""
        now_us, held_us = _residual_us(path, self.groups), self.former.held_us.get(path)
        before = self.former.booked.get(path)
        known = before is not None and before.inode == self.groups.counters[path].inode
        if now_us is None or held_us is None or not known:
            return now_us
        gone = self._gone_children(path, around)
        owned = [p for p in self.former.owners if any(p == g or is_below(p, g) for g in gone)]
        shown_us = held_us + sum(self.former.booked[child].cpu_us for child in gone)
        rest_us = max(now_us - shown_us, 0)
        if owned:
            self._book_rest(gone, owned, rest_us, self.groups.counters[path].version)
        elif not gone and rest_us > around.spread_us + _SPREAD_US_MIN:
            self._book_unseen(rest_us)
        elif not gone:
            return held_us  # two readings are never of one moment: what is left over stays
        return shown_us + rest_us

    def _book_rest(self, gone: list[str], owned: list[str], rest_us: int, version: int) -> None:
        """Of one cgroup that has gone, to its application; of several, nobody knows whose it is."""
        self.counted.update(owned)
        if len(gone) == len(owned) == 1:
            application = self.former.owners[owned[0]]
            self.usage.add_cpu(application, rest_us)
            self.exact.setdefault(application, version)
            return
        self.usage.add_cpu(UNATTRIBUTED, rest_us)
        self.cut.update(self.former.owners[path] for path in owned)

    def _gone_children(self, path: str, around: Around) -> list[str]:
        gone = []
        for child, before in self.former.booked.items():
            if child == ROOT or parent_of(child) != path:
                continue
            now = self.groups.counters.get(child) if child in around.children else None
            if now is None or now.inode != before.inode:
                gone.append(child)
        return gone

    def _book_unseen(self, rest_us: int) -> None:
        """Of cgroups that came and went between two scans; /proc may tell of the same."""
        told_us = self.usage.cpu_us.get(UNATTRIBUTED, 0)
        self.usage.add_cpu(UNATTRIBUTED, max(rest_us - told_us, 0))

    def book_labels(self) -> None:
        """Labels of what the kernel counted go; the others become their applications'."""
        for label in [name for name in self.usage.cpu_us if is_label(name)]:
            cpu_us, path = self.usage.cpu_us.pop(label), label_path(label)
            if not any(at in self.counted for at in (path, *ancestors(path))):
                owner = self.groups.owners.get(path) or self.former.owners.get(path)
                self.usage.add_cpu(owner or UNATTRIBUTED, cpu_us)
                self.by_process.add(owner or UNATTRIBUTED)

    def disk_bytes(self, outside: set[str]) -> dict[str, tuple[int, int]]:
        totals: dict[str, tuple[int, int]] = {}
        unknown = set(outside)
        for path, application in self.groups.owners.items():
            grown = self._disk_growth(path)
            if grown is None:
                unknown.add(application)
                continue
            below = [self._disk_growth(p) or (0, 0) for p in self.groups.nearest_below(path)]
            read = max(grown[0] - sum(b[0] for b in below), 0)
            written = max(grown[1] - sum(b[1] for b in below), 0)
            so_far = totals.get(application, (0, 0))
            totals[application] = (so_far[0] + read, so_far[1] + written)
        return {name: total for name, total in totals.items() if name not in unknown}

    def _disk_growth(self, path: str) -> tuple[int, int] | None:
        now, before = self.groups.counters[path].disk_bytes, self.former.booked.get(path)
        if now is None:
            return None
        if before is None or before.inode != self.groups.counters[path].inode:
            return now if path in self.counted else None
        if before.disk_bytes is None:
            return None
        return max(now[0] - before.disk_bytes[0], 0), max(now[1] - before.disk_bytes[1], 0)
