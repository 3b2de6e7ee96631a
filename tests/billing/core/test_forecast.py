"""What a month will come to, as far as its days tell."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.core.forecast import Forecast, forecast

AMOUNTS = st.decimals(0, 10_000, places=4, allow_nan=False)


def days(*amounts: str) -> list[Decimal]:
    return [Decimal(each) for each in amounts]


class TestAForecast:
    def test_carries_equal_days_on_to_the_end_without_doubt(self) -> None:
        assert forecast(days("2", "2", "2", "2"), Decimal(4), Decimal(30)) == Forecast(
            Decimal(60), Decimal(60), Decimal(60)
        )

    def test_counts_the_day_that_runs_for_what_is_left_of_it(self) -> None:
        known = forecast(days("2", "2", "2", "1"), Decimal("3.5"), Decimal(30))
        assert known is not None
        assert known.middle == Decimal(7) + 2 * Decimal("26.5")

    def test_is_unsure_where_days_differ(self) -> None:
        known = forecast(days("0", "4", "0", "4"), Decimal(4), Decimal(30))
        assert known is not None
        assert known.low < known.middle == 60 < known.high

    def test_is_none_in_the_first_days(self) -> None:
        assert forecast(days("2", "2", "1"), Decimal("2.9"), Decimal(30)) is None
        assert forecast([], Decimal(0), Decimal(30)) is None

    def test_is_what_came_when_the_month_is_over(self) -> None:
        assert forecast(days("1", "2"), Decimal(30), Decimal(30)) == Forecast(
            Decimal(3), Decimal(3), Decimal(3)
        )

    @given(st.lists(AMOUNTS, min_size=3, max_size=31))
    def test_never_falls_below_what_has_come(self, daily: list[Decimal]) -> None:
        known = forecast(daily, Decimal(len(daily)), Decimal(31))
        assert known is not None
        assert sum(daily) <= known.low <= known.middle <= known.high

    @given(st.lists(AMOUNTS, min_size=3, max_size=30))
    def test_is_the_same_for_days_in_another_order(self, daily: list[Decimal]) -> None:
        elapsed = Decimal(len(daily))
        first = forecast(daily, elapsed, Decimal(31))
        second = forecast(sorted(daily), elapsed, Decimal(31))
        assert first is not None
        assert second is not None
        assert abs(first.high - second.high) < Decimal("1e-30")
