"""Corrections of what was measured: making one, and what they make of rollups. Inside a tenant's
scope. core/corrections.py defines the result."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from hostmeter_agent.wire import METERS, METERS_BY_NAME, ROLES, VALUE_MAX

from metering.core import corrections as core
from metering.core.aggregation import Aggregate, RollupKey
from metering.core.buckets import BUCKET, bucket_of
from metering.events import mark_buckets
from metering.models import Application, Instance
from metering.registration import instance_ids
from metering.rollup_models import Rollup
from metering.stated_models import Correction
from metering.usage_rows import UsagePeriod
from metering.wire_values import is_meter
from tenants.scope import current_tenant_id

Pair = tuple[UUID, datetime]

# Each bucket of the range is computed anew in one go: a quarter of a year has 26,496.
RANGE_MAX: Final = timedelta(days=92)
METERS_MAX: Final = 64
REASON_LENGTH_MAX: Final = 500
# The instance that a replacement for a whole application stands on.
STANDS_FOR_APPLICATION: Final = "correction"


class CorrectionNotUsable(ValueError):
    """A correction's range, meters, quantities or reason cannot be; the message says why."""


@transaction.atomic
def delete_usage(
    application: Application,
    period: tuple[datetime, datetime],
    *,
    reason: str,
    author: str,
    as_of: datetime,
    instance: Instance | None = None,
    meters: Collection[str] | None = None,
) -> Correction:
    """Have what was measured in the period [start, end) not count: of all meters or some, of all
    instances or one. Raises CorrectionNotUsable."""
    if meters is not None:
        _require_meters(meters)
    return _make(
        Correction(
            application=application,
            instance=instance,
            kind=Correction.Kind.DELETE,
            meters=None if meters is None else sorted(meters),
        ),
        period,
        reason=reason,
        author=author,
        as_of=as_of,
    )


@transaction.atomic
def replace_usage(
    application: Application,
    period: tuple[datetime, datetime],
    quantities: Mapping[str, int],
    *,
    reason: str,
    author: str,
    as_of: datetime,
    instance: Instance | None = None,
    role: str = "primary",
) -> Correction:
    """Have these quantities (in the meters' wire units, over the whole period) count in place of
    what was measured of their meters in [start, end). Raises CorrectionNotUsable."""
    _require_meters(quantities)
    for meter, quantity in quantities.items():
        if isinstance(quantity, bool) or not isinstance(quantity, int):
            raise CorrectionNotUsable(f"{meter}: a quantity is a whole number")
        if not 0 <= quantity <= VALUE_MAX:
            raise CorrectionNotUsable(f"{meter}: a quantity is from 0 to below 2^63")
    if role not in ROLES:
        raise CorrectionNotUsable(f"a role is one of {', '.join(ROLES)}")
    if instance is None:
        key = (application.pk, STANDS_FOR_APPLICATION)
        instance_ids([key], None, seen_at=as_of)
    return _make(
        Correction(
            application=application,
            instance=instance,
            kind=Correction.Kind.REPLACE,
            quantities=dict(quantities),
            role=role,
        ),
        period,
        reason=reason,
        author=author,
        as_of=as_of,
    )


def _require_meters(meters: Collection[str]) -> None:
    if not 0 < len(meters) <= METERS_MAX:
        raise CorrectionNotUsable(f"name 1 to {METERS_MAX} meters")
    for meter in meters:
        if not is_meter(meter):
            raise CorrectionNotUsable(f"no meter is called {meter[:64]!r}")


