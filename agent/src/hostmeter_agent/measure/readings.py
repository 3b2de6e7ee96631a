"""What is read of processes and what is booked of it: plain values."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.measure.proc import Io

UNATTRIBUTED: Final = "unattributed"
NO_IO: Final[Io] = (0, 0, 0, 0)
INIT: Final = 1
_LABEL: Final = "\0"
"""No application's name begins with it."""
ANCESTORS_MAX: Final = 256

ProcessKey = tuple[int, int]
"""pid and start time in clock ticks since boot."""


def is_label(name: str) -> bool:
    """Whether CPU time is booked under a cgroup's label, not an application's name."""
    return name.startswith(_LABEL)


def label_path(label: str) -> str:
    """The cgroup that a label stands for."""
    return label[len(_LABEL) :]


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
    cgroup: str | None = None
    """The path of the cgroup that counts it, where the application has one of its own."""

    @property
    def pays(self) -> str:
        """Under what its CPU time is booked: its cgroup's label, or its application."""
        return self.application if self.cgroup is None else _LABEL + self.cgroup

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
        known = self.io.get(application)
        if known is None and application not in self.io:
            self.io[application] = io
        elif io is NO_IO:
            return
        elif io is None or known is None:
            self.io[application] = None
        else:
            self.io[application] = (
                known[0] + io[0], known[1] + io[1], known[2] + io[2], known[3] + io[3],
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """A process that was moved into a cgroup that counts it: what it showed of its children then,
    and how many exit records had come. What came later, the cgroup has counted."""

    start: int
    children_cpu_us: int
    exits: int


@dataclass(slots=True)
class Table:
    """The processes of the host at one moment, and those whose end no parent has shown yet.

    credit_us: by living process, CPU time that was booked for children of its that have ended and
    that its own children_cpu_us does not hold yet. unread_us: by number, what exit records told of
    processes that are in no table; one that began after the numbers were listed may be in the next.
    moved: by number, since the table was read.
    """

    processes: dict[int, Reading] = field(default_factory=dict)
    departed: dict[ProcessKey, Reading] = field(default_factory=dict)
    credit_us: dict[ProcessKey, int] = field(default_factory=dict)
    unread_us: dict[int, int] = field(default_factory=dict)
    moved: dict[int, Moved] = field(default_factory=dict)


def is_in(reading: Reading, table: Table) -> bool:
    present = table.processes.get(reading.pid)
    return present is not None and present.start == reading.start


def newborn(reading: Reading) -> Reading:
    """What a process showed when it began: nothing."""
    io = None if reading.io is None else NO_IO
    return replace(reading, cpu_us=0, children_cpu_us=0, faults=0, children_faults=0, io=io)


def io_difference(now: Io, before: Io) -> Io:
    if now == before:
        return NO_IO
    return (
        max(now[0] - before[0], 0), max(now[1] - before[1], 0),
        max(now[2] - before[2], 0), max(now[3] - before[3], 0),
    )  # fmt: skip


def io_sum(values: Iterable[Io | None]) -> Io:
    total = NO_IO
    for io in values:
        if io is not None:
            total = (total[0] + io[0], total[1] + io[1], total[2] + io[2], total[3] + io[3])
    return total
