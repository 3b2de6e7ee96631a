"""A chart says what its figures say."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.chart import (
    NARROW,
    SERIES_MAX,
    WIDE,
    Axis,
    Series,
    Slot,
    bar_chart,
    merge_smallest,
    nice_ceiling,
)


def slots(count: int) -> list[Slot]:
    return [Slot(str(number), f"{number} Nov") for number in range(1, count + 1)]


def series(name: str, *values: int | str) -> Series:
    return Series(name, tuple(Decimal(value) for value in values))


tables = st.integers(1, 31).flatmap(
    lambda days: st.lists(
        st.lists(st.integers(0, 10**12), min_size=days, max_size=days), min_size=0, max_size=12
    ).map(lambda rows: (days, rows))
)


def test_the_time_axis_names_each_month_once() -> None:
    days = [Slot(str(day), f"{day} Oct", group="Oct") for day in (30, 31)]
    days += [Slot(str(day), f"{day} Nov", group="Nov") for day in (1, 2)]
    wide, _ = bar_chart(days, [series("web", 1, 2, 3, 4)], str).drawings
    assert [tick.text for tick in wide.x_ticks] == ["30 Oct", "31", "1 Nov", "2"]


class TestBarChart:
    @given(tables)
    def test_loses_nothing_when_it_merges_series(self, table: tuple[int, list[list[int]]]) -> None:
        days, rows = table
        given_series = [series(f"s{number}", *row) for number, row in enumerate(rows)]
        chart = bar_chart(slots(days), given_series, str)
        assert chart.total == sum(map(sum, rows))
        assert len(chart.series) <= SERIES_MAX
        assert [total for _, _, total in chart.rows] == [
            sum(row[day] for row in rows) for day in range(days)
        ]

    @given(tables)
    def test_draws_inside_its_frame_without_gaps(self, table: tuple[int, list[list[int]]]) -> None:
        days, rows = table
        chart = bar_chart(
            slots(days), [series(f"s{number}", *row) for number, row in enumerate(rows)], str
        )
        for drawing in chart.drawings:
            floors: dict[int, int] = {}
            for bar in drawing.bars:
                assert drawing.left <= bar.x
                assert bar.x + bar.width <= drawing.layout.width
                assert drawing.layout.top <= bar.y
                assert bar.y + bar.height == floors.get(bar.x, drawing.layout.floor)
                floors[bar.x] = bar.y

    def test_draws_heights_in_proportion(self) -> None:
        chart = bar_chart(slots(2), [series("a", 50, 100)], str)
        low, high = chart.drawings[0].bars
        assert high.height == WIDE.plot_height
        assert abs(2 * low.height - high.height) <= 1

    def test_is_laid_out_for_wide_and_narrow_screens(self) -> None:
        chart = bar_chart(slots(31), [series("a", *range(31))], str)
        assert [drawing.layout for drawing in chart.drawings] == [WIDE, NARROW]
        assert len(chart.drawings[1].x_ticks) <= NARROW.labels_max

    def test_names_the_day_the_series_and_the_value_of_each_bar(self) -> None:
        chart = bar_chart(slots(1), [series("postgres", "1.5")], lambda value: f"€{value}")
        assert chart.drawings[0].bars[0].title == "1 Nov: postgres: €1.5"
        assert chart.summary == "1 bar; the highest is 1 Nov with €1.5"

    def test_leaves_out_what_is_below_zero_but_keeps_its_row(self) -> None:
        chart = bar_chart(slots(1), [series("a", 3), series("b", -1)], str)
        assert [bar.title for bar in chart.drawings[0].bars] == ["1 Nov: a: 3"]
        assert chart.rows[0][2] == 2

    def test_without_any_series_is_empty(self) -> None:
        chart = bar_chart(slots(3), [], str)
        assert chart.is_empty
        assert chart.drawings[0].bars == ()

    def test_labels_the_axis_in_its_unit(self) -> None:
        axis = Axis(lambda value: f"{value:f}", unit="GB", size=Decimal(10**9))
        chart = bar_chart(slots(1), [series("a", 3 * 10**9)], str, axis)
        assert [tick.text for tick in chart.drawings[0].y_ticks] == ["0", "1", "2", "3", "4"]

    def test_never_divides_the_axis_finer_than_its_step(self) -> None:
        axis = Axis(str, step_min=Decimal("0.01"))
        assert axis.ceiling(Decimal("0.03")) == Decimal("0.04")
        assert axis.ceiling(Decimal("0.05")) == Decimal("0.08")


class TestMerging:
    def test_adds_up_the_smallest(self) -> None:
        merged = merge_smallest([series(f"s{size}", size) for size in range(1, 9)])
        assert [each.name for each in merged] == ["s8", "s7", "s6", "s5", "s4", "3 others"]
        assert merged[-1].values == (Decimal(6),)


@pytest.mark.parametrize(
    ("largest", "ceiling"),
    [("0", "1"), ("1", "1"), ("1.01", "2"), ("5", "6"), ("99", "100"), ("0.031", "0.04")],
)
def test_a_ceiling_is_a_round_number(largest: str, ceiling: str) -> None:
    assert nice_ceiling(Decimal(largest)) == Decimal(ceiling)
