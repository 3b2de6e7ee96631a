"""How, and for how long, usage was measured. Every query runs inside a tenant's scope."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from metering.usage import MeasuredUsage, measured_usage
from metering.usage_rows import UsagePeriod


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """`covered_us` of `window_us` µs of an application's windows were measured, in the way that the
    profiles say; None among them stands for usage without one."""

    profiles: frozenset[UUID | None]
    window_us: int
    covered_us: int


_NO_TIME: Final = MeasuredTime(frozenset(), 0, 0)


def measured_time(measured: Iterable[MeasuredUsage]) -> dict[UUID, MeasuredTime]:
    """How, and for how long, each application was measured."""
    behind: dict[UUID, MeasuredTime] = {}
    for each in measured:
        before = behind.get(each.application_id, _NO_TIME)
        behind[each.application_id] = MeasuredTime(
            before.profiles | each.profiles,
            before.window_us + each.window_us,
            before.covered_us + each.covered_us,
        )
    return behind


def profiles_behind(periods: Sequence[UsagePeriod]) -> dict[UUID, frozenset[UUID | None]]:
    """The profiles of each application's rollups in its periods; None among them stands for usage
    without one."""
    time = measured_time(measured_usage(periods, ()))
    return {key: measured.profiles for key, measured in time.items()}
