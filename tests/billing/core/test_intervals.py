"""Percentiles, peaks and role factors, by the definitions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.cells import Cell, CellUsage, cells_of
from billing.core.intervals import interval_count, interval_of, nearest_rank, peak, percentile
from billing.core.readings import Aggregation, Reading, RoleFactors
from billing.core.weighing import weighed, weighed_together
from metering.core.filling import BucketUsage

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
FIVE = timedelta(minutes=5)
SHOP, MAIL = UUID(int=1), UUID(int=2)


def values(*quantities: int) -> dict[datetime, int | Decimal]:
    return {FIRST + number * FIVE: quantity for number, quantity in enumerate(quantities)}


class TestThePercentile:
    @pytest.mark.parametrize(
        ("p", "intervals", "rank"),
        [
            ("95", 8_928, 8_482),
            ("95", 8_640, 8_208),
            ("95", 20, 19),
            ("95", 1, 1),
            ("0.0001", 10, 1),
            ("100", 7, 7),
            ("99.9", 1_000, 999),
            ("50", 3, 2),
        ],
    )
    def test_is_at_the_nearest_rank(self, p: str, intervals: int, rank: int) -> None:
        assert nearest_rank(Decimal(p), intervals) == rank

    def test_looks_at_every_interval_of_the_period(self) -> None:
        """20 intervals, 18 without a value: rank 19 is the smaller of the two."""
        chosen = percentile(values(700, 40), 20, Decimal(95))
        assert (chosen.quantity, chosen.missing, chosen.rank) == (40, 18, 19)
        assert chosen.at == FIRST + FIVE

    def test_of_few_values_is_zero(self) -> None:
        chosen = percentile(values(700), 100, Decimal(95))
        assert (chosen.quantity, chosen.at) == (0, None)

    @given(
        st.lists(st.integers(0, 50), min_size=1, max_size=40),
        st.integers(0, 20),
        st.decimals("0.0001", "100", places=4),
    )
    def test_is_what_counting_from_below_finds(
        self, quantities: list[int], missing: int, p: Decimal
    ) -> None:
        every = sorted([0] * missing + quantities)
        chosen = percentile(values(*quantities), len(every), p)
        at_most = sum(1 for each in every if each <= chosen.quantity)
        below = sum(1 for each in every if each < chosen.quantity)
        assert at_most * 100 >= p * len(every) > below * 100

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.data())
    def test_is_never_lowered_by_more_usage(
        self, quantities: list[int], data: st.DataObject
    ) -> None:
        index = data.draw(st.integers(0, len(quantities) - 1))
        more = [*quantities]
        more[index] += data.draw(st.integers(1, 9))
        before = percentile(values(*quantities), 40, Decimal(95)).quantity
        assert percentile(values(*more), 40, Decimal(95)).quantity >= before


def test_the_peak_is_the_largest_and_the_first_that_is() -> None:
    chosen = peak(values(3, 9, 1, 9), 10)
    assert (chosen.quantity, chosen.at) == (9, FIRST + FIVE)


class TestIntervals:
    @pytest.mark.parametrize(
        ("start", "end", "minutes", "count"),
        [
            ("2026-10-01T00:00", "2026-11-01T00:00", 5, 31 * 288),
            ("2026-09-30T22:00", "2026-10-31T23:00", 5, 31 * 288 + 12),
            ("2026-09-30T18:15", "2026-09-30T19:15", 60, 2),
            ("2026-10-01T00:00", "2026-10-01T00:00", 5, 0),
            ("2026-10-01T00:05", "2026-10-01T00:10", 1440, 1),
        ],
    )
    def test_of_a_period_are_those_with_a_moment_of_it(
        self, start: str, end: str, minutes: int, count: int
    ) -> None:
        bounds = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end)]
        assert interval_count(bounds[0], bounds[1], minutes) == count

    def test_are_aligned_in_utc(self) -> None:
        assert interval_of(FIRST + timedelta(minutes=59), 15) == FIRST + timedelta(minutes=45)


class TestFactors:
    def test_are_exact(self) -> None:
        assert weighed(3, Decimal("0.3333")) == Decimal("0.9999")
        assert isinstance(weighed(10, Decimal("0.5000")), int)

    @pytest.mark.parametrize(
        ("meter", "aggregation", "expected"),
        [("cpu.time", "sum", 130), ("memory.used.max", "maximum", 100)],
    )
    def test_weigh_what_each_role_used(
        self, meter: str, aggregation: Aggregation, expected: int
    ) -> None:
        factors = RoleFactors(Decimal(1), Decimal("0.5"), Decimal(0))
        reading = Reading(meter, aggregation, factors=factors)
        used = {"primary": 100, "replica": 60, "standby": 1_000}
        assert weighed_together(reading, used) == expected


def used(
    number: int, quantity: int, instance: int = 1, role: str = "primary", application: UUID = SHOP
) -> BucketUsage:
    return BucketUsage(application, UUID(int=instance), role, FIRST + number * FIVE, 0, 0, quantity)


def cells(reading: Reading, *buckets: BucketUsage, intervals: int = 4) -> dict[Cell, CellUsage]:
    return cells_of(reading, [(each, ()) for each in buckets], intervals)


class TestCells:
    def test_sum_instances_in_an_interval_before_one_is_chosen(self) -> None:
        reading = Reading("network.sent", "peak")
        found = cells(reading, used(0, 5), used(0, 6, 2), used(1, 10), used(2, 4, 2))
        assert found[SHOP, ()].quantity == 11

    def test_sum_applications_too_where_the_price_is_the_customers(self) -> None:
        buckets = [used(0, 5), used(0, 6, 2, application=MAIL), used(1, 9)]
        assert (
            cells(Reading("network.sent", "peak", over="customer"), *buckets)[None, ()].quantity
            == 11
        )
        apart = cells(Reading("network.sent", "peak"), *buckets)
        assert {cell[0]: own.quantity for cell, own in apart.items()} == {SHOP: 9, MAIL: 6}

    def test_take_an_instances_maximum_of_a_longer_interval(self) -> None:
        reading = Reading("users.concurrent.max", "peak", interval_minutes=10)
        found = cells(reading, used(0, 5), used(1, 7), used(0, 4, 2), used(1, 1, 2))
        assert found[SHOP, ()].quantity == 11

    def test_count_a_role_by_its_factor(self) -> None:
        factors = RoleFactors(Decimal(1), Decimal("0.25"), Decimal(0))
        reading = Reading("network.sent", "peak", factors=factors)
        found = cells(reading, used(0, 5), used(0, 6, 2, "replica"), used(0, 99, 3, "standby"))
        assert found[SHOP, ()].quantity == Decimal("6.5")
