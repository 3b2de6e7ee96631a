"""Who used what between two readings of the process table: pure, and each µs and byte once.

A counter's identity is (pid, start time). The same identity: the difference; a new one: the whole
value. What a process used after it was last read comes from its exit record as far as the kernel
has counted it there, and the rest from its parent, to whose totals the kernel adds a child's at
the moment it is waited for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.families import Families
from hostmeter_agent.measure.proc import TICK_US
from hostmeter_agent.measure.readings import (
    ANCESTORS_MAX,
    INIT,
    UNATTRIBUTED,
    Moved,
    ProcessKey,
    Reading,
    Table,
    Usage,
)


def account(before: Table, now: Table, *, exits: Sequence[Exit] | None, elapsed_us: int) -> Usage:
    """The usage between two tables.

    exits: every process that ended in between, or None when the kernel did not say. `now` is
    brought up to what was booked: ended processes keep nothing that could be booked again.
    """
    usage = Usage()
    _book_survivors(before, now, usage)
    ended = _Ended(dict(before.processes), moved=before.moved)
    if exits is not None:
        _book_exits(ended, now, exits, usage)
    booked = Table(ended.processes, before.departed, before.credit_us, moved=before.moved)
    families = Families.between(booked, now, ended.unseen)
    families.book_cpu(usage, elapsed_us, recorded=exits is not None)
    families.book_io(usage)
    now.departed = families.unexplained()
    now.credit_us = families.credits_us()
    now.unread_us = {reading.pid: reading.cpu_us for reading in ended.unseen}
    return usage


def _book_survivors(before: Table, now: Table, usage: Usage) -> None:
    for pid, reading in now.processes.items():
        former = before.processes.get(pid)
        if former is reading and pid not in before.unread_us:
            continue  # it was not even read: it has not run
        known = former.cpu_us if former is not None and former.start == reading.start else 0
        known = known or before.unread_us.get(pid, 0)
        usage.add_cpu(reading.pays, max(reading.cpu_us - known, 0))
        if 0 < known - reading.cpu_us < TICK_US:
            # Its exit record has told of a part of a tick, which /proc does not show of a zombie.
            now.processes[pid] = replace(reading, cpu_us=known)


@dataclass(slots=True)
class _Ended:
    """The former table, brought up to what exit records say, and those that only they tell of."""

    processes: dict[int, Reading]
    unseen: list[Reading] = field(default_factory=list)
    moved: Mapping[int, Moved] = field(default_factory=dict)


def _book_exits(ended: _Ended, now: Table, exits: Sequence[Exit], usage: Usage) -> None:
    finished: set[ProcessKey] = set()
    unseen: dict[int, Exit] = {}
    orphans: list[tuple[int, Exit]] = []
    for number, record in enumerate(exits):
        reading = _reading_of(record, ended, now, finished)
        if reading is None:
            unseen[record.pid] = record
            orphans.append((number, record))
            continue
        finished.add(reading.key)
        usage.add_cpu(reading.pays, max(record.cpu_us - reading.cpu_us, 0))
        total = max(record.cpu_us, reading.cpu_us)
        if now.processes.get(reading.pid) is reading:
            now.processes[reading.pid] = replace(reading, cpu_us=total)
        else:
            # Whoever was its parent at the end is the one that shows it.
            ended.processes[reading.pid] = replace(reading, cpu_us=total, ppid=record.ppid)
    for number, record in orphans:
        parent = _parent_of_unseen(record, unseen, ended, now)
        moved = ended.moved.get(parent.pid) if parent is not None else None
        if parent is not None and moved is not None and number < moved.exits:
            parent = replace(parent, cgroup=None)  # it ended before its parent was moved
        usage.add_cpu(parent.pays if parent is not None else UNATTRIBUTED, record.cpu_us)
        ended.unseen.append(_unseen_reading(record, parent))


def _unseen_reading(record: Exit, parent: Reading | None) -> Reading:
    application, cgroup = UNATTRIBUTED, None
    if parent is not None:
        application, cgroup = parent.application, parent.cgroup
    return Reading(
        record.pid, -1, record.ppid, application, record.cpu_us,
        children_cpu_us=0, faults=0, children_faults=0, threads=1, io=None, cgroup=cgroup,
    )  # fmt: skip


def _reading_of(
    record: Exit, ended: _Ended, now: Table, finished: set[ProcessKey]
) -> Reading | None:
    """The process that a record is about: of two with one number, the older one ended first."""
    former, present = ended.processes.get(record.pid), now.processes.get(record.pid)
    same = former is not None and present is not None and former.start == present.start
    candidates = [present] if same else [former, present]
    for reading in candidates:
        if reading is not None and reading.key not in finished:
            return reading
    return None


def _parent_of_unseen(
    record: Exit, unseen: Mapping[int, Exit], ended: _Ended, now: Table
) -> Reading | None:
    """Born and ended between two readings: whose application it was of, climbing over such
    parents."""
    ppid = record.ppid
    for _ in range(ANCESTORS_MAX):
        if ppid <= INIT:
            break
        parent = now.processes.get(ppid) or ended.processes.get(ppid)
        if parent is not None:
            return parent
        if ppid not in unseen:
            break
        ppid = unseen[ppid].ppid
    return None
