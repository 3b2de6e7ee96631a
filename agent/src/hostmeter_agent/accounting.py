"""Who used what between two readings of the process table: pure, and each µs and byte once.

A counter's identity is (pid, start time). The same identity: the difference; a new one: the whole
value. What a process used after it was last read comes from its exit record, or else from its
parent, to whose totals the kernel adds a child's at the moment it is waited for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.exits import Exit
from hostmeter_agent.proc import Io

UNATTRIBUTED: Final = "unattributed"
NO_IO: Final[Io] = (0, 0, 0, 0)
_INIT: Final = 1
_ANCESTORS_MAX: Final = 256

ProcessKey = tuple[int, int]
"""pid and start time in clock ticks since boot."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One process's counters at one moment, since its start.

    cpu_us: its own, all threads; children_cpu_us: of the children it waited for, and theirs;
    io: with that of the children it waited for (the kernel adds it), None when unreadable;
    faults: minor page faults, its own and waited-for children's: any process has some, so their
    growth in a parent proves that a child was waited for.
    """

    pid: int
    start: int
    ppid: int
    application: str
    cpu_us: int
    children_cpu_us: int
    faults: int
    children_faults: int
    threads: int
    io: Io | None

    @property
    def key(self) -> ProcessKey:
        return self.pid, self.start


@dataclass(slots=True)
class Usage:
    """Counters per application between two readings; io is None where some could not be read."""

    cpu_us: dict[str, int] = field(default_factory=dict)
    io: dict[str, Io | None] = field(default_factory=dict)

    def add_cpu(self, application: str, cpu_us: int) -> None:
        if cpu_us:
            self.cpu_us[application] = self.cpu_us.get(application, 0) + cpu_us

    def add_io(self, application: str, io: Io | None) -> None:
        known = self.io.get(application, NO_IO)
        if io is None or known is None:
            self.io[application] = None
        else:
            self.io[application] = (
                known[0] + io[0], known[1] + io[1], known[2] + io[2], known[3] + io[3],
            )  # fmt: skip


@dataclass(slots=True)
class Table:
    """The processes of the host at one moment, and those whose end no parent has shown yet."""

    processes: dict[int, Reading] = field(default_factory=dict)
    departed: dict[ProcessKey, Reading] = field(default_factory=dict)


def account(before: Table, now: Table, *, exits: Sequence[Exit] | None, elapsed_us: int) -> Usage:
    """The usage between two tables.

    exits: every process that ended in between, or None when the kernel did not say. `now` is
    brought up to what was booked: ended processes keep nothing that could be booked again.
    """
    usage = Usage()
    _book_survivors(before, now, usage)
    gone = _Gone.between(before, now)
    if exits is None:
        gone.book_cpu_from_parents(usage, elapsed_us)
    else:
        _book_exits(before, now, exits, usage)
    gone.book_io(usage)
    now.departed = gone.unexplained()
    return usage


def _book_survivors(before: Table, now: Table, usage: Usage) -> None:
    for pid, reading in now.processes.items():
        former = before.processes.get(pid)
        known = former.cpu_us if former is not None and former.start == reading.start else 0
        usage.add_cpu(reading.application, max(reading.cpu_us - known, 0))


def _book_exits(before: Table, now: Table, exits: Sequence[Exit], usage: Usage) -> None:
    finished: set[ProcessKey] = set()
    unseen: dict[int, Exit] = {}
    orphans: list[Exit] = []
    for record in exits:
        reading = _reading_of(record, before, now, finished)
        if reading is None:
            unseen[record.pid] = record
            orphans.append(record)
            continue
        finished.add(reading.key)
        tail = max(record.cpu_us - reading.cpu_us, 0)
        usage.add_cpu(reading.application, tail)
        if now.processes.get(reading.pid) is reading:
            total = max(record.cpu_us, reading.cpu_us)
            now.processes[reading.pid] = replace(reading, cpu_us=total)
    for record in orphans:
        usage.add_cpu(_application_of_unseen(record, unseen, before, now), record.cpu_us)


def _reading_of(
    record: Exit, before: Table, now: Table, finished: set[ProcessKey]
) -> Reading | None:
    """The process that a record is about: of two with one number, the older one ended first."""
    former, present = before.processes.get(record.pid), now.processes.get(record.pid)
    same = former is not None and present is not None and former.start == present.start
    candidates = [present] if same else [former, present]
    for reading in candidates:
        if reading is not None and reading.key not in finished:
            return reading
    return None


def _application_of_unseen(
    record: Exit, unseen: Mapping[int, Exit], before: Table, now: Table
) -> str:
    """Born and ended between two readings: its parent's application, climbing over such parents."""
    ppid = record.ppid
    for _ in range(_ANCESTORS_MAX):
        if ppid <= _INIT:
            break
        parent = now.processes.get(ppid) or before.processes.get(ppid)
        if parent is not None:
            return parent.application
        if ppid not in unseen:
            break
        ppid = unseen[ppid].ppid
    return UNATTRIBUTED


