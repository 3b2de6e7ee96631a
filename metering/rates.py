"""How often a host, and a tenant, may deliver (tenants.rates counts)."""

from datetime import datetime
from http import HTTPStatus

from django.conf import settings

from metering.known_hosts import KnownHost
from tenants.problems import Problem
from tenants.rates import rates, seconds_left


def count_batch(host: KnownHost, *, as_of: datetime) -> None:
    """Raises Problem 429 over a limit."""
    now = as_of.timestamp()
    limits = {
        f"host:{host.host_id}": settings.INGEST_BATCHES_PER_MINUTE_HOST,
        f"tenant:{host.tenant_id}": settings.INGEST_BATCHES_PER_MINUTE_TENANT,
    }
    for key, limit in limits.items():
        if rates.counted(key, limit, now) > limit:
            wait = seconds_left(now)
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Over {limit} batches a minute; go on in {wait} s.",
                headers={"Retry-After": str(wait)},
            )
