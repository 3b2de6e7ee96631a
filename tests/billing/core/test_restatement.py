"""A difference, added to what was billed, gives what is owed; and then there is none."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import currency_of
from billing.core.restatement import Charge, differences, steps

amounts = st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents).scaleb(-2))
charges = st.lists(
    st.builds(
        Charge,
        st.sampled_from("abcde"),
        amounts,
        st.integers(0, 10**18).map(Decimal),
        amounts,
        amounts,
    ),
    max_size=8,
)


def totals(of: list[Charge]) -> dict[object, Decimal]:
    found: dict[object, Decimal] = {}
    for charge in of:
        found[charge.key] = found.get(charge.key, Decimal(0)) + charge.amount
    return {key: amount for key, amount in found.items() if amount}


class TestDifferences:
    @given(charges, charges)
    def test_make_up_for_what_was_billed_and_leave_nothing(
        self, now: list[Charge], billed: list[Charge]
    ) -> None:
        changes = [each.change for each in differences(now, billed)]
        assert totals([*billed, *changes]) == totals(now)
        assert differences(now, [*billed, *changes]) == []

    @given(charges, charges)
    def test_come_to_what_is_owed_less_what_was_billed(
        self, now: list[Charge], billed: list[Charge]
    ) -> None:
        changes = [each.change.amount for each in differences(now, billed)]
        assert sum(changes) == sum(c.amount for c in now) - sum(c.amount for c in billed)

    def test_are_none_where_more_was_used_at_the_same_price(self) -> None:
        before, after = Charge("a", Decimal(5), Decimal(1)), Charge("a", Decimal(5), Decimal(9))
        assert differences([after], [before]) == []

    def test_say_what_was_billed_what_is_owed_and_what_is_left(self) -> None:
        (found,) = differences(
            [Charge("a", Decimal("3.5000"), Decimal(350), Decimal("3.5"))],
            [Charge("a", Decimal(1), Decimal(100), Decimal(1))],
        )
        assert [step["words"] for step in steps(found, "GB", currency_of("EUR"))] == [
            "Billed so far: 1 GB: 1.00 EUR",
            "By the usage known now: 3.5 GB: 3.50 EUR",
            "The difference: 2.5 GB: 2.50 EUR",
        ]
