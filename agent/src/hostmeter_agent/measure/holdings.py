"""What each process holds at one moment: memory and open resources."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from hostmeter_agent.measure.budget import DETAILS, KINDS_OF_DESCRIPTORS, PROPORTIONAL_MEMORY
from hostmeter_agent.measure.proc import RESOURCE_KINDS, Descriptors, ProcFs, Stat
from hostmeter_agent.measure.proportional import ProportionalMemory

GONE: Final = (FileNotFoundError, ProcessLookupError)
NO_KINDS: Final = (0,) * len(RESOURCE_KINDS)
_CLASSIFY_SECONDS: Final = 120
"""The kinds of descriptors of a process that runs are read anew after this time at the latest."""
_CLASSIFIED_A_SECOND: Final = 16
"""Of one process: where the number of descriptors changes all the time, as ours does, the kinds of
few are always new and those of many at most two minutes old."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_Read = TypeVar("_Read")


@dataclass(slots=True)
class Holding:
    """One process's part of its application's gauges. None: it could not be read.

    private_bytes: its proportional memory, or what it holds alone where that cannot be read;
    shared_bytes: then what it shares, else 0; sockets: as of Descriptors, none where they were not
    looked at; due_s: when to read it anew at the latest, even if the process does not run.
    """

    threads: int
    private_bytes: int | None = 0
    shared_bytes: int = 0
    descriptors: int | None = 0
    kinds: tuple[int, ...] | None = NO_KINDS
    sockets: tuple[int, ...] = ()
    due_s: float = math.inf


@dataclass(slots=True)
class _Details:
    """What is dear to read, kept while cheaper signs say that it has not changed."""

    start: int
    rss_pages: int = -1
    shared_pages: int = 0
    count: int = -1
    """Of descriptors."""
    descriptors: Descriptors | None = None
    stands_until_s: float = 0.0
    """However the number changes."""
    classify_at_s: float = 0.0


class Holdings:
    """Reads what processes hold, no more than has changed.

    left_out: those of DETAILS that are too dear at present. spent_ns: what the others have taken of
    this thread's time since begin(). asked_for: the inodes of sockets that are wanted of whoever
    holds them; stale: processes read since begin() of which some sockets may not be known.
    """

    def __init__(self, proc: ProcFs) -> None:
        self._proc = proc
        self._details: dict[int, _Details] = {}
        self._proportional = ProportionalMemory(proc, self._timed_memory)
        self.left_out: frozenset[str] = frozenset()
        self.asked_for: frozenset[int] = frozenset()
        self.stale: set[int] = set()
        self.spent_ns = dict.fromkeys(DETAILS, 0)

    def begin(self, stats: dict[int, Stat]) -> None:
        """Before each scan, with all processes that there are."""
        self.spent_ns = dict.fromkeys(DETAILS, 0)
        self.stale = set()
        self._proportional.begin(stats)
        for pid in [pid for pid in self._details if pid not in stats]:
            del self._details[pid]

    def read(self, stat: Stat, now_s: float, *, memory: bool = True) -> Holding:
        """memory: False where nobody will ask for this process's."""
        if stat.kernel:
            return Holding(stat.threads, None, 0, None, None)
        holding = Holding(stat.threads)
        if stat.zombie:
            return holding
        details = self._details.get(stat.pid)
        if details is None or details.start != stat.start:
            details = self._details[stat.pid] = _Details(stat.start)
        if memory:
            self._read_memory(stat, holding, details, now_s)
        else:
            holding.private_bytes = None
        self._read_descriptors(stat.pid, holding, details, now_s)
        return holding

    def look_again(self, pid: int) -> None:
        """At its descriptors, whatever their number, when the process is read next."""
        if pid in self._details:
            self._details[pid].classify_at_s = 0.0

    def _read_memory(self, stat: Stat, holding: Holding, details: _Details, now_s: float) -> None:
        try:
            dear = PROPORTIONAL_MEMORY in self.left_out
            pss_bytes = None if dear else self._proportional.pss_bytes(stat, now_s=now_s)
        except GONE:
            return
        if pss_bytes is not None:
            holding.private_bytes = pss_bytes
            return
        if details.rss_pages != stat.rss_pages:
            try:
                details.shared_pages = min(self._proc.shared_pages(stat.pid), stat.rss_pages)
            except GONE:
                return
            except (OSError, IndexError, ValueError):
                holding.private_bytes = None
                return
            details.rss_pages = stat.rss_pages
        holding.private_bytes = (stat.rss_pages - details.shared_pages) * _PAGE_BYTES
        holding.shared_bytes = details.shared_pages * _PAGE_BYTES

    def _read_descriptors(
        self, pid: int, holding: Holding, details: _Details, now_s: float
    ) -> None:
        try:
            count = self._proc.descriptor_count(pid)
            if KINDS_OF_DESCRIPTORS in self.left_out:
                details.descriptors, details.classify_at_s = None, 0.0
            elif now_s >= details.classify_at_s or (
                count != details.count and now_s >= details.stands_until_s
            ):
                details.descriptors = self._timed(KINDS_OF_DESCRIPTORS, self._descriptors, pid)
                details.count = count
                details.classify_at_s = now_s + _CLASSIFY_SECONDS - pid % (_CLASSIFY_SECONDS // 2)
                details.stands_until_s = now_s + count / _CLASSIFIED_A_SECOND
                if details.descriptors is not None and not details.descriptors.whole:
                    self.stale.add(pid)
            else:
                self.stale.add(pid)
        except GONE:
            return
        except OSError:
            holding.descriptors = holding.kinds = None
            return
        holding.descriptors, holding.kinds = count, None
        if details.descriptors is not None:
            holding.kinds, holding.sockets, _ = details.descriptors
            if count != details.count:
                holding.due_s = min(details.stands_until_s, details.classify_at_s)

    def _timed(self, detail: str, read: Callable[[int], _Read], pid: int) -> _Read:
        began = time.thread_time_ns()
        try:
            return read(pid)
        finally:
            self.spent_ns[detail] += time.thread_time_ns() - began

    def _timed_memory(self, pid: int) -> int:
        return self._timed(PROPORTIONAL_MEMORY, self._proc.pss_bytes, pid)

    def _descriptors(self, pid: int) -> Descriptors | None:
        try:
            return self._proc.descriptors(pid, self.asked_for)
        except PermissionError:
            return None
