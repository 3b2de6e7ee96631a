"""What nobody used of a host is spread without a rest."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.core.allocation import RULES, Rule, Share, allocated

quantities = st.integers(0, 2**70)


@given(
    st.lists(quantities, max_size=8),
    quantities,
    st.none() | quantities,
    st.sampled_from(RULES),
)
def test_shares_idle_and_unattributed_sum_to_the_host(
    used: list[int], unattributed: int, capacity: int | None, rule: Rule
) -> None:
    shares = [Share(UUID(int=number), None, own) for number, own in enumerate(used)]
    found = allocated(shares, unattributed, capacity, rule)
    together = sum(each.total for each in found.shares)
    assert together + found.idle_left + found.unattributed_left == found.total
    assert found.total == max(sum(used) + unattributed, capacity or 0)
    for each in found.shares:
        assert each.idle >= 0
        assert each.unattributed >= 0
    if rule == "none":
        assert together == sum(used)
    elif sum(used) or (rule == "evenly" and used):
        assert found.idle_left == found.unattributed_left == 0


SHARES = [Share(UUID(int=1), UUID(int=7), 30), Share(UUID(int=2), None, 10)]


@pytest.mark.parametrize(
    ("rule", "idle", "unattributed"),
    [("none", [0, 0], [0, 0]), ("by_share", [37, 13], [7, 3]), ("evenly", [25, 25], [5, 5])],
)
def test_is_spread_by_the_rule(rule: Rule, idle: list[int], unattributed: list[int]) -> None:
    found = allocated(SHARES, 10, 100, rule)
    assert [each.idle for each in found.shares] == idle
    assert [each.unattributed for each in found.shares] == unattributed
    assert (found.idle, found.total) == (50, 100)


def test_without_a_known_capacity_nothing_is_idle() -> None:
    found = allocated(SHARES, 10, None, "by_share")
    assert (found.idle, found.idle_left, found.total) == (None, 0, 50)