def _make(
    correction: Correction,
    period: tuple[datetime, datetime],
    *,
    reason: str,
    author: str,
    as_of: datetime,
) -> Correction:
    start, end = period
    if bucket_of(start) != start or bucket_of(end) != end:
        raise CorrectionNotUsable("it starts and ends on the bounds of 5 minutes: 14:00, 14:05")
    if end <= start:
        raise CorrectionNotUsable("it ends no later than it starts")
    if end - start > RANGE_MAX:
        raise CorrectionNotUsable(f"it is longer than {RANGE_MAX.days} days; make several")
    if start > as_of:
        raise CorrectionNotUsable("it starts in the future: there is nothing to correct yet")
    if not 0 < len(reason.strip()) <= REASON_LENGTH_MAX:
        raise CorrectionNotUsable(f"give a reason, of up to {REASON_LENGTH_MAX} characters")
    if correction.instance and correction.instance.application_id != correction.application_id:
        raise CorrectionNotUsable("the instance is not the application's")
    correction.starts_at, correction.ends_at = start, end
    correction.reason, correction.author = reason.strip(), author
    correction.created_at = as_of
    # Of two that are made at once the later commits later: whoever rolls up sees both or the first.
    Application.objects.select_for_update(no_key=True).get(pk=correction.application_id)
    correction.save(force_insert=True)
    buckets = [start + number * BUCKET for number in range((end - start) // BUCKET)]
    mark_buckets([(correction.application_id, bucket) for bucket in buckets], of_host=True)
    return correction


def corrections_of(periods: Sequence[UsagePeriod]) -> list[Correction]:
    """The corrections that touch the applications' usage in their periods, in the order in which
    they were made."""
    return list(corrections_in(periods))


def corrections_in(periods: Sequence[UsagePeriod]) -> "QuerySet[Correction]":
    """As corrections_of, to be narrowed down."""
    wanted = Q(pk__in=[])
    for period in periods:
        wanted |= Q(
            application_id=period.application_id,
            starts_at__lt=period.end,
            ends_at__gt=period.start,
        )
    return (
        Correction.objects.filter(wanted)
        .select_related("application", "instance")
        .order_by("created_at", "id")
    )


def apply_corrections(pairs: Sequence[Pair]) -> None:
    """Correct the rollups of these (application, bucket) pairs, which were just computed anew from
    samples and events. The applications' locks are held."""
    start, end = min(bucket for _, bucket in pairs), max(bucket for _, bucket in pairs)
    rows = Correction.objects.filter(
        application_id__in={application_id for application_id, _ in pairs},
        starts_at__lte=end,
        ends_at__gt=start,
    ).order_by("created_at", "id")
    corrections = list(rows)
    if not corrections:
        return
    touched = [
        (application_id, bucket)
        for application_id, bucket in pairs
        if any(
            each.application_id == application_id and each.starts_at <= bucket < each.ends_at
            for each in corrections
        )
    ]
    if touched:
        _write(touched, core_corrections(corrections))


def core_corrections(rows: Collection[Correction]) -> list[core.Correction]:
    """Stored corrections as the core takes them, in the order given."""
    stand_ins = _stand_ins(rows)
    return [_as_core(each, stand_ins) for each in rows]


def _stand_ins(corrections: Collection[Correction]) -> dict[UUID, UUID]:
    keys = {(each.application_id, STANDS_FOR_APPLICATION) for each in corrections}
    rows = Instance.objects.filter(
        application_id__in={key[0] for key in keys}, host__isnull=True, name=STANDS_FOR_APPLICATION
    )
    return dict(rows.values_list("application_id", "id"))


def _as_core(row: Correction, stand_ins: Mapping[UUID, UUID]) -> core.Correction:
    return core.Correction(
        application_id=row.application_id,
        instance_id=row.instance_id,
        start=row.starts_at,
        end=row.ends_at,
        meters=None if row.meters is None else frozenset(row.meters),
        quantities=row.quantities,
        stands_on=stand_ins.get(row.application_id),
        role=row.role,
    )


def _write(pairs: Sequence[Pair], corrections: Sequence[core.Correction]) -> None:
    wanted = set(pairs)
    rows = [
        row
        for row in Rollup.objects.filter(
            application_id__in={application_id for application_id, _ in pairs},
            bucket_start__in={bucket for _, bucket in pairs},
        )
        if (row.application_id, row.bucket_start) in wanted
    ]
    # A rollup without a sample is what former corrections made: it is made anew, or not.
    made = {_key(row) for row in rows if not row.samples}
    measured = {_key(row): _aggregate(row) for row in rows if row.samples}
    result = core.corrected(measured, corrections, pairs)
    _delete(made.difference(result))
    changed = {key: each for key, each in result.items() if each != measured.get(key)}
    _save(changed)


def _key(row: Rollup) -> RollupKey:
    return RollupKey(row.application_id, row.bucket_start, row.instance_id, row.role)


def _aggregate(row: Rollup) -> Aggregate:
    built_in = {meter.name: getattr(row, meter.column) for meter in METERS}
    usage = {name: int(value) for name, value in built_in.items() if value is not None}
    return Aggregate(
        row.samples,
        row.window_us,
        row.covered_us,
        usage | (row.more or {}),
        frozenset(row.measurements),
    )


def _delete(keys: Collection[RollupKey]) -> None:
    for key in sorted(keys):
        Rollup.objects.filter(
            application_id=key.application_id,
            bucket_start=key.bucket_start,
            instance_id=key.instance_id,
            role=key.role,
        ).delete()


def _save(rollups: Mapping[RollupKey, Aggregate]) -> None:
    columns = [meter.column for meter in METERS]
    Rollup.objects.bulk_create(
        [_row(key, rollups[key]) for key in sorted(rollups)],
        update_conflicts=True,
        unique_fields=["tenant", "application", "bucket_start", "instance", "role"],
        update_fields=[*columns, "more", "samples", "window_us", "covered_us", "measurements"],
    )


def _row(key: RollupKey, rollup: Aggregate) -> Rollup:
    more = {name: value for name, value in rollup.usage.items() if name not in METERS_BY_NAME}
    built_in = {meter.column: rollup.usage.get(meter.name) for meter in METERS}
    return Rollup(
        tenant_id=current_tenant_id(),
        application_id=key.application_id,
        bucket_start=key.bucket_start,
        instance_id=key.instance_id,
        role=key.role,
        samples=rollup.samples,
        window_us=rollup.window_us,
        covered_us=rollup.covered_us,
        measurements=list(rollup.measurements),
        more=more or None,
        **built_in,
    )
