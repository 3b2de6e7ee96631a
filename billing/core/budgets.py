"""When a budget has something to tell. Amounts and quantities alike, compared exactly."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from billing.core.forecast import Forecast
from billing.core.periods import BillingCycle, Period, whole_period_containing

Threshold = Literal["50", "80", "100", "forecast"]

FORECAST: Final = "forecast"
# In the order in which they are reached.
THRESHOLDS: Final[tuple[Threshold, ...]] = ("50", "80", "forecast", "100")


@dataclass(frozen=True, slots=True)
class Standing:
    """What has been spent of a budget, in total and as is foreseen; no forecast is known in the
    first days."""

    spent: Decimal
    foreseen: Forecast | None


@dataclass(frozen=True, slots=True)
class Crossings:
    """The thresholds that are reached and were not before. One is `told`: the highest; whoever
    hears of 100 % need not hear of 80."""

    reached: tuple[Threshold, ...]

    @property
    def told(self) -> Threshold | None:
        return self.reached[-1] if self.reached else None


def reached(standing: Standing, limit: Decimal) -> tuple[Threshold, ...]:
    """All thresholds that are reached, in their order. Usage that is corrected afterwards can take
    one away again. `limit` is above zero."""
    found: list[Threshold] = []
    for threshold in THRESHOLDS:
        if threshold == FORECAST:
            if standing.foreseen is not None and standing.foreseen.middle >= limit:
                found.append(threshold)
        elif standing.spent * 100 >= limit * int(threshold):
            found.append(threshold)
    return tuple(found)


def crossings(
    standing: Standing,
    limit: Decimal,
    *,
    wanted: Collection[str],
    before: Collection[str],
) -> Crossings:
    """What of the `wanted` thresholds is new, given those that were reached `before` in the same
    period. Once 100 % are reached nothing is foreseen any more."""
    now = [each for each in reached(standing, limit) if each in wanted and each not in before]
    if standing.spent >= limit:
        now = [each for each in now if each != FORECAST]
    return Crossings(tuple(now))


def month_of(instant: datetime, time_zone: str) -> Period:
    """The calendar month of the time zone that `instant` lies in."""
    return whole_period_containing(instant, BillingCycle(instant, time_zone))
