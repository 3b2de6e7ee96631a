"""A period's lines are what was agreed for each part of it, in a defined order."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.core.charges import rate_usage
from billing.core.commitment import CommitmentPart
from billing.core.contract import contract_lines, priced_spans, rated_contract
from billing.core.discounts import DiscountTerm
from billing.core.exact import plain
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.core.prices import Graduated, Percentage
from billing.core.prices.proration import Proration
from billing.core.prices.tiers import Tier
from billing.core.rating import PriceSpec
from tests.billing.core.agreements import (
    CYCLE,
    OCTOBER,
    amounts,
    basic_fee,
    contract,
    cpu,
    cpu_hours,
    cut,
    disk,
    disk_gigabytes,
    metered,
    terms,
)
from tests.billing.core.strategies import prices as plans
from tests.billing.core.strategies import usages
from tests.billing.timeline import at

FIRST, SECOND = cut(at(10, 16, 12))
TIERS = Graduated((Tier(Decimal(10), Decimal(2)), Tier(None, Decimal(1))))


class TestASinglePart:
    @given(plans(), usages())
    def test_is_charged_as_its_prices_say(self, prices, usage) -> None:  # type: ignore[no-untyped-def]
        agreed = contract(terms(*prices))

        assert rated_contract(agreed, {OCTOBER: usage}) == rate_usage(prices, usage, "EUR")


class TestAVersionAtOnce:
    def test_rates_what_is_used_from_then_on(self) -> None:
        agreed = contract(
            terms(cpu("1", price_id="v1"), span=FIRST),
            terms(cpu("3", price_id="v2"), span=SECOND, version="Hosting v2"),
        )
        lines = contract_lines(agreed, {FIRST: [cpu_hours(5)], SECOND: [cpu_hours(7)]})

        assert amounts(lines) == [("usage", "5"), ("usage", "21")]
        assert lines[1].steps[2].words == (
            "2026-10-16 12:00 to 2026-11-01 00:00, Hosting v2: 1339200 of 2678400 s of the "
            "period, and so of what is included"
        )

    def test_begins_at_the_first_tier(self) -> None:
        agreed = contract(
            terms(metered(TIERS, price_id="v1"), span=FIRST),
            terms(metered(TIERS, price_id="v2"), span=SECOND),
        )
        lines = contract_lines(agreed, {FIRST: [cpu_hours(10)], SECOND: [cpu_hours(10)]})

        assert amounts(lines) == [("usage", "20"), ("usage", "20")]

    def test_shares_allowance_fee_and_minimum_by_time(self) -> None:
        """12:00 on the 16th is the middle of October."""
        old = (cpu(price_id="v1", allowance="10"), basic_fee("40", price_id="f1"))
        new = (cpu(price_id="v2", allowance="30"), basic_fee("60", price_id="f2"))
        agreed = contract(
            terms(*old, span=FIRST, minimum="100"), terms(*new, span=SECOND, minimum="200")
        )
        lines = contract_lines(agreed, {FIRST: [cpu_hours(9)], SECOND: [cpu_hours(16)]})

        assert amounts(lines) == [
            ("usage", "4"),
            ("usage", "1"),
            ("recurring", "20"),
            ("recurring", "30"),
            ("minimum", "95"),
        ]

    def test_is_told_by_whole_days_where_that_is_agreed(self) -> None:
        fees = [
            terms(basic_fee("31", price_id=name), span=span)
            for name, span in zip(("f1", "f2"), cut(at(10, 16, 12)), strict=True)
        ]
        lines = contract_lines(contract(*fees, proration="days"), {})

        assert amounts(lines) == [("recurring", "15"), ("recurring", "16")]

    @given(
        st.lists(st.integers(1, 8_927), max_size=4, unique=True),
        st.integers(0, 10**9),
    )
    def test_gives_parts_that_have_the_whole_allowance_together(
        self, buckets: list[int], thousandths: int
    ) -> None:
        allowance = Decimal(thousandths).scaleb(-3)
        spans = cut(*(OCTOBER.start + timedelta(minutes=5 * each) for each in sorted(buckets)))
        agreed = contract(
            *(
                terms(cpu(price_id=str(number), allowance=str(allowance)), span=span)
                for number, span in enumerate(spans)
            )
        )
        parts = [each.price.allowance for each in priced_spans(agreed)]

        assert sum_amounts(parts) == allowance
        assert min(parts) >= 0


class TestAnOverride:
    def test_stands_in_for_its_price_and_leaves_the_others_whole(self) -> None:
        agreed = contract(
            terms(cpu("2"), disk(), span=FIRST),
            replace(
                terms(cpu("1", price_id="cpu"), disk(), span=SECOND),
                prices=(
                    *terms(cpu("1"), override="offer 7, since 2026-10-16").prices,
                    *terms(disk()).prices,
                ),
            ),
        )
        usage = {
            FIRST: [cpu_hours(5)],
            SECOND: [cpu_hours(5)],
            OCTOBER: [disk_gigabytes(8)],
        }
        lines = contract_lines(agreed, usage)

        assert amounts(lines) == [("usage", "10"), ("usage", "5"), ("usage", "8")]
        assert "offer 7, since 2026-10-16" in lines[1].steps[3].words
        assert [each.span for each in priced_spans(agreed)] == [FIRST, SECOND, OCTOBER]


class TestATrial:
    def test_shows_its_usage_and_charges_nothing(self) -> None:
        priced = (cpu("2", allowance="10"), basic_fee("50"))
        agreed = contract(
            terms(*priced, span=FIRST, trial=True, minimum="500"),
            terms(*priced, span=SECOND, minimum="20"),
        )
        lines = contract_lines(agreed, {FIRST: [cpu_hours(100)], SECOND: [cpu_hours(7)]})

        assert amounts(lines) == [("usage", "0"), ("usage", "4"), ("recurring", "25")]
        assert lines[0].quantity == 100
        assert lines[0].steps[-2].words == "In the trial: 190 EUR are not charged"


def share(percent: str, *codes: str, allowance: str = "0", price_id: str = "share") -> PriceSpec:
    model = Percentage(Decimal(percent), codes, allowance=Decimal(allowance))
    return PriceSpec(price_id, None, "", model, label="Support", code="share")


class TestAPercentage:
    def test_is_of_usage_and_fees(self) -> None:
        agreed = contract(terms(cpu("2"), basic_fee("50"), share("10", "cpu", "fee")))

        lines = contract_lines(agreed, {OCTOBER: [cpu_hours(25)]})

        assert amounts(lines) == [("usage", "50"), ("recurring", "50"), ("percentage", "10")]

    def test_that_changes_is_of_what_is_used_in_its_time(self) -> None:
        agreed = contract(
            terms(cpu(), share("10", "cpu", price_id="s1"), span=FIRST),
            terms(cpu(), share("20", "cpu", price_id="s2"), span=SECOND),
        )
        lines = contract_lines(agreed, {FIRST: [cpu_hours(10)], SECOND: [cpu_hours(10)]})

        assert amounts(lines) == [
            ("usage", "10"),
            ("usage", "10"),
            ("percentage", "1"),
            ("percentage", "2"),
        ]

    def test_has_its_allowance_by_share(self) -> None:
        parts = [
            terms(
                cpu(price_id=f"c{n}"), share("10", "cpu", allowance="20", price_id=f"s{n}"), span=s
            )
            for n, s in enumerate((FIRST, SECOND))
        ]
        lines = contract_lines(contract(*parts), {FIRST: [cpu_hours(10)], SECOND: [cpu_hours(30)]})

        assert amounts(lines)[2:] == [("percentage", "2")]


class TestTheOrderOfLines:
    def test_is_usage_fees_percentages_minimum_discounts_true_up(self) -> None:
        agreed = contract(
            terms(share("10", "cpu"), basic_fee("20"), cpu(), minimum="100"),
            discounts=(DiscountTerm("d", "Rebate", percent=Decimal(50)),),
            commitment=CommitmentPart(
                Decimal(500), Period(at(1, 1), at(11, 1)), Proration(), Decimal(430)
            ),
        )
        lines = contract_lines(agreed, {OCTOBER: [cpu_hours(50)]})

        assert amounts(lines) == [
            ("usage", "50"),
            ("recurring", "20"),
            ("percentage", "5"),
            ("minimum", "25"),
            ("discount", "-25"),
            ("discount", "-10"),
            ("discount", "-2.5"),
            ("discount", "-12.5"),
            ("true_up", "20"),
        ]
        assert sum_amounts([line.unrounded for line in lines]) == Decimal(70)


class TestAMinimum:
    def test_is_met_by_what_is_charged(self) -> None:
        agreed = contract(terms(cpu(), minimum="50"))

        assert amounts(contract_lines(agreed, {OCTOBER: [cpu_hours(50)]})) == [("usage", "50")]

    def test_of_a_first_period_is_its_share_of_a_whole_one(self) -> None:
        first = Period(at(10, 16, 12), at(11, 1))
        agreed = replace(
            contract(terms(cpu(), span=first, minimum="62")),
            period=first,
            cycle=replace(CYCLE, start=first.start),
        )

        (line,) = contract_lines(agreed, {})

        assert (line.kind, plain(line.unrounded)) == ("minimum", "31")


class TestACommitment:
    def test_is_made_up_for_by_what_lacks(self) -> None:
        year = Period(at(1, 1), at(11, 1))
        part = CommitmentPart(Decimal(1_000), year, Proration(1, 2), Decimal(300))
        agreed = contract(terms(cpu()), commitment=part)

        usage, missing = contract_lines(agreed, {OCTOBER: [cpu_hours(50)]})

        assert (usage.unrounded, missing.unrounded) == (Decimal(50), Decimal(150))
        assert missing.steps[1].words == "500 less 300 on earlier invoices and 50 on this one"

    def test_that_is_reached_adds_nothing(self) -> None:
        part = CommitmentPart(Decimal(350), OCTOBER, Proration(), Decimal(300))
        agreed = contract(terms(cpu()), commitment=part)

        assert len(contract_lines(agreed, {OCTOBER: [cpu_hours(50)]})) == 1


class TestAPercentageOfAShare:
    def test_keeps_30_decimals_so_that_an_amount_can_be_taken_off(self) -> None:
        """A third of a fee never ends; a percentage of it must not grow longer still."""
        support = PriceSpec(
            "s", None, "", Percentage(Decimal("12.3457"), ("fee",)), label="Support", code="support"
        )
        part = Period(at(10, 22), at(11, 1))
        agreed = replace(
            contract(
                terms(basic_fee("10"), support, span=part),
                discounts=(DiscountTerm("d", "Rebate", amount=Decimal(1)),),
            ),
            period=part,
            cycle=replace(CYCLE, start=part.start),
        )
        fee, percentage, *discounts = contract_lines(agreed, {})

        assert plain(fee.unrounded) == "3.225806451612903225806451612903"
        assert plain(percentage.unrounded) == "0.398248387096774193548387096774"
        assert sum_amounts([line.unrounded for line in discounts]) == -1
