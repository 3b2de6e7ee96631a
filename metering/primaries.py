"""Where several instances of an application called themselves primary at one time, and what of
their usage is left out (core/primaries.py says which). Every query runs inside a tenant's scope."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hostmeter_agent.wire import METERS_BY_NAME

from metering.bucket_usage import RollupUsage, rollups_in
from metering.core.aggregation import combined_quantities
from metering.core.buckets import bucket_of
from metering.core.hours import HOUR, hour_of
from metering.core.primaries import PrimaryWindow, left_out
from metering.corrections import corrections_of
from metering.models import Role, Sample
from metering.rollup_models import HourRollup
from metering.stated_models import Correction
from metering.usage_rows import UsagePeriod, within

# An application and an hour (UTC) of it.
Hour = tuple[UUID, datetime]
# An application, an instance and a bucket.
Place = tuple[UUID, UUID, datetime]


@dataclass(frozen=True, slots=True)
class Overlap:
    """An instance's rollup as a primary of which some windows are left out. `counted` is what
    counts of its usage, by meter: what a correction states counts whole."""

    row: RollupUsage
    counted: Mapping[str, int]
    left_out: Sequence[PrimaryWindow]


def contested_hours(periods: Sequence[UsagePeriod]) -> set[Hour]:
    """The hours in which more than one instance was primary, at one time or one after the other."""
    if not periods:
        return set()
    # The hour that a period begins in starts before it.
    widened = [UsagePeriod(p.application_id, hour_of(p.start), p.end) for p in periods]
    rows = within(HourRollup.objects.order_by(), widened).filter(role=Role.PRIMARY, instances__gt=1)
    return set(rows.values_list("application_id", "bucket_start"))


def overlaps_in(periods: Sequence[UsagePeriod], meters: Sequence[str]) -> list[Overlap]:
    """Every rollup of the periods that has windows to be left out, in order of time."""
    hours = contested_hours(periods)
    windows = _windows(periods, hours, meters)
    out: defaultdict[Place, list[PrimaryWindow]] = defaultdict(list)
    for window in left_out(windows):
        out[_place(window)].append(window)
    if not out:
        return []
    gone = {id(window) for dropped in out.values() for window in dropped}
    kept: defaultdict[Place, list[PrimaryWindow]] = defaultdict(list)
    for window in windows:
        if id(window) not in gone:
            kept[_place(window)].append(window)
    corrections = corrections_of(periods)
    return [
        Overlap(row, _counted(row, kept[place], corrections), out[place])
        for row in rollups_in(periods, meters, {hour for _, hour in hours})
        if row.role == Role.PRIMARY
        and (place := (row.application_id, row.instance_id, row.bucket_start)) in out
    ]


def _counted(
    row: RollupUsage, kept: Sequence[PrimaryWindow], corrections: Sequence[Correction]
) -> dict[str, int]:
    counted = {}
    for meter, quantity in row.usage.items():
        quantities = [each.usage[meter] for each in kept if meter in each.usage]
        if any(_states(correction, row, meter) for correction in corrections):
            counted[meter] = quantity
        else:
            counted[meter] = combined_quantities(meter, quantities) if quantities else 0
    return counted


def _states(correction: Correction, row: RollupUsage, meter: str) -> bool:
    return (
        correction.application_id == row.application_id
        and correction.instance_id in (None, row.instance_id)
        and correction.starts_at <= row.bucket_start < correction.ends_at
        and meter in (correction.quantities or correction.meters or (meter,))
    )


def _place(window: PrimaryWindow) -> Place:
    return window.application_id, window.instance_id, bucket_of(window.start)


def _windows(
    periods: Sequence[UsagePeriod], hours: Collection[Hour], meters: Sequence[str]
) -> list[PrimaryWindow]:
    """Those of primaries in the hours, as far as their buckets lie in the periods."""
    if not hours:
        return []
    within_of: defaultdict[UUID, list[UsagePeriod]] = defaultdict(list)
    for period in periods:
        within_of[period.application_id].append(period)
    starts = sorted({hour for _, hour in hours})
    built_in = [meter for meter in meters if meter in METERS_BY_NAME]
    columns = [METERS_BY_NAME[meter].column for meter in built_in]
    windows = []
    for first, end in _stretches(starts):
        rows = Sample.objects.filter(
            application_id__in={application_id for application_id, _ in hours},
            role=Role.PRIMARY,
            window_start__gte=first,
            window_start__lt=end,
        ).values_list(
            *("application_id", "instance_id", "instance__first_seen_at"),
            *("window_start", "window_end", "more", *columns),
        )
        for application_id, instance_id, known_since, start, ended, more, *values in rows:
            bucket = bucket_of(start)
            inside = any(each.start <= bucket < each.end for each in within_of[application_id])
            if inside and (application_id, hour_of(start)) in hours:
                usage = {
                    meter: int(value)
                    for meter, value in zip(built_in, values, strict=True)
                    if value is not None
                }
                windows.append(
                    PrimaryWindow(
                        application_id, instance_id, known_since, start, ended,
                        usage | {m: more[m] for m in meters if more and m in more},
                    )
                )  # fmt: skip
    return windows


def _stretches(hours: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Hours that follow each other taken together, up to a day: each is one look at the samples."""
    stretches: list[tuple[datetime, datetime]] = []
    for hour in hours:
        last = stretches[-1] if stretches else None
        if last is not None and last[1] == hour and hour - last[0] < timedelta(days=1):
            stretches[-1] = (last[0], hour + HOUR)
        else:
            stretches.append((hour, hour + HOUR))
    return stretches
