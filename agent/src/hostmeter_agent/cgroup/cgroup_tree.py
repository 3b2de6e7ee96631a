"""Which cgroups are whose, and what they and those around them count at one moment."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.cgroup.cgroup_files import ALL_HIERARCHIES, CgroupFs, Counters

ROOT: Final = "/"


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or ROOT


def is_below(path: str, above: str) -> bool:
    return path.startswith(above.rstrip("/") + "/")


def ancestors(path: str) -> Iterator[str]:
    """The cgroups above one, the nearest first, without the root."""
    at = parent_of(path)
    while at != ROOT:
        yield at
        at = parent_of(at)


@dataclass(slots=True)
class Group:
    """What a scan found in one cgroup: whose processes, and the hierarchies that all are in."""

    applications: set[str] = field(default_factory=set)
    hierarchies: frozenset[str] = ALL_HIERARCHIES


@dataclass(frozen=True, slots=True)
class Around:
    """A cgroup around those of applications. children: the paths in it; plain: its count is that
    of its children, as neither it nor a cgroup above it is an application's or holds processes
    itself; spread_us: how much it grew while its children were read."""

    children: tuple[str, ...]
    plain: bool
    spread_us: int = 0


@dataclass(slots=True)
class Groups:
    """The cgroups of one host at one moment, by path.

    owners: the one application whose processes are in the cgroup, or were when it last had any;
    inhabited: those in which the scan found processes;
    around: every cgroup above one that has an owner, the root too, which counts in whole ticks
    and so is never plain.
    """

    counters: dict[str, Counters] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    around: dict[str, Around] = field(default_factory=dict)
    inhabited: frozenset[str] = frozenset()
    _below: dict[str, list[str]] | None = None

    def memory_bytes(self, outside: Collection[str]) -> dict[str, int]:
        """Memory in use by application, where all of it is in cgroups that count it.

        outside: applications that have processes elsewhere.
        """
        totals: dict[str, int] = {}
        unknown = set(outside)
        for path, application in self.owners.items():
            used = self.counters[path].memory_bytes
            if used is None:
                unknown.add(application)
                continue
            below = (self.counters[p].memory_bytes or 0 for p in self.nearest_below(path))
            totals[application] = totals.get(application, 0) + max(used - sum(below), 0)
        return {name: total for name, total in totals.items() if name not in unknown}

    def peaks(self, before: "Groups", outside: Collection[str]) -> dict[str, dict[str, int]]:
        """The largest values since `before` by application and meter, where the kernel's peak has
        risen since: it counts from the cgroup's making, so an older one says nothing."""
        paths: dict[str, list[str]] = {}
        for path, application in self.owners.items():
            paths.setdefault(application, []).append(path)
        maxima: dict[str, dict[str, int]] = {}
        for application, (path, *others) in paths.items():
            # Peaks of several cgroups need not be of one moment.
            if not others and application not in outside and not self.nearest_below(path):
                maxima[application] = _peaks(self.counters[path], before.counters.get(path))
        return maxima

    def nearest_below(self, path: str) -> list[str]:
        """The cgroups that have an owner and lie below `path`, not below another such."""
        if self._below is None:
            self._below = {}
            for other in self.owners:
                above = next((at for at in ancestors(other) if at in self.owners), None)
                if above is not None:
                    self._below.setdefault(above, []).append(other)
        return self._below.get(path, [])


def _peaks(now: Counters, before: Counters | None) -> dict[str, int]:
    peaks: dict[str, int] = {}
    if before is not None and before.inode != now.inode:
        before = None
    risen = before is None or (now.memory_peak_bytes or 0) > (before.memory_peak_bytes or 0)
    if risen and now.memory_peak_bytes is not None and now.memory_bytes is not None:
        inactive = min(now.inactive_bytes, before.inactive_bytes if before is not None else 0)
        peaks["memory.used"] = max(now.memory_peak_bytes - inactive, 0)
    if now.tasks_peak is not None and (before is None or now.tasks_peak > (before.tasks_peak or 0)):
        peaks["threads"] = now.tasks_peak
    return peaks


class CgroupTree:
    """Reads the cgroups of applications and those around them; remembers whose one was that holds
    no processes any more."""

    def __init__(self, files: CgroupFs) -> None:
        self.files = files
        self.owners: dict[str, str] = {}

    def meet(self, path: str, application: str) -> bool:
        """A process was seen to begin there; whether the cgroup is its application's alone."""
        return self.owners.setdefault(path, application) == application

    def read(self, found: Mapping[str, Group]) -> Groups:
        """found: by path, what a scan saw in the cgroups of applications."""
        owners = {path: name for path, name in self.owners.items() if path not in found}
        for path, group in found.items():
            if len(group.applications) == 1:
                owners[path] = next(iter(group.applications))
        groups = Groups(inhabited=frozenset(found))
        above = _ancestors([*owners, *found])
        first = {path: self.files.cpu(path) for path in above if path != ROOT}
        for path in [*owners, *found]:
            hierarchies = found[path].hierarchies if path in found else ALL_HIERARCHIES
            if path not in groups.counters:
                counters = self.files.counters(path, hierarchies)
                if counters is not None:
                    groups.counters[path] = counters
        groups.owners = {path: name for path, name in owners.items() if path in groups.counters}
        for path in above:
            self._read_around(path, groups, first.get(path))
        self.owners = dict(groups.owners)
        return groups

    def _read_around(self, path: str, groups: Groups, first: Counters | None) -> None:
        """Read what is in a cgroup around others; ancestors come before what is in them."""
        children = self.files.children(path)
        for child in children:
            if child not in groups.counters and child not in groups.around:
                counters = self.files.cpu(child)
                if counters is not None:
                    groups.counters[child] = counters
        if path == ROOT:
            groups.around[path] = Around(tuple(children), plain=False)
            return
        last = self.files.cpu(path)
        if first is None or last is None:
            return
        # The earlier count: it holds nothing that its children did not hold when they were read.
        groups.counters[path] = first
        plain = path not in groups.owners and not self.files.is_inhabited(path)
        spread_us = max((last.cpu_us or 0) - (first.cpu_us or 0), 0)
        groups.around[path] = Around(tuple(children), plain=plain, spread_us=spread_us)


def _ancestors(paths: Iterable[str]) -> list[str]:
    """Every cgroup above any of these, each before those below it."""
    above = {ROOT}
    for path in paths:
        at = parent_of(path)
        while at not in above:
            above.add(at)
            at = parent_of(at)
    return sorted(above, key=lambda path: path.count("/") if path != ROOT else -1)
