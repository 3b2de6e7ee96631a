"""Which grant pays how much of an invoice."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.core.credit import (
    Application,
    Charge,
    Grant,
    apply_grants,
    give_back,
    gross_of,
    in_order,
)
from billing.core.currencies import currency_of
from billing.core.exact import ZERO
from billing.core.money import round_amount, round_down, sum_amounts

EURO = currency_of("EUR")
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def on(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


def grant(id: str, left: str = "10", *scope: str, **fields: object) -> Grant:  # noqa: A002
    values: dict[str, object] = {
        "priority": 50,
        "promotional": False,
        "expires_at": None,
        "granted_at": NOVEMBER,
        **fields,
    }
    return Grant(id=id, left=Decimal(left), scope=frozenset(scope), **values)  # type: ignore[arg-type]


def applied(grants: list[Grant], payable: str, *charges: Charge) -> list[tuple[str, str]]:
    found = apply_grants(grants, charges, payable=Decimal(payable), currency=EURO, as_of=on(15))
    return [(each.grant, str(each.amount)) for each in found]


class TestOrder:
    def test_is_priority_then_promotional_then_expiry_then_age(self) -> None:
        spent_first_to_last = [
            grant("urgent", priority=1),
            grant("gift-soon", promotional=True, expires_at=on(20)),
            grant("gift-later", promotional=True, expires_at=on(25)),
            grant("gift-for-good", promotional=True),
            grant("paid-soon", expires_at=on(20)),
            grant("paid-old", granted_at=datetime(2026, 1, 1, tzinfo=UTC)),
            grant("paid-a"),
            grant("paid-b"),
            grant("last", priority=90, promotional=True, expires_at=on(16)),
        ]
        assert in_order(spent_first_to_last[::-1]) == spent_first_to_last

    def test_decides_who_pays(self) -> None:
        assert applied([grant("second", priority=2), grant("first", priority=1)], "15") == [
            ("first", "10"),
            ("second", "5"),
        ]


class TestExpiry:
    def test_is_a_moment_that_is_no_longer_good(self) -> None:
        grants = [grant("gone", expires_at=on(15)), grant("good", expires_at=on(16))]
        assert applied(grants, "100") == [("good", "10")]


class TestScope:
    def test_is_all_that_a_grant_pays(self) -> None:
        charges = (Charge("cpu", Decimal("3.456")), Charge("disk", Decimal(50)))
        assert applied([grant("for-cpu", "10", "cpu")], "53.46", *charges) == [("for-cpu", "3.45")]

    def test_leaves_less_to_the_next_with_the_same(self) -> None:
        charges = (Charge("cpu", Decimal(12)), Charge("disk", Decimal(50)))
        assert applied([grant("a", "10", "cpu"), grant("b", "10", "cpu")], "62", *charges) == [
            ("a", "10"),
            ("b", "2"),
        ]

    def test_counts_what_one_without_a_scope_paid_of_the_first_lines(self) -> None:
        charges = (Charge("cpu", Decimal(12)), Charge("disk", Decimal(50)))
        grants = [grant("all", "10", priority=1), grant("for-cpu", "10", "cpu")]
        assert applied(grants, "62", *charges) == [("all", "10"), ("for-cpu", "2")]

    def test_never_pays_what_a_discount_took_off(self) -> None:
        charges = (Charge("cpu", Decimal(12)), Charge("", Decimal(-5)))
        assert applied([grant("for-cpu", "20", "cpu")], "7", *charges) == [("for-cpu", "7")]

    def test_leaves_out_what_a_discount_took_off_its_own_lines(self) -> None:
        charges = (
            Charge("cpu", Decimal(12)),
            Charge("disk", Decimal(9)),
            Charge("cpu", Decimal(-5)),
        )
        assert applied([grant("for-cpu", "20", "cpu")], "16", *charges) == [("for-cpu", "7")]


class TestTax:
    def test_is_paid_with_the_line(self) -> None:
        assert gross_of(Decimal(100), Decimal(19), tax_inclusive=False) == Decimal(119)
        assert gross_of(Decimal(100), Decimal(19), tax_inclusive=True) == Decimal(100)
        assert gross_of(Decimal(100), None, tax_inclusive=False) == Decimal(100)


class TestGivingBack:
    def test_begins_with_what_paid_last(self) -> None:
        paid = [Application("first", Decimal(20)), Application("last", Decimal(10))]
        assert give_back(paid, Decimal(15)) == [
            Application("last", Decimal(10)),
            Application("first", Decimal(5)),
        ]
        assert give_back(paid, Decimal(99)) == paid[::-1]


codes = st.sampled_from(["", "cpu", "disk", "mail"])
money = st.integers(0, 10**6).map(lambda cents: Decimal(cents).scaleb(-2))
moments = st.integers(1, 28).map(on)
grants_in_scope = st.builds(
    Grant,
    id=st.uuids().map(str),
    left=money,
    priority=st.integers(0, 3),
    promotional=st.booleans(),
    expires_at=st.none() | moments,
    granted_at=moments,
    scope=st.frozensets(codes.filter(bool), max_size=2),
)
charges_of_all_kinds = st.builds(
    Charge, codes, st.integers(-(10**7), 10**8).map(lambda each: Decimal(each).scaleb(-4))
)


class TestWhateverIsGranted:
    @given(
        st.lists(grants_in_scope, max_size=8, unique_by=lambda each: each.id),
        st.lists(charges_of_all_kinds, max_size=8),
        st.randoms(use_true_random=False),
    )
    def test_no_more_is_paid_than_there_is_and_than_is_owed(
        self, grants: list[Grant], charges: list[Charge], random: object
    ) -> None:
        payable = max(round_amount(sum_amounts([charge.gross for charge in charges]), EURO), ZERO)
        found = apply_grants(grants, charges, payable=payable, currency=EURO, as_of=on(15))
        by_id = {each.id: each for each in grants}
        assert sum_amounts([each.amount for each in found]) <= payable
        for each in found:
            one = by_id[each.grant]
            own = [max(charge.gross, ZERO) for charge in charges if charge.code in one.scope]
            assert 0 < each.amount <= one.left
            assert one.is_usable(on(15))
            assert not one.scope or each.amount <= round_down(sum_amounts(own), EURO)
            assert each.amount == round_amount(each.amount, EURO)
        self.scopes_hold_together(found, by_id, charges)
        shuffled = list(grants)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert found == apply_grants(
            shuffled, charges, payable=payable, currency=EURO, as_of=on(15)
        )

    def scopes_hold_together(
        self, found: list[Application], by_id: dict[str, Grant], charges: list[Charge]
    ) -> None:
        """Grants of one scope together never pay more than its lines come to."""
        for scope in {grant.scope for grant in by_id.values() if grant.scope}:
            paid = [
                each.amount
                for each in found
                if by_id[each.grant].scope <= scope and by_id[each.grant].scope
            ]
            own = [max(charge.gross, ZERO) for charge in charges if charge.code in scope]
            assert sum_amounts(paid) <= sum_amounts(own)

    @given(st.lists(grants_in_scope, max_size=8, unique_by=lambda each: each.id), money)
    def test_credit_without_a_scope_pays_all_it_can(
        self, grants: list[Grant], payable: Decimal
    ) -> None:
        free = [replace(each, scope=frozenset()) for each in grants]
        found = apply_grants(free, [], payable=payable, currency=EURO, as_of=on(15))
        usable = sum_amounts([each.left for each in free if each.is_usable(on(15))])
        assert sum_amounts([each.amount for each in found]) == min(usable, payable)
