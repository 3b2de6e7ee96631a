"""How often a host, and a tenant, may deliver, and how much (tenants.rates counts)."""

from datetime import datetime
from http import HTTPStatus

from django.conf import settings

from metering.known_hosts import KnownHost
from tenants.problems import Problem
from tenants.rates import MINUTE_SECONDS, rates, seconds_left


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


def count_samples(host: KnownHost, samples: int, *, as_of: datetime) -> None:
    """Raises Problem 429 where the tenant has delivered its minute's samples already. The batch
    that passes the limit is taken whole: one that is larger than a minute's would else never be."""
    if host.samples_per_second_max is None:
        return
    now, limit = as_of.timestamp(), host.samples_per_second_max * MINUTE_SECONDS
    counted = rates.counted(f"samples:{host.tenant_id}", limit, now, by=samples)
    if counted - samples >= limit:
        wait = seconds_left(now)
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"Over {host.samples_per_second_max} samples a second, which this provider may "
            f"deliver; go on in {wait} s. Nothing is lost: keep them until then.",
            headers={"Retry-After": str(wait)},
        )
