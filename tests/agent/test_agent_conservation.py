"""What all processes together used is what is booked, once, whoever ended and waited when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.simulated import TICK_US, Kernel

US = st.integers(0, 60_000)
NUMBER = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), NUMBER, US),
        st.tuples(st.just("fork"), NUMBER, US),
        st.tuples(st.just("end"), NUMBER, st.integers(0, 3_000)),
        st.tuples(st.just("wait"), NUMBER),
        st.tuples(st.just("scan"), NUMBER, st.integers(-1, 5)),
    ),
    max_size=120,
)


@pytest.mark.parametrize("records", [True, False])
@given(steps=STEPS)
def test_the_sum_over_all_applications_is_conserved(
    records: bool, steps: list[tuple[str, *tuple[int, ...]]]
) -> None:
    kernel = Kernel(records)
    kernel.scan()
    for name, *values in steps:
        getattr(kernel, name)(*values)
    kernel.scan()
    kernel.scan()
    # Each living process may hide a part of a tick, of its own time and of its children's.
    hidden_us = 2 * TICK_US * len(kernel.tasks)
    assert kernel.spent_us - hidden_us <= kernel.booked_us <= kernel.spent_us


def test_what_a_parent_had_not_shown_yet_is_shown_by_its_own_parent() -> None:
    kernel = Kernel(records=True)
    kernel.fork(0, 0)
    kernel.scan()
    kernel.fork(1, 4_000)
    kernel.end(2, 0)
    kernel.wait(0)
    kernel.scan()
    kernel.end(1, 6_000)
    kernel.scan()
    assert kernel.booked_us == kernel.spent_us == 10_000


def test_what_a_record_told_of_a_zombie_is_remembered_while_nobody_waits_for_it() -> None:
    kernel = Kernel(records=True)
    kernel.scan()
    kernel.fork(0, 1)
    kernel.fork(1, 6_999)
    kernel.end(2, 3_000)
    kernel.scan()
    kernel.scan()
    kernel.end(1, 0)  # init adopts the zombie, and waits for it
    kernel.scan()
    assert kernel.booked_us == kernel.spent_us == 10_000


@pytest.mark.parametrize("waits", [1, 50])
def test_thousands_of_short_ones_are_whole_in_the_sum(waits: int) -> None:
    kernel = Kernel(records=True)
    kernel.fork(0, 0)
    kernel.scan()
    for number in range(2_000):
        kernel.fork(1, 5_100)
        kernel.end(2, 200)
        kernel.wait(0)
        if number % waits == 0:
            kernel.scan()
            kernel.scan()
    kernel.scan()
    assert kernel.booked_us == pytest.approx(kernel.spent_us, abs=4 * TICK_US)
