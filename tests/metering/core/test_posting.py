"""What is posted of an hour sums to its allocation, whatever was posted before."""

from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.core.allocation import Rule, Share, allocated
from metering.core.hours import HOUR
from metering.core.posting import (
    SPREADABLE,
    Place,
    Posted,
    Stretch,
    allocated_meter,
    postings,
    spread_meter,
    stands_at,
)
from tests.billing.timeline import at

NINE = at(10, 12, 9)
APP, FIRST, SECOND = (UUID(int=number) for number in (1, 2, 3))
HALF = NINE + timedelta(minutes=30)
NO_STRETCHES: dict[UUID, list[Stretch]] = {}

hosts_hours = st.tuples(
    st.dictionaries(st.integers(1, 6), st.integers(0, 10**12), max_size=6),
    st.integers(0, 10**12),
    st.sampled_from(("none", "by_share", "evenly")),
)


class TestPostings:
    @given(
        st.lists(hosts_hours, min_size=1, max_size=6), st.one_of(st.none(), st.integers(0, 10**13))
    )
    def test_sum_to_the_newest_allocation(
        self, versions: list[tuple[dict[int, int], int, Rule]], capacity: int | None
    ) -> None:
        posted: dict[Place, Posted] = {}
        for used, unattributed, rule in versions:
            shares = [Share(UUID(int=number), None, own) for number, own in used.items()]
            found = allocated(shares, unattributed, capacity, rule)
            for each in postings(found, NO_STRETCHES, posted, NINE, NINE + HOUR):
                place = each.application_id, each.bucket_start
                posted[place] = Posted(each.before + each.quantity, each.revision)
            sums: defaultdict[UUID, int] = defaultdict(int)
            for (application_id, _), each_posted in posted.items():
                assert each_posted.quantity >= 0
                sums[application_id] += each_posted.quantity
            given_to = {each.share.application_id: each.given for each in found.shares}
            assert {pk: sums[pk] for pk in given_to} == given_to
            left = found.idle_left + found.unattributed_left
            assert found.used + sum(sums.values()) + left == found.total
            assert postings(found, NO_STRETCHES, posted, NINE, NINE + HOUR) == []

    def test_of_a_meter_are_another_meters(self) -> None:
        assert all(spread_meter(allocated_meter(meter)) == meter for meter in SPREADABLE)
        for other in ("cpu.time", "memory.used.max.allocated", "mails.allocated", ".allocated"):
            assert spread_meter(other) is None


class TestAPart:
    @pytest.mark.parametrize(
        ("stretches", "customer", "where"),
        [
            ([(NINE, None, FIRST)], FIRST, NINE),
            ([], None, NINE),
            ([(NINE, HALF, FIRST), (HALF, None, SECOND)], FIRST, NINE),
            ([(NINE, HALF, FIRST), (HALF, None, SECOND)], SECOND, HALF),
            ([(NINE, HALF, FIRST)], None, HALF),
            ([(HALF, None, FIRST)], None, NINE),
            ([(HALF, None, FIRST)], FIRST, HALF),
        ],
    )
    def test_stands_where_its_customers_stretch_begins(
        self, stretches: list[Stretch], customer: UUID | None, where: object
    ) -> None:
        assert stands_at(stretches, customer, NINE, NINE + HOUR) == where
