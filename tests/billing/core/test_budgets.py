"""Which thresholds of a budget are new."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.budgets import THRESHOLDS, Standing, crossings, month_of, reached
from billing.core.forecast import Forecast
from billing.core.periods import Period

LIMIT = Decimal(100)
AMOUNTS = st.decimals(0, 300, places=4, allow_nan=False)


def standing(spent: str, foreseen: str | None = None) -> Standing:
    if foreseen is None:
        return Standing(Decimal(spent), None)
    return Standing(Decimal(spent), Forecast(*[Decimal(foreseen)] * 3))


def new(now: Standing, *before: str) -> tuple[str, ...]:
    return crossings(now, LIMIT, wanted=THRESHOLDS, before=before).reached


class TestAThreshold:
    @pytest.mark.parametrize(
        ("spent", "expected"),
        [
            ("49.9999", ()),
            ("50", ("50",)),
            ("79.9999", ("50",)),
            ("80", ("50", "80")),
            ("100", ("50", "80", "100")),
            ("250", ("50", "80", "100")),
        ],
    )
    def test_is_reached_at_the_amount_itself(self, spent: str, expected: tuple[str, ...]) -> None:
        assert reached(standing(spent), LIMIT) == expected

    def test_is_new_once(self) -> None:
        assert new(standing("85")) == ("50", "80")
        assert new(standing("85"), "50", "80") == ()
        # A correction that lowers usage tells nothing back, and coming again tells nothing anew.
        assert new(standing("40"), "50", "80") == ()
        assert new(standing("85"), "50", "80") == ()

    def test_is_told_by_the_highest(self) -> None:
        assert crossings(standing("130"), LIMIT, wanted=THRESHOLDS, before=()).told == "100"
        assert crossings(standing("10"), LIMIT, wanted=THRESHOLDS, before=()).told is None

    def test_that_nobody_wants_is_left_out(self) -> None:
        assert crossings(standing("90"), LIMIT, wanted={"100"}, before=()).reached == ()

    @given(AMOUNTS, AMOUNTS, st.sets(st.sampled_from(THRESHOLDS)))
    def test_is_never_lost_as_more_is_spent(
        self, spent: Decimal, more: Decimal, before: set[str]
    ) -> None:
        first = reached(Standing(spent, None), LIMIT)
        assert set(first) <= set(reached(Standing(spent + more, None), LIMIT))
        now = crossings(Standing(spent, None), LIMIT, wanted=THRESHOLDS, before=before)
        assert before.isdisjoint(now.reached)


class TestAForecast:
    def test_is_told_where_the_limit_will_be_reached(self) -> None:
        assert new(standing("60", "120")) == ("50", "forecast")
        assert new(standing("60", "99.99")) == ("50",)

    def test_is_not_told_of_what_has_come_already(self) -> None:
        assert new(standing("101", "140"), "50", "80") == ("100",)


def test_a_month_is_the_customers() -> None:
    assert month_of(datetime(2026, 10, 31, 23, 30, tzinfo=UTC), "Europe/Berlin") == Period(
        datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)
    )
