"""What corrections make of rollups, by the definition."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.core.aggregation import Aggregate, RollupKey
from metering.core.buckets import BUCKET
from metering.core.corrections import Correction, corrected

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
SHOP, ONE, TWO, STAND_IN = (UUID(int=number) for number in range(1, 5))


def key(bucket: int, instance: UUID = ONE, role: str = "primary") -> RollupKey:
    return RollupKey(SHOP, FIRST + bucket * BUCKET, instance, role)


def rollup(**usage: int) -> Aggregate:
    return Aggregate(30, 300, 300, {name.replace("_", "."): each for name, each in usage.items()})


def correction(
    start: int,
    end: int,
    quantities: dict[str, int] | None = None,
    *,
    instance: UUID | None = None,
    meters: frozenset[str] | None = None,
) -> Correction:
    return Correction(
        SHOP, instance, FIRST + start * BUCKET, FIRST + end * BUCKET, meters, quantities, STAND_IN
    )


def after(
    rollups: dict[RollupKey, Aggregate], *corrections: Correction, buckets: int = 4
) -> dict[RollupKey, dict[str, int]]:
    pairs = [(SHOP, FIRST + number * BUCKET) for number in range(buckets)]
    return {k: dict(each.usage) for k, each in corrected(rollups, corrections, pairs).items()}


class TestADeletion:
    def test_takes_the_meters_of_its_range_and_leaves_the_time_measured(self) -> None:
        before = {key(number): rollup(cpu_time=5, launches=1) for number in range(3)}
        pairs = [(SHOP, FIRST + number * BUCKET) for number in range(3)]
        result = corrected(before, [correction(1, 2, meters=frozenset({"cpu.time"}))], pairs)
        assert result[key(1)] == rollup(launches=1)
        assert result[key(0)] == before[key(0)]
        assert result[key(2)] == before[key(2)]

    def test_of_all_meters_leaves_what_is_allocated(self) -> None:
        before = {key(0): rollup(cpu_time=5, cpu_time_allocated=9)}
        assert after(before, correction(0, 1)) == {key(0): {"cpu.time.allocated": 9}}
        named = correction(0, 1, meters=frozenset({"cpu.time.allocated"}))
        assert after(before, named) == {key(0): {"cpu.time": 5}}

    def test_of_one_instance_leaves_the_others(self) -> None:
        before = {key(0): rollup(cpu_time=5), key(0, TWO): rollup(cpu_time=7)}
        assert after(before, correction(0, 1, instance=ONE)) == {
            key(0): {},
            key(0, TWO): {"cpu.time": 7},
        }


class TestAReplacement:
    def test_stands_in_place_of_all_instances(self) -> None:
        before = {key(0): rollup(cpu_time=5, launches=1), key(1, TWO): rollup(cpu_time=7)}
        assert after(before, correction(0, 3, {"cpu.time": 10})) == {
            key(0): {"launches": 1},
            key(1, TWO): {},
            key(0, STAND_IN): {"cpu.time": 3},
            key(1, STAND_IN): {"cpu.time": 3},
            key(2, STAND_IN): {"cpu.time": 4},
        }

    def test_of_an_instance_stands_on_it(self) -> None:
        before = {key(0): rollup(cpu_time=5), key(0, TWO): rollup(cpu_time=7)}
        assert after(before, correction(0, 1, {"cpu.time": 1}, instance=ONE)) == {
            key(0): {"cpu.time": 1},
            key(0, TWO): {"cpu.time": 7},
        }

    def test_of_a_maximum_holds_in_every_bucket(self) -> None:
        assert after({}, correction(0, 2, {"memory.used.max": 9})) == {
            key(number, STAND_IN): {"memory.used.max": 9} for number in range(2)
        }

    @given(st.integers(0, 2**63 - 1), st.integers(1, 400))
    def test_is_spread_to_the_last_unit(self, total: int, buckets: int) -> None:
        result = after({}, correction(0, buckets, {"cpu.time": total}), buckets=buckets)
        parts = [usage["cpu.time"] for usage in result.values()]
        assert sum(parts) == total
        assert max(parts) - min(parts) <= 1

    def test_of_a_part_of_the_buckets_is_that_part_of_the_whole(self) -> None:
        whole = after({}, correction(0, 4, {"cpu.time": 7}))
        assert after({}, correction(0, 4, {"cpu.time": 7}), buckets=2) == {
            each: usage for each, usage in whole.items() if each.bucket_start < FIRST + 2 * BUCKET
        }


class TestOfTwoThatOverlap:
    @pytest.mark.parametrize("last", [0, 1])
    def test_the_later_decides(self, last: int) -> None:
        one, other = correction(0, 4, {"cpu.time": 8}), correction(2, 4, {"cpu.time": 100})
        made = [other, one] if last == 0 else [one, other]
        result = after({key(3): rollup(cpu_time=1)}, *made)
        assert result[key(1, STAND_IN)] == {"cpu.time": 2}
        assert result[key(3, STAND_IN)] == {"cpu.time": 2 if last == 0 else 50}
        assert result[key(3)] == {}

    def test_a_deletion_takes_an_earlier_replacement_back(self) -> None:
        assert after({}, correction(0, 4, {"cpu.time": 8}), correction(1, 4)) == {
            key(0, STAND_IN): {"cpu.time": 2}
        }
