"""How, and for how long, usage was measured. Every query runs inside a tenant's scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Sum

from metering.usage import UsagePeriod, rows_of


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """`covered_us` of `window_us` µs of an application's windows were measured, in the way that the
    profiles say; None among them stands for usage without one."""

    profiles: frozenset[UUID | None]
    window_us: int
    covered_us: int


def measured_time(periods: Sequence[UsagePeriod]) -> dict[UUID, MeasuredTime]:
    """How, and for how long, each application was measured in its periods."""
    behind: dict[UUID, MeasuredTime] = {}
    for rows in rows_of(periods, None, ()):
        by_profiles = rows.order_by().values("application_id", "measurements")
        for row in by_profiles.annotate(window=Sum("window_us"), covered=Sum("covered_us")):
            before = behind.get(row["application_id"], MeasuredTime(frozenset(), 0, 0))
            behind[row["application_id"]] = MeasuredTime(
                before.profiles | frozenset(row["measurements"]),
                before.window_us + int(row["window"]),
                before.covered_us + int(row["covered"]),
            )
    return behind


def profiles_behind(periods: Sequence[UsagePeriod]) -> dict[UUID, frozenset[UUID | None]]:
    """The profiles of each application's rollups in its periods; None among them stands for usage
    without one."""
    return {key: measured.profiles for key, measured in measured_time(periods).items()}
