"""A plan version over usage that was, before anybody is billed by it."""

import io
import json
from decimal import Decimal
from uuid import NAMESPACE_DNS, uuid5

import pytest
from django.core.management import CommandError, call_command

from billing.core.periods import Period
from billing.models import Invoice, Plan, PlanVersion
from billing.operations import Offer, close_due, draft_plan_version, subscribe
from billing.queries.backtest import (
    BacktestedPeriod,
    backtest_totals,
    backtested_customers,
    backtested_periods,
    largest_movers,
)
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    OCTOBER,
    Story,
    assign,
    at,
    begin_story,
    cpu_price,
    use,
)

AUTUMN = Period(at(9, 1), NOVEMBER)


def dearer(story: Story) -> PlanVersion:
    """A draft at four times the price, with ten CPU-hours included."""
    return draft_plan_version(story.plan, Offer([cpu_price("0.04", "10")], at(12, 1)))


@pytest.fixture
def story(inside: None) -> Story:
    """120 CPU-hours in October: 1.20 as it is, 4.40 by the draft."""
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    use(story.mail, at(10, 4), cpu_us=20 * HOUR_US)
    return story


class TestABacktest:
    def test_says_what_each_customer_would_have_paid(self, story: Story) -> None:
        (october,) = backtested_periods(dearer(story), AUTUMN, as_of=NOVEMBER)
        assert (october.reference, october.currency) == ("shop-ltd", "EUR")
        assert (october.old, october.new) == (Decimal("1.20"), Decimal("4.40"))
        assert october.difference == Decimal("3.20")

    def test_writes_nothing(self, story: Story) -> None:
        (draft,) = close_due(as_of=NOVEMBER)
        before = (draft.total, list(draft.lines.values_list("amount", flat=True)))
        version = dearer(story)
        list(backtested_periods(version, AUTUMN, as_of=NOVEMBER))
        draft.refresh_from_db()
        version.refresh_from_db()
        assert (draft.total, list(draft.lines.values_list("amount", flat=True))) == before
        assert Invoice.objects.count() == 1
        assert version.published_at is None

    def test_looks_at_periods_that_have_ended_alone(self, story: Story) -> None:
        use(story.shop, at(11, 3), cpu_us=HOUR_US)
        wide = Period(OCTOBER, at(12, 1))
        version = dearer(story)
        assert len(list(backtested_periods(version, wide, as_of=at(11, 15)))) == 1
        assert len(list(backtested_periods(version, wide, as_of=at(12, 2)))) == 2

    def test_names_the_largest_movers_first(self, story: Story) -> None:
        other = Customer.objects.create(name="Small", reference="small")
        subscribe(other, story.plan, starts_at=OCTOBER)
        story.shop.assignments.all().delete()
        assign(story.shop, story.customer)
        assert [
            each.reference
            for each in largest_movers(backtested_periods(dearer(story), AUTUMN, as_of=NOVEMBER), 1)
        ] == ["shop-ltd"]

    def test_adds_up_by_currency(self, story: Story) -> None:
        (total,) = backtest_totals(backtested_periods(dearer(story), AUTUMN, as_of=NOVEMBER))
        assert (total.currency, total.periods) == ("EUR", 1)
        assert (total.old, total.new) == (Decimal("1.20"), Decimal("4.40"))


def backtested(reference: str, currency: str, old: str, new: str) -> BacktestedPeriod:
    customer_id = uuid5(NAMESPACE_DNS, reference)
    return BacktestedPeriod(
        customer_id, reference.title(), reference, AUTUMN, currency, Decimal(old), Decimal(new)
    )


class TestTheCustomers:
    def test_have_the_sum_of_their_periods(self) -> None:
        (shop,) = backtested_customers(
            [backtested("shop", "EUR", "1.20", "4.40"), backtested("shop", "EUR", "2", "1.50")]
        )
        assert (shop.periods, shop.old, shop.new) == (2, Decimal("3.20"), Decimal("5.90"))

    def test_are_compared_with_those_of_their_currency(self) -> None:
        found = backtested_customers(
            [
                backtested("mail", "JPY", "100", "90"),
                backtested("shop", "EUR", "1", "2"),
                backtested("news", "EUR", "5", "3"),
                backtested("cafe", "EUR", "2", "1"),
            ]
        )
        assert [each.reference for each in found] == ["news", "cafe", "shop", "mail"]


class TestTheCommand:
    def run(self, *arguments: str, start: str = "2026-10-01T00:00Z") -> tuple[str, str]:
        out, error = io.StringIO(), io.StringIO()
        period = ("--from", start, "--to", "2026-11-01T00:00Z")
        try:
            call_command(
                "backtest", *arguments, *period, "--tenant", "first-host", stdout=out, stderr=error
            )
        except CommandError as refusal:
            error.write(f"CommandError: {refusal}")
        return out.getvalue(), error.getvalue()

    @pytest.fixture
    def _drafted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=120 * HOUR_US)
            dearer(story)

    @pytest.mark.usefixtures("_drafted")
    def test_prints_movers_and_totals(self) -> None:
        out, error = self.run("Hosting", "2")
        assert error == ""
        assert out.splitlines() == [
            "shop-ltd, 2026-10-01: 1.20 EUR → 4.40 EUR (+3.20 EUR)",
            "in all, 1 periods: 1.20 EUR → 4.40 EUR (+3.20 EUR)",
        ]

    @pytest.mark.usefixtures("_drafted")
    def test_gives_every_period_as_json(self) -> None:
        out, _ = self.run("Hosting", "2", "--json")
        (period,) = json.loads(out)["periods"]
        assert (period["old"], period["new"], period["difference"]) == ("1.20", "4.40", "3.20")

    @pytest.mark.usefixtures("_drafted")
    def test_says_in_a_line_what_is_wrong(self) -> None:
        _, error = self.run("Hosting", "9")
        assert error == "CommandError: no plan 'Hosting' with a version 9"
        _, error = self.run("Hosting", "2", start="1900-01-01T00:00Z")
        assert "CommandError: 1900-01-01 00:00:00+00:00 is not within 1970 to" in error

    @pytest.mark.usefixtures("_drafted")
    def test_answers_json_where_nothing_was_billed(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            draft_plan_version(Plan.objects.create(name="New", currency="EUR"),
                               Offer([cpu_price()], at(12, 1)))  # fmt: skip
        out, error = self.run("New", "1", "--json")
        assert json.loads(out) == {"periods": []}
        assert error == "no billing period of the plan begins there and has ended\n"
