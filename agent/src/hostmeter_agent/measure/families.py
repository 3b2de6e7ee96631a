"""Living processes and those that ended below them: what their parents still have to tell.

The kernel adds a child's totals to its parent's when it is waited for. So the growth of a parent's
children, less what was booked of those children already, is what nobody has booked yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hostmeter_agent.measure.readings import (
    ANCESTORS_MAX,
    INIT,
    NO_IO,
    UNATTRIBUTED,
    Moved,
    ProcessKey,
    Reading,
    Table,
    Usage,
    io_difference,
    io_sum,
    is_in,
    newborn,
)
from hostmeter_agent.measure.windows import shares

TRUNCATION_US: Final = 20_000
"""User and system time of a process's children are shown in whole ticks of 10 ms each: that much
may have been waited for without being seen."""


@dataclass(slots=True)
class Family:
    """A living process and those below it that have ended since it was last read.

    direct: its children; doubtful: gone together with their own parent, so waited for by it or by
    whoever adopted them; distant: the same, with another living process in between; late: carried
    over from the last reading, booked and in credit.
    """

    before: Reading
    now: Reading
    direct: list[Reading] = field(default_factory=list)
    doubtful: list[Reading] = field(default_factory=list)
    distant: list[Reading] = field(default_factory=list)
    late: list[Reading] = field(default_factory=list)
    growth_us: int = 0
    credit_us: int = 0
    """What was booked of ended children and stays to be shown."""

    def settle_own(self, former_credit_us: int) -> None:
        """Take what was booked of its own children off its growth."""
        growth = max(self.now.children_cpu_us - self.before.children_cpu_us, 0)
        fresh = sum(total_us(r) for r in self.direct)
        used = min(former_credit_us, growth)
        # A parent that has not told by now ignores its children's end, but for a part of a tick.
        old = min(former_credit_us - used, TRUNCATION_US)
        self.growth_us = max(growth - used - fresh, 0)
        self.credit_us = old + max(fresh - (growth - used), 0)

    def parent_pays(self) -> str:
        return UNATTRIBUTED if self.now.pid == INIT else self.now.pays

    def explained(self) -> tuple[list[Reading], list[Reading]]:
        """(children whose end this process's totals hold, those they do not hold yet)."""
        room = self.now.children_faults - self.before.children_faults
        held, missing = [], []
        for child in [*self.direct, *self.late]:
            if child.faults <= room:
                room -= child.faults
                held.append(child)
            else:
                missing.append(child)
        return held, missing

    def below(self) -> list[Reading]:
        """Whose rest its growth may be: the nearest that there are."""
        near = [*self.direct, *self.doubtful, *self.late]
        return near or self.distant


@dataclass(slots=True)
class Families:
    """The living processes of a host that changed or have something to tell, with everything that
    ended below them. Of one that shows what it showed before (the same object: it was not even
    read) a family is made when it is found to have lost a child."""

    by_pid: dict[int, Family]
    now: Table
    first_seen: dict[ProcessKey, Reading]
    orphans: list[tuple[Reading, list[Family]]]
    """Doubtful ones, each with its living ancestors, the nearest first."""
    moved: Mapping[int, Moved]

    @classmethod
    def between(cls, before: Table, now: Table, unseen: Iterable[Reading]) -> "Families":
        """unseen: born and ended between the two tables, as their exit records tell."""
        by_pid = {}
        for pid, reading in now.processes.items():
            former = before.processes.get(pid)
            if former is reading and reading.key not in before.credit_us:
                continue
            if former is None or former.start != reading.start:
                former = newborn(reading)
            by_pid[pid] = Family(former, reading)
        seen = [_with_credit(r, before) for r in before.processes.values() if not is_in(r, now)]
        families = cls(by_pid, now, {r.key: r for r in seen}, [], before.moved)
        fresh = [*seen, *unseen]
        lost = {r.pid: r for r in fresh}
        for reading in fresh:
            families._assign(reading, lost, late=False)
        for reading in before.departed.values():
            families._assign(reading, lost, late=True)
        for family in by_pid.values():
            family.settle_own(before.credit_us.get(family.now.key, 0))
        families._settle_orphans()
        return families

    def _living(self, pid: int) -> Family | None:
        family = self.by_pid.get(pid)
        if family is None and pid in self.now.processes:
            unchanged = self.now.processes[pid]
            family = self.by_pid[pid] = Family(unchanged, unchanged)
        return family

    def _assign(self, reading: Reading, lost: Mapping[int, Reading], *, late: bool) -> None:
        ancestor, orphaned = reading.ppid, False
        living: list[Family] = []
        for _ in range(ANCESTORS_MAX):
            family = self._living(ancestor)
            if family is not None:
                if not orphaned:
                    (family.late if late else family.direct).append(reading)
                    return
                (family.distant if living else family.doubtful).append(reading)
                living.append(family)
                ancestor = family.before.ppid
            elif ancestor in lost:
                ancestor = lost[ancestor].ppid
            else:
                break
            orphaned = True
        if living and not late:
            self.orphans.append((reading, living))

    def _settle_orphans(self) -> None:
        """Each orphan's booked time is in the growth of one of its living ancestors."""
        for reading, living in self.orphans:
            owed_us = total_us(reading)
            for family in living:
                used = min(owed_us, family.growth_us)
                family.growth_us -= used
                owed_us -= used
            # Where the nearest has not told of its own yet, the orphan may be among them.
            waiting = living[0] if living[0].credit_us > TRUNCATION_US else living[-1]
            waiting.credit_us += owed_us

    def book_cpu(self, usage: Usage, elapsed_us: int, *, recorded: bool) -> None:
        """What the parents tell and nobody has booked yet.

        recorded: the kernel told of every end, so that what is left is the last moments of those
        that ended. It is shared by their number of threads, as far as these could have used it in
        the time. Without records it goes to the one application that all belong to; what several
        could claim, and what no known child explains, is the parent's.
        """
        for family in self.by_pid.values():
            parent_pays = self._drop_counted(family)
            if not family.growth_us:
                continue
            threads: dict[str, int] = {}
            for reading in family.below():
                threads[reading.pays] = threads.get(reading.pays, 0) + reading.threads
            given = 0
            if threads and (recorded or len(threads) == 1):
                parts = shares(family.growth_us, list(threads.values()))
                for (application, count), part in zip(threads.items(), parts, strict=True):
                    certain = min(part, count * elapsed_us)
                    usage.add_cpu(application, certain)
                    given += certain
            usage.add_cpu(parent_pays, family.growth_us - given)

    def _drop_counted(self, family: Family) -> str:
        """Of a parent that was moved, leave what children had used before that: the rest is in its
        cgroup's count. Returns under what it is booked."""
        moved = self.moved.get(family.now.pid)
        if moved is None or moved.start != family.now.start:
            return family.parent_pays()
        later_us = max(family.now.children_cpu_us - moved.children_cpu_us, 0)
        family.growth_us = max(family.growth_us - later_us, 0)
        return family.now.application

    def book_io(self, usage: Usage) -> None:
        """Each living process's growth, less what its ended children had shown by themselves."""
        known, by_pid = usage.io, self.by_pid
        for pid, reading in self.now.processes.items():
            if pid in by_pid:
                continue
            if reading.io is None:
                known[reading.application] = None
            elif reading.application not in known:
                known[reading.application] = NO_IO
        for family in self.by_pid.values():
            now, before = family.now.io, family.before.io
            if now is None or before is None:
                usage.add_io(family.now.application, None)
                continue
            own = io_difference(now, before)
            orphaned = [*family.doubtful, *family.distant]
            if family.direct or family.late or orphaned:
                held, _ = family.explained()
                own = io_difference(own, io_sum(r.io for r in [*held, *orphaned]))
            usage.add_io(family.now.application, own)

    def unexplained(self) -> dict[ProcessKey, Reading]:
        """Gone now, while the parent was read a moment too early to show it: kept for one more
        reading."""
        return {
            child.key: child
            for family in self.by_pid.values()
            if family.direct
            for child in family.explained()[1]
            if child.key in self.first_seen
        }

    def credits_us(self) -> dict[ProcessKey, int]:
        """What is booked and stays to be shown, by living process."""
        return {f.now.key: f.credit_us for f in self.by_pid.values() if f.credit_us}


def _with_credit(reading: Reading, table: Table) -> Reading:
    """Its children's totals as they will be shown: with what was booked and did not show yet."""
    credit_us = table.credit_us.get(reading.key, 0)
    if not credit_us:
        return reading
    return replace(reading, children_cpu_us=reading.children_cpu_us + credit_us)


def total_us(reading: Reading) -> int:
    """What is booked of an ended process, and so will show up in whoever waited for it."""
    return reading.cpu_us + reading.children_cpu_us
