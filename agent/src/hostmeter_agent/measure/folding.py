"""What is known of ended processes, folded: while nothing can be stored it would grow without end.

Those that ended and of which nothing was booked yet become one for each parent, application and
cgroup, with the sum of what they used. The sums stay exact; what each of them used is forgotten.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.readings import (
    ANCESTORS_MAX,
    INIT,
    NO_IO,
    UNATTRIBUTED,
    Reading,
    Table,
)

ENDED_MAX: Final = 20_000
"""About 6 MB."""
_NOBODY: Final = 0
_START: Final = -1

_Place = tuple[int, str, str | None]
"""Parent, application, cgroup."""
_Tables = tuple[Mapping[int, Reading], ...]


def is_too_much(before: Table, now: Table, exits: Sequence[Exit]) -> bool:
    return len(exits) + len(before.processes) - len(now.processes) > ENDED_MAX


def fold(
    before: Table, now: Table, exits: Sequence[Exit], *, later: Sequence[Exit], recorded: bool
) -> list[Exit]:
    """The exit records to go on with; `before` is brought up to them.

    exits: that had come before `now` was read, so that who is not in it never comes back; later:
    that came since, which stay; recorded: the kernel tells of every end.
    """
    folding = _Folding(before, now, parents={record.pid: record.ppid for record in later})
    kept = folding.take(exits)
    if not recorded:
        folding.take_unrecorded()
    records = folding.summed()
    before.moved = {pid: replace(moved, exits=0) for pid, moved in before.moved.items()}
    return [*folding.attached(kept), *(records if recorded else ()), *later]


@dataclass(slots=True)
class _Ended:
    """reading: what is known of it, None if nothing; number: of its record."""

    pid: int
    ppid: int
    cpu_us: int
    reading: Reading | None
    number: int


@dataclass(slots=True)
class _Folding:
    before: Table
    now: Table
    ended: list[_Ended] = field(default_factory=list)
    parents: dict[int, int] = field(default_factory=dict)
    """Of those in `ended`, and of those whose record came later."""
    folded: dict[int, Reading] = field(default_factory=dict)
    """The readings of those of whom there were some."""

    def take(self, exits: Sequence[Exit]) -> list[Exit]:
        """The records that stay as they are: of processes that are still there, and of those of
        which something was booked."""
        kept: list[Exit] = []
        finished: set[int] = set()
        for number, record in enumerate(exits):
            reading = self.before.processes.get(record.pid)
            if record.pid in finished:
                reading = None  # its number was used again
            if record.pid in self.now.processes or (reading and not _is_unbooked(reading)):
                kept.append(record)
                finished.add(record.pid)
                continue
            self._add(_Ended(record.pid, record.ppid, record.cpu_us, reading, number))
        return kept

    def take_unrecorded(self) -> None:
        for pid, reading in list(self.before.processes.items()):
            if pid not in self.now.processes and _is_unbooked(reading):
                self._add(_Ended(pid, reading.ppid, 0, reading, 0))

    def _add(self, ended: _Ended) -> None:
        self.ended.append(ended)
        self.parents[ended.pid] = ended.ppid
        if ended.reading is not None:
            self.folded[ended.pid] = self.before.processes.pop(ended.pid)

    def summed(self) -> list[Exit]:
        """Put one for each place into the table; their records."""
        used: dict[_Place, int] = {}
        threads: dict[_Place, int] = {}
        for ended in self.ended:
            place = self._place(ended)
            used[place] = used.get(place, 0) + ended.cpu_us
            count = 1 if ended.reading is None else ended.reading.threads
            threads[place] = threads.get(place, 0) + count
        records = []
        for number, (place, cpu_us) in enumerate(used.items(), start=1):
            ppid, application, cgroup = place
            # The kernel gives no such number, so it is never taken for another.
            self.before.processes[-number] = Reading(
                -number, _START, ppid, application, 0, 0, 0, 0, threads[place], NO_IO, cgroup
            )
            records.append(Exit(-number, ppid, cpu_us))
        return records

    def attached(self, records: Iterable[Exit]) -> list[Exit]:
        """The same, below parents that are not folded."""
        kept = self._kept
        return [record._replace(ppid=self._ancestor(record.ppid, kept)) for record in records]

    def _place(self, ended: _Ended) -> _Place:
        ppid = self._ancestor(ended.ppid, self._kept)
        if _of(ppid, *self._kept) is None:
            ppid = _NOBODY
        if ended.reading is not None:
            return ppid, ended.reading.application, ended.reading.cgroup
        known = self._ancestor(ended.ppid, (*self._kept, self.folded))
        parent = _of(known, *self._kept, self.folded)
        if parent is None or known <= INIT:
            return ppid, UNATTRIBUTED, None
        moved = self.before.moved.get(known)
        earlier = moved is not None and ended.number < moved.exits
        return ppid, parent.application, None if earlier else parent.cgroup

    @property
    def _kept(self) -> _Tables:
        return self.now.processes, self.before.processes

    def _ancestor(self, pid: int, tables: _Tables) -> int:
        """The nearest that is in one of the tables, as far as parents are known."""
        for _ in range(ANCESTORS_MAX):
            if pid not in self.parents or _of(pid, *tables) is not None:
                break
            pid = self.parents[pid]
        return pid


def _of(pid: int, *tables: Mapping[int, Reading]) -> Reading | None:
    return next((table[pid] for table in tables if pid in table), None)


def _is_unbooked(reading: Reading) -> bool:
    """Nothing that it used was booked; so it began after the table was read."""
    spent = reading.cpu_us or reading.children_cpu_us or reading.faults or reading.children_faults
    return not spent and reading.io == NO_IO
