"""What a gap is taken for, by policy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.core.buckets import BUCKET
from metering.core.filling import BucketUsage, Filling, filled, silent_buckets

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
WHOLE_US = 300_000_000
GAUGE, COUNTER, MAXIMUM = "memory.used", "cpu.time", "memory.used.max"


def bucket(
    number: int, quantity: int | None, covered_s: int = 300, window_s: int = 300
) -> BucketUsage:
    return BucketUsage(
        UUID(int=1), UUID(int=2), "primary", FIRST + number * BUCKET,
        window_s * 10**6, covered_s * 10**6, quantity,
    )  # fmt: skip


def gap(number: int) -> BucketUsage:
    return bucket(number, None, 0)


def quantities(
    series: list[BucketUsage], policy: Filling, meter: str = COUNTER
) -> list[int | None]:
    return [each.quantity for each in filled(series, meter, policy)]


class TestHeld:
    def test_goes_on_at_the_last_rate(self) -> None:
        series = [bucket(0, 10), bucket(1, 30), gap(2), gap(3), bucket(4, 7)]
        assert quantities(series, "held") == [10, 30, 30, 30, 7]

    def test_goes_on_until_the_end(self) -> None:
        assert quantities([bucket(0, 10), gap(1), gap(2)], "held") == [10, 10, 10]

    def test_is_nothing_before_the_first_value(self) -> None:
        assert quantities([gap(0), bucket(1, 10)], "held") == [None, 10]

    def test_is_a_part_for_a_part_of_the_time(self) -> None:
        series = [bucket(0, 100, 300), bucket(1, None, 0, 90)]
        assert quantities(series, "held") == [100, 30]

    def test_completes_a_gauge_at_its_own_rate(self) -> None:
        series = [bucket(0, 9_000), bucket(1, 1_000, 100)]
        assert quantities(series, "held", GAUGE) == [9_000, 3_000]

    def test_adds_nothing_to_a_counter_that_was_counted_on(self) -> None:
        series = [bucket(0, 50), bucket(1, 60, 0), gap(2)]
        assert quantities(series, "held") == [50, 60, 60]

    def test_holds_a_maximum(self) -> None:
        series = [bucket(0, 5), bucket(1, 9), gap(2)]
        assert quantities(series, "held", MAXIMUM) == [5, 9, 9]

    def test_does_not_fill_what_was_measured_to_be_absent(self) -> None:
        assert quantities([bucket(0, 5), bucket(1, None)], "held") == [5, None]


class TestInterpolated:
    def test_goes_straight_from_value_to_value(self) -> None:
        series = [bucket(0, 10), gap(1), gap(2), gap(3), bucket(4, 50)]
        assert quantities(series, "interpolated") == [10, 20, 30, 40, 50]

    def test_is_rounded_down(self) -> None:
        series = [bucket(0, 0), gap(1), gap(2), bucket(3, 10)]
        assert quantities(series, "interpolated") == [0, 3, 6, 10]

    @pytest.mark.parametrize(
        "series", [[gap(0), bucket(1, 10)], [bucket(0, 10), gap(1)]], ids=["before", "after"]
    )
    def test_needs_a_value_on_both_sides(self, series: list[BucketUsage]) -> None:
        assert 10 in quantities(series, "interpolated")
        assert None in quantities(series, "interpolated")

    def test_moves_a_maximum_too(self) -> None:
        series = [bucket(0, 10), gap(1), bucket(2, 20)]
        assert quantities(series, "interpolated", MAXIMUM) == [10, 15, 20]


series_of_buckets = st.lists(
    st.tuples(st.none() | st.integers(0, 2**70), st.integers(0, 300)), min_size=1, max_size=12
).map(lambda drawn: [bucket(n, q if c else None, c) for n, (q, c) in enumerate(drawn)])


@given(
    series_of_buckets,
    st.sampled_from(["held", "interpolated"]),
    st.sampled_from([GAUGE, COUNTER, MAXIMUM]),
)
def test_nothing_that_was_measured_is_lowered(
    series: list[BucketUsage], policy: Filling, meter: str
) -> None:
    result = filled(series, meter, policy)
    for before, after in zip(series, result, strict=True):
        assert (after.quantity or 0) - after.filled == (before.quantity or 0)
        assert after.filled >= 0
        assert replace(after, quantity=None, filled=0) == replace(before, quantity=None)


def test_silence_is_told_bucket_by_bucket() -> None:
    last = bucket(0, 10, 120, 120)
    start = FIRST + timedelta(seconds=120)
    silent = silent_buckets(last, start, FIRST + timedelta(seconds=700))
    assert [(each.bucket_start, each.window_us) for each in silent] == [
        (FIRST, 180_000_000),
        (FIRST + BUCKET, 300_000_000),
        (FIRST + 2 * BUCKET, 100_000_000),
    ]
    assert quantities([last, *silent], "held") == [10, 15, 25, 8]
