"""Burst billing: the percentile and the peak of usage that was summed interval by interval. Pure.

Intervals are aligned in UTC and those of a period are the ones that have a moment of it. An
interval without a value counts as 0: so burst billing always looks at as many intervals as the
period has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from billing.core.exact import EXACT

Raw = int | Decimal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value that is billed. It is that of the interval that began at `at`, the first that has
    it; None where it is that of intervals without any. `rank` counts from below, from 1."""

    quantity: Raw
    intervals: int
    missing: int
    rank: int
    at: datetime | None


def interval_of(instant: datetime, minutes: int) -> datetime:
    """The start of the interval that `instant` lies in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % timedelta(minutes=minutes)


def interval_count(start: datetime, end: datetime, minutes: int) -> int:
    """How many intervals have a moment of [start, end)."""
    if end <= start:
        return 0
    first = interval_of(start, minutes)
    return -((first - end) // timedelta(minutes=minutes))


def nearest_rank(percentile: Decimal, intervals: int) -> int:
    """ceil(p·N), from 1 to N: the rank from below, as hosting counts it."""
    product = EXACT.multiply(percentile, Decimal(intervals))
    whole, rest = divmod(product, 100)
    return max(int(whole) + (1 if rest else 0), 1)


def percentile(values: Mapping[datetime, Raw], intervals: int, percentile: Decimal) -> Chosen:
    """The value at the nearest rank of all the period's `intervals`, of which those in `values`
    (by their start) have one."""
    return _at_rank(values, intervals, nearest_rank(percentile, intervals))


def peak(values: Mapping[datetime, Raw], intervals: int) -> Chosen:
    """The largest value."""
    return _at_rank(values, intervals, intervals)


def _at_rank(values: Mapping[datetime, Raw], intervals: int, rank: int) -> Chosen:
    missing = max(intervals - len(values), 0)
    below = rank - missing
    if below < 1:
        return Chosen(0, intervals, missing, rank, None)
    quantity = sorted(values.values())[below - 1]
    at = min(start for start, value in values.items() if value == quantity)
    return Chosen(quantity, intervals, missing, rank, at)
