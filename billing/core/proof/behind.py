"""What a bucket's rollups have to be, as far as a bundle says what they were made of.

Samples are there for some hours or for none; events and corrections are there always.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from billing.core.proof.records import EventRecord, RollupRecord
from metering.core.aggregation import Aggregate, MeasuredWindow, RollupKey
from metering.core.buckets import BUCKET
from metering.core.corrections import Correction, corrected

Bucket = tuple[UUID, datetime]
Rollups = Mapping[RollupKey, Aggregate]
_NONE: Rollups = {}


@dataclass(slots=True)
class Sources:
    """`stated` are the rollups that events make, `sampled` those of samples, by their buckets;
    `is_sampled` says of a bucket whether all its samples are here."""

    stated: defaultdict[Bucket, dict[RollupKey, Aggregate]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    sampled: defaultdict[Bucket, dict[RollupKey, Aggregate]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    sampled_hours: set[tuple[UUID, datetime]] = field(default_factory=set)
    corrections: Sequence[Correction] = ()

    def corrections_of(self, bucket: Bucket) -> list[Correction]:
        application, start = bucket
        return [
            each
            for each in self.corrections
            if each.application_id == application and each.start <= start < each.end
        ]

    def buckets(self) -> Iterator[Bucket]:
        """Those in which a rollup is to be expected, some of them more than once."""
        yield from self.stated
        yield from self.sampled
        for each in self.corrections:
            if each.quantities:
                buckets = range((each.end - each.start) // BUCKET)
                yield from ((each.application_id, each.start + at * BUCKET) for at in buckets)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A rollup that is not what its sources make it; None where there is none."""

    key: RollupKey
    expected: Aggregate | None
    found: Aggregate | None


def mismatch(sources: Sources, bucket: Bucket, found: Rollups, *, sampled: bool) -> Mismatch | None:
    """The first rollup of the bucket that cannot be. Where samples are missing what follows from
    events and corrections alone is looked at."""
    corrections = sources.corrections_of(bucket)
    stated = sources.stated.get(bucket, _NONE)
    if sampled:
        raw = {**sources.sampled.get(bucket, _NONE), **stated}
        return _first(corrected(raw, corrections, [bucket]), found)
    expected = corrected(stated, corrections, [bucket])
    own = {key: each for key, each in expected.items() if key in stated}
    differing = _first(own, {key: each for key, each in found.items() if key in stated})
    # Corrections that are applied once more change nothing: of each meter the last one decides.
    return differing or _first(corrected(found, corrections, [bucket]), found)


def _first(expected: Rollups, found: Rollups) -> Mismatch | None:
    for key in sorted({*expected, *found}):
        if expected.get(key) != found.get(key):
            return Mismatch(key, expected.get(key), found.get(key))
    return None


def window_of(event: EventRecord) -> MeasuredWindow:
    """An event as a sample of a moment, of whose time nothing was expected to be measured."""
    return MeasuredWindow(
        UUID(event.application),
        UUID(event.instance),
        "primary",
        event.time,
        event.time,
        0,
        {event.meter: event.quantity},
    )


def key_of(rollup: RollupRecord) -> RollupKey:
    return RollupKey(UUID(rollup.application), rollup.start, UUID(rollup.instance), rollup.role)


def aggregate_of(rollup: RollupRecord) -> Aggregate:
    return Aggregate(
        rollup.samples,
        rollup.window_us,
        rollup.covered_us,
        dict(rollup.usage),
        frozenset(None if each is None else UUID(each) for each in rollup.measured),
    )
