"""How near applications come to limits, from their buckets on a host: pure.

Of a bucket counts: of CPU time its mean; of what is there at one time the instances' largest
values added up, or the mean where no largest value is known. Quantities are whole numbers, rounded
down: thousandths of a core, bytes, processes, files, users.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hostmeter_agent.wire import BUCKET_SECONDS

MEASURES: Final = {
    "cpu_millicores": "cpu.time",
    "memory_bytes": "memory.used",
    "processes_max": "processes",
    "open_files_max": "files.open",
    "users_max": "users.concurrent",
}
"""The terms of a policy that are judged by a meter, and the meter."""
OF_THE_WHOLE: Final = frozenset({"users_max"})
"""Limits of an application on all its hosts together; the others are its on each host."""
# A thousandth of a core over a bucket, in µs.
MILLICORE_BUCKET_US: Final = BUCKET_SECONDS * 1_000


@dataclass(frozen=True, slots=True)
class BucketUse:
    """One instance's part of one bucket: the meters' quantities in wire units."""

    place: Hashable
    bucket: Hashable
    usage: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Use:
    """One measure over the buckets in which it is known: the largest, the mean over their time,
    and in how many it was over the limit."""

    peak: int
    mean: int
    buckets: int
    over: int


def uses(rows: Iterable[BucketUse], term: str, limit: int | None) -> dict[Hashable, Use]:
    """By the rows' place. Without a limit nothing is over it."""
    meter = MEASURES[term]
    totals: dict[tuple[Hashable, Hashable], list[int | None]] = {}
    for row in rows:
        total, largest = totals.setdefault((row.place, row.bucket), [None, None])
        if meter in row.usage:
            total = (total or 0) + row.usage[meter]
        if f"{meter}.max" in row.usage:
            largest = (largest or 0) + row.usage[f"{meter}.max"]
        totals[row.place, row.bucket] = [total, largest]
    by_place: dict[Hashable, list[tuple[int, int]]] = {}
    for (place, _), (total, largest) in totals.items():
        if total is not None:
            judged = _bucket_mean(term, total) if largest is None else largest
            by_place.setdefault(place, []).append((judged, total))
    return {place: _use(term, buckets, limit) for place, buckets in by_place.items()}


def _bucket_mean(term: str, total: int) -> int:
    return total // (MILLICORE_BUCKET_US if term == "cpu_millicores" else BUCKET_SECONDS)


def _use(term: str, buckets: list[tuple[int, int]], limit: int | None) -> Use:
    total = sum(each for _, each in buckets)
    return Use(
        peak=max(judged for judged, _ in buckets),
        mean=_bucket_mean(term, total) // len(buckets),
        buckets=len(buckets),
        over=0 if limit is None else sum(judged > limit for judged, _ in buckets),
    )