@dataclass(slots=True)
class _Family:
    """A living process and those below it that have gone since it was last read."""

    before: Reading
    now: Reading
    direct: list[Reading] = field(default_factory=list)
    doubtful: list[Reading] = field(default_factory=list)
    """Gone together with their own parent: waited for by it, or by whoever adopted them."""

    def explained(self) -> tuple[list[Reading], list[Reading]]:
        """(children whose end this process's totals hold, those they do not hold yet)."""
        if not self.direct:
            return [], []
        room = self.now.children_faults - self.before.children_faults
        held, missing = [], []
        for child in self.direct:
            if child.faults <= room:
                room -= child.faults
                held.append(child)
            else:
                missing.append(child)
        return held, missing


@dataclass(slots=True)
class _Gone:
    """Processes that ended, by the living ancestor that the kernel adds them to."""

    families: list[_Family]
    first_seen: set[ProcessKey]

    @classmethod
    def between(cls, before: Table, now: Table) -> "_Gone":
        families = {}
        for pid, reading in now.processes.items():
            former = before.processes.get(pid)
            if former is None or former.start != reading.start:
                former = newborn(reading)
            families[pid] = _Family(former, reading)
        fresh = [r for r in before.processes.values() if not _is_in(r, now)]
        lost = {r.pid: r for r in fresh}
        for reading in [*fresh, *before.departed.values()]:
            if reading.ppid in families or reading.ppid in lost:
                cls._assign(reading, families, lost)
        return cls(list(families.values()), {r.key for r in fresh})

    @staticmethod
    def _assign(
        reading: Reading, families: Mapping[int, _Family], lost: Mapping[int, Reading]
    ) -> None:
        ancestor, direct = reading.ppid, True
        for _ in range(_ANCESTORS_MAX):
            family = families.get(ancestor)
            if family is not None:
                (family.direct if direct else family.doubtful).append(reading)
                if direct:
                    return
                ancestor = family.before.ppid
            elif ancestor in lost:
                ancestor = lost[ancestor].ppid
            else:
                return
            direct = False

    def book_cpu_from_parents(self, usage: Usage, elapsed_us: int) -> None:
        """A parent's growth, less what was booked of those below it, is their unread rest.

        It goes to the one application they belong to, as far as their threads could have used it
        in the time; what several could claim, and what no known child explains, is the parent's.
        """
        for family in self.families:
            growth = family.now.children_cpu_us - family.before.children_cpu_us
            if growth <= 0:
                continue
            held, _ = family.explained()
            below = [*held, *family.doubtful]
            rest = growth - sum(r.cpu_us + r.children_cpu_us for r in below)
            if rest <= 0:
                continue
            owners = {r.application for r in below}
            certain = 0
            if len(owners) == 1:
                certain = min(rest, sum(r.threads for r in below) * elapsed_us)
                usage.add_cpu(owners.pop(), certain)
            parent = UNATTRIBUTED if family.now.pid == _INIT else family.now.application
            usage.add_cpu(parent, rest - certain)

    def book_io(self, usage: Usage) -> None:
        """Each living process's growth, less what its ended children had shown by themselves."""
        for family in self.families:
            now, before = family.now.io, family.before.io
            if now is None or before is None:
                usage.add_io(family.now.application, None)
                continue
            own = _difference(now, before)
            if family.direct or family.doubtful:
                held, _ = family.explained()
                own = _difference(own, _sum_io(r.io for r in [*held, *family.doubtful]))
            usage.add_io(family.now.application, own)

    def unexplained(self) -> dict[ProcessKey, Reading]:
        """Gone now, while the parent was read a moment too early to show it: kept for one more
        reading."""
        return {
            child.key: child
            for family in self.families
            for child in family.explained()[1]
            if child.key in self.first_seen
        }


def _is_in(reading: Reading, table: Table) -> bool:
    present = table.processes.get(reading.pid)
    return present is not None and present.start == reading.start


def newborn(reading: Reading) -> Reading:
    """What a process showed when it began: nothing."""
    io = None if reading.io is None else NO_IO
    return replace(reading, cpu_us=0, children_cpu_us=0, faults=0, children_faults=0, io=io)


def _difference(now: Io, before: Io) -> Io:
    if now == before:
        return NO_IO
    return (
        max(now[0] - before[0], 0), max(now[1] - before[1], 0),
        max(now[2] - before[2], 0), max(now[3] - before[3], 0),
    )  # fmt: skip


def _sum_io(values: Iterable[Io | None]) -> Io:
    total = NO_IO
    for io in values:
        if io is not None:
            total = (total[0] + io[0], total[1] + io[1], total[2] + io[2], total[3] + io[3])
    return total
