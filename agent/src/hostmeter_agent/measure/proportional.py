"""A process's proportional memory: its own pages, and of shared ones its part (PSS).

The kernel counts it by walking all page tables of the process, which is dear: it is read again
when something says that it has changed, and in between follows the resident size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.measure.proc import ProcFs, Stat

_REFRESH_SECONDS: Final = 60
_REFRESH_AT_LATEST_SECONDS: Final = 600
"""Of a process without page faults: it has mapped nothing new, but others may share less."""
_CHANGED_PERCENT: Final = 1
_CHANGED_PAGES_MIN: Final = 32


@dataclass(frozen=True, slots=True)
class _Known:
    start: int
    rss_pages: int
    faults: int
    pss_bytes: int | None
    until_s: float
    at_latest_s: float


class ProportionalMemory:
    """Remembers what was read of each process."""

    def __init__(self, proc: ProcFs, read: Callable[[int], int]) -> None:
        """read: proc's pss_bytes, or what stands around it."""
        self._proc = proc
        self._read_bytes = read
        self._known: dict[int, _Known] = {}
        self._parents: dict[int, int] = {}
        """By process, as of the last scan."""
        self._disturbed: set[int] = set()

    def begin(self, stats: Mapping[int, Stat]) -> None:
        """Before a scan: a child that came or went changes what its parent shares with it."""
        before, now = self._parents, {pid: stat.ppid for pid, stat in stats.items()}
        self._disturbed = {ppid for pid, ppid in before.items() if pid not in now}
        self._disturbed |= {ppid for pid, ppid in now.items() if pid not in before}
        self._parents = now
        for pid in [pid for pid in self._known if pid not in now]:
            del self._known[pid]

    def pss_bytes(self, stat: Stat, *, now_s: float) -> int | None:
        """None where the kernel does not tell. Raises FileNotFoundError or ProcessLookupError
        when the process has gone."""
        if not self._proc.has_rollup:
            return None
        known = self._known.get(stat.pid)
        if known is None or self._is_stale(known, stat, now_s):
            known = self._known[stat.pid] = self._read(stat, now_s)
        if known.pss_bytes is None or not known.rss_pages:
            return known.pss_bytes
        return known.pss_bytes * stat.rss_pages // known.rss_pages

    def _is_stale(self, known: _Known, stat: Stat, now_s: float) -> bool:
        if known.start != stat.start or stat.pid in self._disturbed or now_s >= known.at_latest_s:
            return True
        if now_s >= known.until_s and stat.faults != known.faults:
            return True
        changed = abs(stat.rss_pages - known.rss_pages)
        return changed > max(known.rss_pages * _CHANGED_PERCENT // 100, _CHANGED_PAGES_MIN)

    def _read(self, stat: Stat, now_s: float) -> _Known:
        try:
            pss = self._read_bytes(stat.pid)
        except PermissionError:
            pss = None
        # Spread, so that not all are due in one scan.
        early_s = stat.pid % (_REFRESH_SECONDS // 2)
        return _Known(
            stat.start, stat.rss_pages, stat.faults, pss,
            until_s=now_s + _REFRESH_SECONDS - early_s,
            at_latest_s=now_s + _REFRESH_AT_LATEST_SECONDS - 10 * early_s,
        )  # fmt: skip
