"""What a scrape may cost, and what is left out while it costs more: the dearest first.

Pure: the caller says what each part cost, the budget answers what the next scrape leaves out. A
part is a probe by its name, or a detail of the base scan (DETAILS). The figures are disjoint: what
a detail took is not in what the scan took.

    shed = budget.plan()                      # before a scrape
    with budget.timed("network"): ...         # or budget.note("network", cpu_us)
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

KINDS_OF_DESCRIPTORS: Final = "descriptor-kinds"
PROPORTIONAL_MEMORY: Final = "proportional-memory"
DETAILS: Final = (KINDS_OF_DESCRIPTORS, PROPORTIONAL_MEMORY)
"""Parts of the base scan that can be left out: without the kinds only the number of descriptors
is known; without proportional memory it is estimated."""

PATIENCE_SCRAPES: Final = 2
"""A scrape may be dear once: the first after a start reads everything anew."""
TRIAL_SCRAPES: Final = 2
"""What comes back is judged by its last scrape: the first reads everything anew, too."""
RETRY_SCRAPES_MIN: Final = 6
RETRY_SCRAPES_MAX: Final = 360
_RETURN_PERCENT: Final = 80
"""Something is tried again only while the rest leaves room."""


def scrape_budget_us(interval_seconds: int, cpu_permille: int) -> int:
    """CPU time in µs that one scrape may take, from the share of one core in thousandths."""
    return interval_seconds * cpu_permille * 1_000


@dataclass(slots=True)
class _Part:
    cost_us: int = 0
    """Smoothed while it runs; while it is shed, what it last cost."""
    last_us: int | None = None
    shed: bool = False
    wait: int = 0
    """While shed: scrapes until it is tried again."""
    retry: int = RETRY_SCRAPES_MIN
    trial: int = 0
    """Scrapes of its trial that are still to run."""


class Budget:
    """Decides from scrape to scrape.

    sheddable: names that may be left out; what else is noted only counts. cpu_us_max: what one
    scrape may take. memory_bytes_max: the agent's resident memory; None for no limit.
    """

    def __init__(
        self, sheddable: Iterable[str], *, cpu_us_max: int, memory_bytes_max: int | None = None,
        clock_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:  # fmt: skip
        self._parts = {name: _Part() for name in sheddable}
        self._fixed: dict[str, _Part] = {}
        self._cpu_us_max = cpu_us_max
        self._memory_bytes_max = memory_bytes_max
        self._memory_bytes = 0
        self._clock_ns = clock_ns
        self._noted: dict[str, int] = {}
        self._over = 0

    def allow(self, *, cpu_us_max: int) -> None:
        """What one scrape may take from now on."""
        self._cpu_us_max = cpu_us_max

    def note(self, name: str, cpu_us: int) -> None:
        """A part of this scrape took that much; several notes of one part add up."""
        self._noted[name] = self._noted.get(name, 0) + cpu_us

    def note_memory(self, resident_bytes: int) -> None:
        """What the agent holds now."""
        self._memory_bytes = resident_bytes

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note what this thread spends inside."""
        began = self._clock_ns()
        try:
            yield
        finally:
            self.note(name, (self._clock_ns() - began) // 1_000)

    @property
    def cost_us(self) -> int:
        """What a scrape costs at present, smoothed over the last ones."""
        running = (part.cost_us for part in self._parts.values() if not part.shed)
        return sum(running) + sum(part.cost_us for part in self._fixed.values())

    @property
    def exceeded(self) -> bool:
        """Still too dear or too large after shedding: nothing is left that could be shed."""
        return self._over > PATIENCE_SCRAPES

    def plan(self) -> set[str]:
        """The names that the next scrape leaves out, judged by the scrapes so far."""
        noted, self._noted = self._noted, {}
        if noted:
            self._judge(noted)
        return {name for name, part in self._parts.items() if part.shed}

    def _judge(self, noted: dict[str, int]) -> None:
        spent_us = sum(noted.values())
        self._take_in(noted)
        dear = spent_us > self._cpu_us_max or self._too_large()
        if any(part.trial for part in self._parts.values()):
            self._go_on_trying(dear=dear)  # the others had room before it came
            return
        self._over = self._over + 1 if dear else 0
        if self._over >= PATIENCE_SCRAPES:
            self._shed_dearest(spent_us)
        elif not dear:
            self._bring_back(spent_us)

    def _take_in(self, noted: dict[str, int]) -> None:
        for name, us in noted.items():
            part = self._parts.get(name) or self._fixed.setdefault(name, _Part())
            part.cost_us = us if part.last_us is None else (part.cost_us + us) // 2
            part.last_us = us

    def _too_large(self) -> bool:
        return self._memory_bytes_max is not None and self._memory_bytes > self._memory_bytes_max

    def _go_on_trying(self, *, dear: bool) -> None:
        for part in self._parts.values():
            if part.trial:
                part.trial -= 1
                if not part.trial and dear:
                    part.retry = min(part.retry * 2, RETRY_SCRAPES_MAX)
                    _shed(part)
                elif not part.trial:
                    part.retry = RETRY_SCRAPES_MIN

    def _shed_dearest(self, spent_us: int) -> None:
        """As many as it takes; one at a time for memory, of which nobody knows whose it is."""
        running = [part for part in self._parts.values() if not part.shed]
        running.sort(key=lambda part: part.cost_us, reverse=True)
        if running and self._too_large():
            spent_us -= running[0].cost_us
            _shed(running.pop(0))
        for part in running:
            if spent_us <= self._cpu_us_max or not part.cost_us:
                return
            spent_us -= part.cost_us
            _shed(part)

    def _bring_back(self, spent_us: int) -> None:
        """Try one again, that which was cheapest, when its time has come."""
        waiting = [part for part in self._parts.values() if part.shed]
        for part in waiting:
            part.wait = max(part.wait - 1, 0)
        due = [part for part in waiting if not part.wait]
        has_room = spent_us * 100 <= self._cpu_us_max * _RETURN_PERCENT
        if due and has_room and not self._nearly_too_large():
            part = min(due, key=lambda part: part.cost_us)
            part.shed, part.trial, part.last_us = False, TRIAL_SCRAPES, None

    def _nearly_too_large(self) -> bool:
        most = self._memory_bytes_max
        return most is not None and self._memory_bytes * 100 > most * _RETURN_PERCENT


def _shed(part: _Part) -> None:
    part.shed, part.wait = True, part.retry
