"""Time in which applications were not measured, with the cause that their hosts gave for it. Every
query runs inside a tenant's scope. What a host has not told of stands in queries.completeness."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Func, Sum

from metering.core.gaps import Gap, gap_of_bucket, joined
from metering.models import Instance, Measurement
from metering.usage_rows import UsagePeriod, rows_with

# Of the newest rows: two months of buckets for one host and cause.
_ROWS_MAX: Final = 17_856


def gaps_in(periods: Sequence[UsagePeriod]) -> list[Gap]:
    """The gaps in the applications' periods, the newest first; of very many the newest alone."""
    named = Measurement.objects.filter(body__has_key="gap").values_list("pk", "body__gap")
    causes: dict[UUID, str] = dict(named)
    if not causes or not periods:
        return []
    rows = (
        rows_with(periods, causes)
        .annotate(profile=Func("measurements", function="unnest"))
        .values_list("instance_id", "bucket_start", "profile")
        .annotate(window_us=Sum("window_us"), covered_us=Sum("covered_us"))
        .order_by("-bucket_start")
    )
    lacking: defaultdict[tuple[str, str, datetime], list[int]] = defaultdict(lambda: [0, 0])
    newest = list(rows[:_ROWS_MAX])
    instances = Instance.objects.filter(pk__in={instance_id for instance_id, *_ in newest})
    hosts = dict(instances.values_list("pk", "host__name"))
    for instance_id, start, profile, window_us, covered_us in newest:
        if profile in causes:
            sums = lacking[hosts[instance_id], causes[profile], start]
            sums[0] += int(window_us)
            sums[1] += int(covered_us)
    return joined(
        gap_of_bucket(host, cause, start, window_us, covered_us)
        for (host, cause, start), (window_us, covered_us) in lacking.items()
    )
