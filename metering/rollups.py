"""Rollups are recomputed from their samples, events and corrections, never added to: repeated, late
and reordered usage needs no case of its own."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from hostmeter_agent.wire import METERS

from metering.core.buckets import BUCKET
from metering.core.hours import hour_of
from metering.corrections import apply_corrections
from metering.models import Application
from metering.rollup_models import Rollup
from metering.sql import statement
from metering.stated_models import AllocationMark, Event
from tenants.scope import tenant_scope

# What one transaction takes on: short enough to hold applications' locks for a moment only.
MARKS_PER_CLAIM: Final = 50_000
# Buckets closer than this are computed in one pass over the samples between them.
_GAP_MAX: Final = timedelta(hours=1)

# The planner knows nothing of what has just arrived and takes it for a few rows, which it would
# sort. For as long as this transaction lasts it hashes them.
_PLAN_FOR_MANY: Final = """
SELECT set_config('enable_sort', 'off', true), set_config('enable_mergejoin', 'off', true),
    set_config('enable_nestloop', 'off', true), set_config('work_mem', '64MB', true)
"""

Pair = tuple[UUID, datetime]


def roll_up(tenant_id: UUID) -> int:
    """Bring the tenant's rollups up to date with its samples; how many (application, bucket)
    pairs were computed. Any number of workers may do so at once."""
    computed = 0
    while True:
        with tenant_scope(tenant_id):
            pairs, hours = _claimed_pairs()
            if not pairs:
                return computed
            _lock_applications({application_id for application_id, _ in pairs})
            for run in _runs(pairs):
                _recompute(run)
                _recompute_from_events(run)
                apply_corrections(run)
            # Whoever allocates these hours reads them anew, once this has committed.
            AllocationMark.objects.bulk_create([AllocationMark(hour=hour) for hour in hours])
        computed += len(pairs)


def _claimed_pairs() -> tuple[list[Pair], list[datetime]]:
    """The pairs in order of time, and the hours in which usage of hosts may differ."""
    with connection.cursor() as cursor:
        cursor.execute(statement("claim_dirty_buckets"), {"marks": MARKS_PER_CLAIM})
        claimed = cursor.fetchall()
    hours = {hour_of(bucket) for _, bucket, of_host in claimed if of_host}
    return [(application_id, bucket) for application_id, bucket, _ in claimed], sorted(hours)


def _lock_applications(application_ids: set[UUID]) -> None:
    """Have one worker at a time compute an application: the samples are read after this, so the
    later of two workers never writes what is older."""
    list(
        Application.objects.select_for_update(no_key=True)
        .filter(pk__in=application_ids)
        .order_by("pk")
        .values_list("pk")
    )


def _runs(pairs: list[Pair]) -> list[list[Pair]]:
    """The pairs, which are in order of time, cut where buckets lie far apart."""
    runs: list[list[Pair]] = []
    for pair in pairs:
        if runs and pair[1] - runs[-1][-1][1] <= _GAP_MAX:
            runs[-1].append(pair)
        else:
            runs.append([pair])
    return runs


def _recompute(run: list[Pair]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_PLAN_FOR_MANY)
        cursor.execute(
            statement("recompute_rollups"),
            {
                "applications": [application_id for application_id, _ in run],
                "buckets": [bucket for _, bucket in run],
                "range_start": run[0][1],
                "range_end": run[-1][1] + BUCKET,
            },
        )


def _recompute_from_events(run: list[Pair]) -> None:
    rows = Event.objects.filter(
        application_id__in={application_id for application_id, _ in run},
        bucket_start__gte=run[0][1],
        bucket_start__lte=run[-1][1],
    ).values_list("application_id", "bucket_start", "instance_id")
    pairs, wanted, instances = set(run), set[Pair](), set[UUID]()
    for application_id, bucket, instance_id in rows.distinct():
        if (application_id, bucket) in pairs:
            wanted.add((application_id, bucket))
            instances.add(instance_id)
    if not wanted:
        return
    applications, buckets = zip(*sorted(wanted), strict=True)
    of_pairs = RawSQL(statement("of_pairs"), [list(applications), list(buckets)], BooleanField())  # noqa: S611  bound
    Rollup.objects.filter(of_pairs, instance_id__in=instances).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            statement("recompute_event_rollups"),
            {
                "applications": list(applications),
                "buckets": list(buckets),
                "names": [meter.name for meter in METERS],
            },
        )
