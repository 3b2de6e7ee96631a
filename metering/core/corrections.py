"""What corrections make of rollups: pure.

Corrections are applied one after the other, in the order in which they were made, to each bucket
in their range; so where two overlap the later one decides.

- *delete*: the named meters, or all that were measured, are taken from the rollups of the
  instance, or of all instances. What is deleted is absent, as if it had not been measured; how
  much of the time was measured stays.
- *replace*: the named meters are taken away likewise, and the replacement's quantities stand in
  their place: on the instance, or on one that stands for the application, in one role. A quantity
  is for the whole range; bucket k of n gets floor(q·(k+1)/n) - floor(q·k/n), so that the parts sum
  to it. A maximum holds in every bucket.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from hostmeter_agent.wire import kind_of

from metering.core.aggregation import Aggregate, RollupKey
from metering.core.buckets import BUCKET
from metering.core.posting import spread_meter


@dataclass(frozen=True, slots=True)
class Correction:
    """One correction of an application over [start, end), which are buckets' bounds.

    `instance_id` None: all instances; `meters` None: all meters. `quantities` None: a deletion;
    else they stand on the instance `stands_on`.
    """

    application_id: UUID
    instance_id: UUID | None
    start: datetime
    end: datetime
    meters: frozenset[str] | None
    quantities: Mapping[str, int] | None
    stands_on: UUID | None = None
    role: str = "primary"

    def touches(self, key: RollupKey) -> bool:
        return (
            key.application_id == self.application_id
            and self.start <= key.bucket_start < self.end
            and self.instance_id in (None, key.instance_id)
        )

    def removes(self, meter: str) -> bool:
        if self.quantities is not None:
            return meter in self.quantities
        if self.meters is None:
            # What is allocated was not measured, and follows from what is left by itself.
            return spread_meter(meter) is None
        return meter in self.meters

    def part(self, meter: str, bucket: datetime) -> int:
        """What of the meter's replacement falls to one bucket of the range."""
        total = (self.quantities or {})[meter]
        if kind_of(meter) == "maximum":
            return total
        buckets, number = (self.end - self.start) // BUCKET, (bucket - self.start) // BUCKET
        return total * (number + 1) // buckets - total * number // buckets


def corrected(
    rollups: Mapping[RollupKey, Aggregate],
    corrections: Iterable[Correction],
    buckets: Iterable[tuple[UUID, datetime]],
) -> dict[RollupKey, Aggregate]:
    """The rollups of these (application, bucket) pairs after the corrections, in the order in
    which these were made. A rollup that a replacement alone makes has no samples."""
    pairs, result = set(buckets), dict(rollups)
    for correction in corrections:
        for key, rollup in list(result.items()):
            if correction.touches(key):
                left = {m: q for m, q in rollup.usage.items() if not correction.removes(m)}
                result[key] = replace(rollup, usage=left)
        for application_id, bucket in pairs:
            if (
                correction.quantities
                and application_id == correction.application_id
                and correction.start <= bucket < correction.end
            ):
                _put(result, correction, bucket)
    return {key: each for key, each in result.items() if each.samples or each.usage}


def _put(result: dict[RollupKey, Aggregate], correction: Correction, bucket: datetime) -> None:
    stands_on = correction.instance_id or correction.stands_on
    if stands_on is None or correction.quantities is None:
        raise ValueError("a replacement needs an instance to stand on")
    key = RollupKey(correction.application_id, bucket, stands_on, correction.role)
    before = result.get(key, Aggregate(0, 0, 0, {}))
    parts = {meter: correction.part(meter, bucket) for meter in correction.quantities}
    result[key] = replace(before, usage={**before.usage, **parts})
