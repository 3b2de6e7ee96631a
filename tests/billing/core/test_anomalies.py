"""What is unusual about an invoice, and what is not."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.anomalies import Draft, Severity, marks_of, median

USUAL = [Decimal(amount) for amount in ("100.00", "104.00", "98.00", "101.00", "97.00")]
FINE = Draft(
    total=Decimal("99.00"), currency="EUR", earlier=USUAL, plan="Standard v2",
    plan_before="Standard v2", covered_ppm=1_000_000, discounted=Decimal(0), late_hosts=(),
)  # fmt: skip
amounts = st.decimals("0.01", "1000000", places=2)


def kinds(draft: Draft) -> list[str]:
    return [mark.kind for mark in marks_of(draft)]


class TestTotal:
    def test_like_the_earlier_ones_is_not_marked(self) -> None:
        assert kinds(FINE) == []

    @pytest.mark.parametrize(
        ("total", "severity"),
        [("134", None), ("136", Severity.LOOK), ("202", Severity.ALARM), ("64", Severity.LOOK)],
    )
    def test_far_from_the_middle_is_marked_the_more_the_farther(
        self, total: str, severity: Severity | None
    ) -> None:
        marks = marks_of(replace(FINE, total=Decimal(total)))
        assert [mark.severity for mark in marks] == ([severity] if severity else [])

    def test_says_why_in_words(self) -> None:
        (mark,) = marks_of(replace(FINE, total=Decimal("1250")))
        assert mark.words == (
            "1,250.00 EUR is far above what this customer's last 5 periods came to, 100.00 EUR in "
            "the middle"
        )

    def test_one_bad_month_does_not_make_the_next_look_fine(self) -> None:
        once = replace(FINE, earlier=[Decimal(5_000), *USUAL], total=Decimal(5_000))
        assert kinds(once) == ["total"]

    def test_that_always_swings_is_not_marked_for_swinging(self) -> None:
        swings = [Decimal(amount) for amount in (10, 200, 90, 310, 150, 20)]
        assert kinds(replace(FINE, earlier=swings, total=Decimal(400))) == []

    def test_with_one_period_before_is_marked_at_more_than_double(self) -> None:
        once = replace(FINE, earlier=[Decimal(100)])
        assert kinds(replace(once, total=Decimal(200))) == []
        assert kinds(replace(once, total=Decimal("200.01"))) == ["total"]
        assert kinds(replace(once, total=Decimal("49.99"))) == ["total"]

    @given(total=amounts, earlier=st.lists(amounts, min_size=1, max_size=14), scale=amounts)
    def test_is_marked_alike_in_any_unit(
        self, total: Decimal, earlier: list[Decimal], scale: Decimal
    ) -> None:
        scaled = replace(FINE, total=total * scale, earlier=[amount * scale for amount in earlier])
        assert kinds(replace(FINE, total=total, earlier=earlier)) == kinds(scaled)


class TestOtherMarks:
    @pytest.mark.parametrize(
        ("changes", "marked"),
        [
            ({"earlier": [], "plan_before": ""}, {"first": Severity.NOTE}),
            ({"total": Decimal(0), "earlier": [Decimal(0)] * 4}, {"zero": Severity.NOTE}),
            (
                {"total": Decimal(0)},
                {"total": Severity.LOOK, "zero": Severity.LOOK},
            ),
            (
                {"total": Decimal(-5), "earlier": [Decimal(-5)] * 3},
                {"negative": Severity.LOOK},
            ),
            ({"covered_ppm": 979_999}, {"coverage": Severity.LOOK}),
            ({"covered_ppm": 980_000}, {}),
            ({"covered_ppm": 500_000}, {"coverage": Severity.ALARM}),
            ({"covered_ppm": None}, {}),
            ({"plan": "Large v1"}, {"plan": Severity.NOTE}),
            ({"discounted": Decimal("99.00")}, {}),
            ({"discounted": Decimal("99.01")}, {"credit": Severity.LOOK}),
            ({"late_hosts": ["web-1"]}, {"hosts": Severity.LOOK}),
        ],
        ids=str,
    )
    def test_stand_for_one_reason_each(
        self, changes: dict[str, object], marked: dict[str, Severity]
    ) -> None:
        marks = marks_of(replace(FINE, **changes))  # type: ignore[arg-type]
        assert {mark.kind: mark.severity for mark in marks} == marked

    def test_name_three_hosts_and_count_the_others(self) -> None:
        (mark,) = marks_of(replace(FINE, late_hosts=["a", "b", "c", "d", "e"]))
        assert mark.words == "a, b, c and 2 more have not delivered to the period's end yet"

    def test_come_the_most_severe_first(self) -> None:
        marks = marks_of(replace(FINE, total=Decimal(9_000), plan="Large v1", late_hosts=["web-1"]))
        assert [mark.kind for mark in marks] == ["total", "hosts", "plan"]


class TestMedian:
    def test_is_exact(self) -> None:
        assert median([Decimal("0.3"), Decimal("0.1"), Decimal("0.2")]) == Decimal("0.2")
        assert median([Decimal("0.1"), Decimal("0.2")]) == Decimal("0.15")
