"""Steps of dunning are taken in their order, once, and none is left out."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.dunning import Hold, Step, due_steps, elapsed

DUE = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
USUAL = (Step(1, "collect", 1), Step(3, "remind", 1), Step(10, "remind", 2), Step(30, "suspend", 1))

moments = st.integers(0, 24 * 60).map(lambda hours: DUE + timedelta(hours=hours))
holds = st.lists(
    st.tuples(moments, st.integers(1, 300)).map(
        lambda one: Hold(one[0], one[0] + timedelta(hours=one[1]))
    ),
    max_size=4,
)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Step, ...]:
    """Within an action, later numbers come later."""
    steps = []
    for action in ("collect", "remind", "suspend"):
        days = sorted(draw(st.lists(st.integers(0, 40), max_size=4)))
        steps += [Step(day, action, number) for number, day in enumerate(days, start=1)]
    return tuple(draw(st.permutations(steps)))


def run(
    schedule: tuple[Step, ...], held: list[Hold], looks: list[datetime]
) -> list[tuple[datetime, Step]]:
    """What is taken by looks at these moments, in their order."""
    taken: dict[tuple[str, int], datetime] = {}
    log = []
    for moment in sorted(looks):
        for step in due_steps(schedule, taken, DUE, held, moment):
            assert step.name not in taken
            taken[step.name] = moment
            log.append((moment, step))
    return log


@pytest.mark.parametrize(
    ("days", "wanted"),
    [(0, []), (1, ["collect"]), (3, ["collect", "remind"]), (99, ["collect", "remind", "suspend"])],
)
def test_steps_are_due_from_their_day_on(days: int, wanted: list[str]) -> None:
    steps = due_steps(USUAL, {}, DUE, [], DUE + days * DAY)
    assert [step.action for step in steps] == wanted


def test_a_hold_moves_what_follows_by_its_length() -> None:
    held = [Hold(DUE + 2 * DAY, DUE + 7 * DAY)]
    taken = {("collect", 1): DUE + DAY}
    assert not due_steps(USUAL, taken, DUE, held, DUE + 8 * DAY - timedelta(hours=1))
    assert due_steps(USUAL, taken, DUE, held, DUE + 8 * DAY) == [Step(3, "remind", 1)]
    assert not due_steps(USUAL, {}, DUE, [Hold(DUE)], DUE + 99 * DAY)


def test_a_step_that_moved_to_another_day_is_not_taken_again() -> None:
    moved = (Step(5, "remind", 1),)
    assert not due_steps(moved, {("remind", 1): DUE + 3 * DAY}, DUE, [], DUE + 9 * DAY)


@given(schedules(), holds, st.lists(moments, max_size=30))
def test_no_step_is_taken_twice_or_before_its_day(
    schedule: tuple[Step, ...], held: list[Hold], looks: list[datetime]
) -> None:
    for moment, step in run(schedule, held, looks):
        assert elapsed(DUE, held, moment) >= step.days_after_due * DAY


@given(schedules(), holds, st.lists(moments, max_size=30))
def test_none_is_left_out_and_each_actions_come_in_order(
    schedule: tuple[Step, ...], held: list[Hold], looks: list[datetime]
) -> None:
    afterwards = [DUE + timedelta(days=200 + day) for day in range(10)]
    log = run(schedule, held, looks + afterwards)
    assert sorted(step for _, step in log) == sorted(schedule)
    for action in ("collect", "remind", "suspend"):
        numbers = [step.number for _, step in log if step.action == action]
        assert numbers == sorted(numbers)


@given(schedules(), holds, st.lists(moments, max_size=30))
def test_of_each_action_one_is_taken_a_day(
    schedule: tuple[Step, ...], held: list[Hold], looks: list[datetime]
) -> None:
    log = run(schedule, held, looks)
    for action in ("collect", "remind", "suspend"):
        times = [moment for moment, step in log if step.action == action]
        assert all(later - earlier >= DAY for earlier, later in pairwise(times))


@given(holds, moments, moments)
def test_the_clock_never_runs_back_nor_faster_than_time(
    held: list[Hold], one: datetime, other: datetime
) -> None:
    first, last = sorted((one, other))
    counted = elapsed(DUE, held, last) - elapsed(DUE, held, first)
    assert timedelta(0) <= counted <= last - first
