"""What a gap in measuring is taken for, by policy: pure, in exact integers.

A gap is time of an instance that was expected and not measured: the part of its samples' windows
that their coverage leaves out, and the time in which its host is silent. A bucket without any
sample, of a host that delivers, is none: the application did not run.

- *held*: the last rate goes on, for as long as the gap lasts.
- *interpolated*: the rate moves on a straight line from the last known value to the next. A gap
  at the beginning or the end has no value on one side and stays empty.

Rates are taken from buckets in which the meter was measured. A gauge that was measured for a part
of its bucket goes on at the bucket's own rate. A counter that the kernel went on counting is known
whatever the coverage is, so a bucket with any figure of it is complete. What is filled in is
rounded down, bucket by bucket. Of a maximum the value is held, and nothing is added to a known one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from hostmeter_agent.wire import kind_of

from metering.core.buckets import BUCKET

Filling = Literal["held", "interpolated"]


@dataclass(frozen=True, slots=True)
class BucketUsage:
    """What one instance in one role used of a meter in a bucket, of whose windows `window_us` were
    expected and `covered_us` measured. `filled` is what of the quantity was not measured."""

    application_id: UUID
    instance_id: UUID
    role: str
    bucket_start: datetime
    window_us: int
    covered_us: int
    quantity: int | None
    filled: int = 0

    @property
    def gap_us(self) -> int:
        return max(self.window_us - self.covered_us, 0)


def filled(series: Sequence[BucketUsage], meter: str, policy: Filling) -> list[BucketUsage]:
    """The buckets of one instance and role, in order of time, with their gaps filled."""
    gauge, maximum = kind_of(meter) == "gauge", kind_of(meter) == "maximum"
    known = [_rate(each, gauge=gauge) for each in series]
    following = _next_known(known)
    result: list[BucketUsage] = []
    last: int | None = None
    for index, each in enumerate(series):
        if known[index] is not None:
            last = index
            rest = _at(known[index], each.gap_us) if gauge else 0
            result.append(_with(each, rest))
        elif last is None or not each.gap_us:
            result.append(each)
        elif policy == "held":
            result.append(_with(each, _going_on(series[last], known[last], each, maximum=maximum)))
        else:
            after = following[index]
            added = 0
            if after is not None:
                ends = (series[last], known[last]), (series[after], known[after])
                added = _between(*ends, each, maximum=maximum)
            result.append(_with(each, added) if after is not None else each)
    return result


# Units and the µs in which they were used.
_Rate = tuple[int, int]


def _rate(bucket: BucketUsage, *, gauge: bool) -> _Rate | None:
    """What is known of the bucket; None where nothing was measured."""
    us = bucket.covered_us if gauge else bucket.window_us
    if bucket.quantity is None or us <= 0:
        return None
    return bucket.quantity, us


def _next_known(known: Sequence[_Rate | None]) -> list[int | None]:
    """For each place the first one after it at which something is known."""
    following: list[int | None] = [None] * len(known)
    after: int | None = None
    for index in range(len(known) - 1, -1, -1):
        following[index] = after
        if known[index] is not None:
            after = index
    return following


def _at(rate: _Rate | None, us: int) -> int:
    return 0 if rate is None else rate[0] * us // rate[1]


def _with(bucket: BucketUsage, added: int) -> BucketUsage:
    if not added and bucket.quantity is not None:
        return bucket
    return replace(bucket, quantity=(bucket.quantity or 0) + added, filled=added)


def _going_on(last: BucketUsage, rate: _Rate | None, gap: BucketUsage, *, maximum: bool) -> int:
    return (last.quantity or 0) if maximum else _at(rate, gap.gap_us)


def _between(
    before: tuple[BucketUsage, _Rate | None],
    after: tuple[BucketUsage, _Rate | None],
    gap: BucketUsage,
    *,
    maximum: bool,
) -> int:
    """On the straight line between two known buckets, at the gap's bucket."""
    (first, rate_before), (second, rate_after) = before, after
    if rate_before is None or rate_after is None:
        return 0
    steps = (second.bucket_start - first.bucket_start) // BUCKET
    step = (gap.bucket_start - first.bucket_start) // BUCKET
    if not steps:
        return 0
    (units_before, us_before), (units_after, us_after) = rate_before, rate_after
    if maximum:
        return (units_before * (steps - step) + units_after * step) // steps
    numerator = units_before * us_after * (steps - step) + units_after * us_before * step
    return gap.gap_us * numerator // (us_before * us_after * steps)


def silent_buckets(last: BucketUsage, start: datetime, end: datetime) -> list[BucketUsage]:
    """The time of an instance after its `last` bucket in which its host is silent, [start, end),
    bucket by bucket; the first is perhaps the rest of the last bucket itself."""
    buckets, bucket = [], last.bucket_start
    while bucket < end:
        length = min(end, bucket + BUCKET) - max(start, bucket)
        if length > timedelta():
            buckets.append(
                replace(
                    last,
                    bucket_start=bucket,
                    window_us=length // timedelta.resolution,
                    covered_us=0,
                    quantity=None,
                )
            )
        bucket += BUCKET
    return buckets
