"""Token buckets that all processes share (tenants.token_bucket has the rule).

They live in the cache's server. One call takes from all buckets of a request or from none, in a
script that nothing comes between. Without the cache each process has buckets of its own: a limit
is no reason to answer nothing.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, Final, cast

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from tenants.token_bucket import TOKEN_PARTS, BucketLevel, TokenLimit, full_bucket

_BUCKETS_MAX: Final = 20_000
_CACHE_RESTS_US: Final = 10_000_000
_TIMEOUT_SECONDS: Final = 2

# ARGV: the time and a token's parts, then the rate and the burst of each key. A bucket is forgotten
# when it is full. Numbers are written by %.0f: of itself Lua keeps 14 digits, a time has 16.
_TAKE: Final = """
local now, token = tonumber(ARGV[1]), tonumber(ARGV[2])
local levels, admitted = {}, 1
for i, key in ipairs(KEYS) do
    local rate, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local kept = redis.call('HMGET', key, 'missing', 'at')
    local missing, since = tonumber(kept[1] or 0), tonumber(kept[2] or now)
    local at = math.max(since, now)
    missing = math.max(missing - (at - since) * rate, 0)
    if missing + token > burst * token then admitted = 0 end
    levels[i] = {missing = missing, at = at, rate = rate}
end
local answer = {admitted}
for i, key in ipairs(KEYS) do
    local level = levels[i]
    if admitted == 1 then
        level.missing = level.missing + token
        redis.call('HSET', key, 'missing', string.format('%.0f', level.missing),
            'at', string.format('%.0f', level.at))
        redis.call('PEXPIRE', key, math.ceil(level.missing / level.rate / 1000) + 1)
    end
    answer[#answer + 1] = string.format('%.0f', level.missing)
    answer[#answer + 1] = string.format('%.0f', level.at)
end
return answer
"""

_log = logging.getLogger(__name__)


class TokenBuckets:
    """The shared buckets, and this process's own for when the cache is away."""

    def __init__(self) -> None:
        self._own: dict[str, BucketLevel] = {}
        self._lock = Lock()
        self._cache_rests_until_us = 0

    def take(
        self, limits: Mapping[str, TokenLimit], now_us: int
    ) -> tuple[bool, dict[str, BucketLevel]]:
        """Whether there was a token in every bucket; then one is taken from each. How full they
        are now."""
        if now_us >= self._cache_rests_until_us:
            try:
                return _taken_from_shared(limits, now_us)
            except (RedisError, OSError) as error:
                self._cache_rests_until_us = now_us + _CACHE_RESTS_US
                _log.warning("limits are kept by each process for itself: %s", error)
        with self._lock:
            return self._taken_from_own(limits, now_us)

    def _taken_from_own(
        self, limits: Mapping[str, TokenLimit], now_us: int
    ) -> tuple[bool, dict[str, BucketLevel]]:
        levels = {
            name: self._own.get(name, full_bucket(now_us)).refilled(limit, now_us)
            for name, limit in limits.items()
        }
        if not all(levels[name].has_token(limit) for name, limit in limits.items()):
            return False, levels
        levels = {name: level.less_a_token() for name, level in levels.items()}
        for name in levels:
            self._own.pop(name, None)
        if len(self._own) + len(levels) > _BUCKETS_MAX:
            # Those that were not asked for the longest are full by now, or nearly.
            for name in list(self._own)[: _BUCKETS_MAX // 2]:
                del self._own[name]
        self._own.update(levels)
        return True, levels

    def forget_own(self) -> None:
        """And ask the cache again."""
        self._own.clear()
        self._cache_rests_until_us = 0


buckets = TokenBuckets()


def _taken_from_shared(
    limits: Mapping[str, TokenLimit], now_us: int
) -> tuple[bool, dict[str, BucketLevel]]:
    rates = [part for limit in limits.values() for part in (limit.per_minute, limit.burst)]
    answer = _script(settings.REDIS_URL)(
        keys=[f"hostmeter:bucket:{name}" for name in limits], args=[now_us, TOKEN_PARTS, *rates]
    )
    admitted, *numbers = map(int, answer)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return bool(admitted), {
        name: BucketLevel(*pair) for name, pair in zip(limits, pairs, strict=True)
    }


@lru_cache(maxsize=4)
def _script(url: str) -> Callable[..., Any]:
    """Its client keeps its connections, and makes new ones after a fork."""
    client = Redis.from_url(
        url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
    )
    return cast(Callable[..., Any], client.register_script(_TAKE))
