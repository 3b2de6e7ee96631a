"""Stretches of time that were not measured, put together from 5-minute buckets."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from metering.core.buckets import BUCKET


@dataclass(frozen=True, slots=True)
class Gap:
    """Time, in whole buckets, some of whose windows were not measured for the same cause on one
    host: of `window_us` µs of windows only `covered_us` were."""

    host: str
    cause: str
    start: datetime
    end: datetime
    window_us: int
    covered_us: int


def joined(buckets: Iterable[Gap]) -> list[Gap]:
    """Gaps of one bucket each, those that follow each other taken together; the newest first."""
    gaps: list[Gap] = []
    for bucket in sorted(buckets, key=lambda each: (each.host, each.cause, each.start)):
        last = gaps[-1] if gaps else None
        if last is None or (last.host, last.cause, last.end) != (
            bucket.host,
            bucket.cause,
            bucket.start,
        ):
            gaps.append(bucket)
            continue
        gaps[-1] = replace(
            last,
            end=bucket.end,
            window_us=last.window_us + bucket.window_us,
            covered_us=last.covered_us + bucket.covered_us,
        )
    return sorted(gaps, key=lambda each: (each.start, each.host, each.cause), reverse=True)


def gap_of_bucket(host: str, cause: str, start: datetime, window_us: int, covered_us: int) -> Gap:
    """What one bucket lacks."""
    return Gap(host, cause, start, start + BUCKET, window_us, covered_us)
