"""Of primaries that overlap in time one counts: the instance that has been known longest."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from metering.core.primaries import PrimaryWindow, left_out

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
SHOP, MAIL = UUID(int=100), UUID(int=101)


def window(
    instance: int, start: int, end: int, application: UUID = SHOP, known: int | None = None
) -> PrimaryWindow:
    """Times in seconds; instance n has been known since its number."""
    return PrimaryWindow(
        application,
        UUID(int=instance),
        FIRST + timedelta(days=instance if known is None else known),
        FIRST + timedelta(seconds=start),
        FIRST + timedelta(seconds=end),
        {},
    )


class TestTwoPrimaries:
    def test_at_one_time_are_counted_once(self) -> None:
        older, newer = window(1, 0, 10), window(2, 9, 19)
        assert left_out([newer, older]) == [newer]

    def test_one_after_the_other_both_count(self) -> None:
        assert left_out([window(1, 0, 10), window(2, 10, 20)]) == []

    def test_of_two_applications_are_none(self) -> None:
        assert left_out([window(1, 0, 10), window(2, 0, 10, MAIL)]) == []

    def test_known_as_long_go_by_their_ids(self) -> None:
        windows = [window(2, 0, 10, known=1), window(1, 0, 10, known=1)]
        assert left_out(windows) == [windows[0]]

    def test_leave_the_windows_that_lie_beside(self) -> None:
        windows = [window(1, 10, 20), *(window(2, start, start + 10) for start in (0, 10, 20))]
        assert left_out(windows) == [windows[2]]


def test_a_window_that_is_left_out_leaves_no_other_out() -> None:
    """The second overlaps the first and is left out; the third overlaps the second alone."""
    windows = [window(1, 0, 10), window(2, 5, 15), window(3, 12, 20)]
    assert left_out(windows) == [windows[1]]


spans = st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(1, 12))


@given(st.lists(spans, max_size=25))
def test_what_counts_overlaps_nothing_of_another_instance(
    drawn: list[tuple[int, int, int]],
) -> None:
    """The rule said again, window by window."""
    windows = [window(number, start, start + length) for number, start, length in drawn]
    counted: list[PrimaryWindow] = []
    for each in sorted(windows, key=lambda w: w.instance_id):
        overlapping = [
            other
            for other in counted
            if other.instance_id != each.instance_id
            and other.start < each.end
            and each.start < other.end
        ]
        if not overlapping:
            counted.append(each)
    out = {id(each) for each in left_out(windows)}
    assert {id(each) for each in windows if id(each) not in out} == {id(each) for each in counted}
