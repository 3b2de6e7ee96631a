"""A host's usage with what nobody used of it, by customer and application. Every query runs inside
a tenant's scope; core/allocation.py says how it is spread."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Sum
from hostmeter_agent.wire import kind_of

from metering.core.allocation import HostAllocation, Rule, Share, allocated
from metering.models import UNATTRIBUTED, Application, Assignment, Host, Rollup
from metering.usage import quantity_of


class MaximumNotAllocated(ValueError):
    """What is a largest value cannot be spread: maxima do not add up to a host's."""


def host_allocation(
    host: Host, meter: str, start: datetime, end: datetime, rule: Rule
) -> HostAllocation:
    """The host's usage of the meter in the buckets of [start, end), which are buckets' bounds. What
    events and corrections state for whole applications is no host's. Raises MaximumNotAllocated."""
    if kind_of(meter) == "maximum":
        raise MaximumNotAllocated(f"{meter} is a largest value; name its gauge")
    rows = (
        Rollup.objects.filter(instance__host=host, bucket_start__gte=start, bucket_start__lt=end)
        .order_by()
        .values_list("application_id", "bucket_start")
        .annotate(used=Sum(quantity_of(meter)))
    )
    used = [(app, bucket, int(each)) for app, bucket, each in rows if each is not None]
    applications = {application_id for application_id, _, _ in used}
    nobodys = set(
        Application.objects.filter(pk__in=applications, name=UNATTRIBUTED).values_list(
            "pk", flat=True
        )
    )
    return allocated(
        _shares(each for each in used if each[0] not in nobodys),
        sum(quantity for application_id, _, quantity in used if application_id in nobodys),
        capacity_of(host, meter, end - start),
        rule,
    )


def capacity_of(host: Host, meter: str, length: timedelta) -> int | None:
    """What the host can do of the meter in this time, in the meter's unit; None where nobody has
    said, or the meter has no bound."""
    microseconds = length // timedelta.resolution
    if meter == "cpu.time" and host.cpu_count is not None:
        return host.cpu_count * microseconds
    if meter == "memory.used" and host.memory_bytes is not None:
        return host.memory_bytes * microseconds // 1_000_000
    return None


def _shares(used: Iterable[tuple[UUID, datetime, int]]) -> list[Share]:
    rows = list(used)
    assigned = _assigned({application_id for application_id, _, _ in rows})
    totals: defaultdict[tuple[UUID, UUID | None], int] = defaultdict(int)
    for application_id, bucket, quantity in rows:
        customer_id = next(
            (
                each.customer_id
                for each in assigned.get(application_id, ())
                if each.starts_at <= bucket and (each.ends_at is None or bucket < each.ends_at)
            ),
            None,
        )
        totals[application_id, customer_id] += quantity
    return [Share(application_id, owner, own) for (application_id, owner), own in totals.items()]


def _assigned(application_ids: set[UUID]) -> dict[UUID, Sequence[Assignment]]:
    by_application: defaultdict[UUID, list[Assignment]] = defaultdict(list)
    for each in Assignment.objects.filter(application_id__in=application_ids):
        by_application[each.application_id].append(each)
    return dict(by_application)
