"""Which of what was over a limit, found day by day, is one breach: pure.

Days are looked at one by one, since usage comes late. What goes on over midnight was cut there, and
is put together again: a breach goes on where the next day's part begins soon enough after it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Part:
    """What was over one limit on one day, or on days that are known to belong together: the most
    that was measured (of rules nothing), in how many 5-minute buckets, when the first of them began
    and the last ended. `breach`: of which it is so far; `day` is its first."""

    breach: UUID | None
    day: date
    first: datetime
    last: datetime
    measured: Decimal | None
    buckets: int


@dataclass(frozen=True, slots=True)
class Whole:
    """One breach from its beginning to its end, and of which known one it is the rest (None: of
    none)."""

    breach: UUID | None
    parts: tuple[Part, ...]

    @property
    def day(self) -> date:
        return self.parts[0].day

    @property
    def first(self) -> datetime:
        return self.parts[0].first

    @property
    def last(self) -> datetime:
        return self.parts[-1].last

    @property
    def buckets(self) -> int:
        return sum(part.buckets for part in self.parts)

    @property
    def measured(self) -> Decimal | None:
        return max(
            (part.measured for part in self.parts if part.measured is not None), default=None
        )


def wholes(parts: Iterable[Part], *, standing: Collection[UUID], goes_on: timedelta) -> list[Whole]:
    """The breaches that parts of one limit make, the newest first.

    Each stays the breach that its parts were of. Where two have become one it is the one that is
    `standing`, which was told to go on, else the older; where one has become two the newer stays
    it, and the older is a new one.
    """
    found = []
    taken: set[UUID] = set()
    for chain in reversed(_chains(sorted(parts, key=lambda part: part.first), goes_on)):
        known = [part.breach for part in chain if part.breach is not None]
        free = [each for each in known if each not in taken]
        chosen = next((each for each in free if each in standing), next(iter(free), None))
        if chosen is not None:
            taken.add(chosen)
        found.append(Whole(chosen, tuple(chain)))
    return found


def _chains(parts: Sequence[Part], goes_on: timedelta) -> list[list[Part]]:
    chains: list[list[Part]] = []
    for part in parts:
        if chains and part.first - chains[-1][-1].last <= goes_on:
            chains[-1].append(part)
        else:
            chains.append([part])
    return chains
