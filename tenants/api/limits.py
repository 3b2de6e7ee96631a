"""How often a key, and a tenant with all its keys, may call (tenants.buckets counts).

The headers are those of draft-ietf-httpapi-ratelimit-headers-11: `q` requests in `w` seconds is a
full bucket and the time in which it fills; `r` is what it holds, `t` when there is one more.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from django.conf import settings

from tenants.api.caller import Caller
from tenants.buckets import buckets
from tenants.problems import Problem
from tenants.token_bucket import BucketLevel, TokenLimit

_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
_MICROSECOND: Final = timedelta(microseconds=1)


def counted_request(caller: Caller, *, as_of: datetime) -> dict[str, str]:
    """Take a token; the headers that tell what is left. Raises Problem 429 where there is none."""
    now_us = (as_of - _EPOCH) // _MICROSECOND
    limits = {
        f"key:{caller.key_id}": TokenLimit(
            settings.API_REQUESTS_PER_MINUTE_KEY, settings.API_REQUESTS_BURST_KEY
        ),
        f"tenant:{caller.tenant_id}": TokenLimit(
            settings.API_REQUESTS_PER_MINUTE_TENANT, settings.API_REQUESTS_BURST_TENANT
        ),
    }
    admitted, levels = buckets.take(limits, now_us)
    headers = _headers(limits, levels, now_us)
    if not admitted:
        raise _over_limit(limits, levels, headers, now_us)
    return headers


def _headers(
    limits: dict[str, TokenLimit], levels: dict[str, BucketLevel], now_us: int
) -> dict[str, str]:
    return {
        "RateLimit-Policy": ", ".join(
            f'"{_kind(name)}";q={limit.burst};w={limit.seconds_to_fill}'
            for name, limit in limits.items()
        ),
        "RateLimit": ", ".join(
            f'"{_kind(name)}";r={levels[name].tokens(limit)}'
            f";t={levels[name].seconds_to_next(limit, now_us)}"
            for name, limit in limits.items()
        ),
    }


def _over_limit(
    limits: dict[str, TokenLimit],
    levels: dict[str, BucketLevel],
    headers: dict[str, str],
    now_us: int,
) -> Problem:
    """Names the bucket that has to be waited for the longest."""
    wait, name = max(
        (levels[name].seconds_to_next(limit, now_us), name)
        for name, limit in limits.items()
        if not levels[name].has_token(limit)
    )
    limit = limits[name]
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Over {limit.per_minute} requests a minute, and {limit.burst} at once, "
        f"for this {_kind(name)}; go on in {wait} s.",
        headers={**headers, "Retry-After": str(wait)},
    )


def _kind(name: str) -> str:
    return name.partition(":")[0]
