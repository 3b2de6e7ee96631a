"""How often a key, and a tenant with all its keys, may call (tenants.rates counts)."""

from datetime import datetime
from http import HTTPStatus

from django.conf import settings

from tenants.api.caller import Caller
from tenants.problems import Problem
from tenants.rates import MINUTE_SECONDS, rates, seconds_left


def counted_request(caller: Caller, *, as_of: datetime) -> dict[str, str]:
    """Count a request; the headers that tell what is left. Raises Problem 429 over a limit."""
    now = as_of.timestamp()
    limits = {
        "key": (f"api-key:{caller.key_id}", settings.API_REQUESTS_PER_MINUTE_KEY),
        "tenant": (f"api-tenant:{caller.tenant_id}", settings.API_REQUESTS_PER_MINUTE_TENANT),
    }
    left = {
        name: limit - rates.counted(counter, limit, now)
        for name, (counter, limit) in limits.items()
    }
    wait = seconds_left(now)
    headers = {
        "RateLimit-Policy": ", ".join(
            f'"{name}";q={limit};w={MINUTE_SECONDS}' for name, (_, limit) in limits.items()
        ),
        "RateLimit": ", ".join(
            f'"{name}";r={max(rest, 0)};t={wait}' for name, rest in left.items()
        ),
    }
    over = next((name for name, rest in left.items() if rest < 0), None)
    if over is not None:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"Over {limits[over][1]} requests a minute for this {over}; go on in {wait} s.",
            headers={**headers, "Retry-After": str(wait)},
        )
    return headers
