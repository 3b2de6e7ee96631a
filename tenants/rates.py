"""How often something may happen in a minute, over all processes.

Counted per minute in the shared cache. Each process counts by itself and settles with the cache
every few times, so each may pass a limit by a tenth, and 20 times at most; the cache's absence
passes what each process by itself would let through, for a limit is no reason to lose anything.
"""

import logging
from dataclasses import dataclass
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError

MINUTE_SECONDS: Final = 60
_SETTLE_EVERY: Final = 20
_COUNTS_MAX: Final = 20_000
_CACHE_RESTS_SECONDS: Final = 10

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    minute: int
    unsettled: int = 0
    # What all processes together have let through, as of the last settling.
    total: int = 0


class Rates:
    """This process's share of the counting."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._cache_rests_until = 0.0

    def counted(self, key: str, limit: int, now: float, *, by: int = 1) -> int:
        """Count so many more under the key; how many there were in this minute with them."""
        minute = int(now) // MINUTE_SECONDS
        count = self._counts.get(key)
        if count is None or count.minute != minute:
            if len(self._counts) >= _COUNTS_MAX:
                self._counts.clear()
            count = self._counts[key] = _Count(minute)
        count.unsettled += by
        if count.unsettled >= min(_SETTLE_EVERY * by, max(limit // 10, 1)):
            self._settle(key, count, now)
        return count.total + count.unsettled

    def _settle(self, key: str, count: _Count, now: float) -> None:
        if now < self._cache_rests_until:
            return
        name = f"rate:{key}:{count.minute}"
        try:
            cache.add(name, 0, timeout=2 * MINUTE_SECONDS)
            count.total = cache.incr(name, count.unsettled)
        except (RedisError, ValueError, OSError) as error:
            self._cache_rests_until = now + _CACHE_RESTS_SECONDS
            _log.warning("rates are not counted across processes: %s", error)
            return
        count.unsettled = 0

    def forget(self) -> None:
        self._counts.clear()
        self._cache_rests_until = 0.0


rates = Rates()


def seconds_left(now: float) -> int:
    """How long the minute still lasts."""
    return MINUTE_SECONDS - int(now) % MINUTE_SECONDS
