"""What a customer agreed to is what their invoices come to."""

from datetime import datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.core.currencies import UnknownCurrency
from billing.core.periods import Period
from billing.models import BillingDetails, Invoice, Price, PriceOverride
from billing.operations import (
    CommitmentTooShort,
    Offer,
    OverrideIsInvoiced,
    OwnPrice,
    VersionAlreadyPublished,
    VersionNotUsable,
    draft_plan_version,
    end_price,
    finalize_invoice,
    grant_discount,
    grant_price,
    publish_draft,
    subscribe,
)
from billing.overrides import OverrideNotUsable
from billing.queries import (
    current_period,
    is_used,
    month_to_date,
    rated_period,
    upcoming_invoice,
)
from tenants.models import Customer
from tests.billing.agreements import (
    begin_contract,
    close_next,
    cpu,
    lines_of,
    offer,
    rebate,
)
from tests.billing.timeline import HOUR_US, NOVEMBER, OCTOBER, Story, at, disk_price, use

pytestmark = pytest.mark.usefixtures("inside")


def flat(amount: str, **definition: object) -> Price:
    return Price(
        label="Basic fee",
        code="fee",
        kind="flat",
        unit_price=Decimal(amount),
        definition=definition,
    )


def october(story: Story) -> Period:
    return current_period(story.subscription, as_of=at(10, 15))


class TestIntervals:
    def test_of_weeks_close_every_monday(self) -> None:
        story = begin_contract(interval="weekly")
        for day in (1, 4, 5, 11, 12):
            use(story.shop, at(10, day), cpu_us=HOUR_US)

        first, second = (close_next(story.subscription, as_of=NOVEMBER) for _ in range(2))

        assert (first.period_end, first.total) == (at(10, 5), Decimal(2))
        assert (second.period_end, second.total) == (at(10, 12), Decimal(2))

    def test_of_quarters_end_with_the_year(self) -> None:
        story = begin_contract(interval="quarterly", starts_at=at(2, 10))

        assert current_period(story.subscription, as_of=at(2, 20)).end == at(4, 1)

    def test_of_fees_are_their_own(self) -> None:
        """Usage is billed monthly and the fee yearly: in advance, for the rest of the first year
        and then with December for the whole of the next."""
        fee = flat("365", timing="advance", interval="yearly")
        story = begin_contract(cpu(), fee, starts_at=at(10, 20))
        use(story.shop, at(10, 25), cpu_us=HOUR_US)
        after = datetime.fromisoformat("2027-01-10T00:00Z")

        invoices = [close_next(story.subscription, as_of=after) for _ in range(3)]

        assert [lines_of(invoice) for invoice in invoices] == [
            [("usage", "CPU time", "1.00"), ("recurring", "Basic fee", "73.00")],
            [],
            [("recurring", "Basic fee", "365.00")],
        ]


class TestAVersionAtOnce:
    def test_rates_the_rest_of_the_running_period(self) -> None:
        story = begin_contract(cpu("1"))
        offer(story.plan, cpu("3"), effective_from=at(10, 16), at_once=True)
        use(story.shop, at(10, 15, 23, 55), cpu_us=10 * HOUR_US)
        use(story.shop, at(10, 16), cpu_us=10 * HOUR_US)

        invoice = close_next(story.subscription, as_of=NOVEMBER)

        assert lines_of(invoice) == [
            ("usage", "CPU time", "10.00"),
            ("usage", "CPU time", "30.00"),
        ]

    def test_cannot_change_once_an_invoice_used_it(self) -> None:
        story = begin_contract(cpu("1"))
        second = offer(story.plan, cpu("3"), effective_from=at(10, 16), at_once=True)
        assert not is_used(second)
        close_next(story.subscription, as_of=NOVEMBER)

        assert is_used(second)
        with pytest.raises(DatabaseError, match="has used this plan version"), transaction.atomic():
            second.prices.update(unit_price=Decimal(4))

    def test_is_refused_where_a_period_is_invoiced(self) -> None:
        story = begin_contract()
        close_next(story.subscription, as_of=NOVEMBER)

        with pytest.raises(VersionNotUsable, match="invoiced up to 2026-11-01"):
            offer(story.plan, cpu("3"), effective_from=at(10, 16), at_once=True)

    def test_shows_in_the_preview_with_days_that_sum_to_it(self) -> None:
        story = begin_contract(cpu("0.333", allowance="7"), disk_price(), minimum="4000")
        second = cpu("0.777", allowance="7")
        offer(story.plan, second, effective_from=at(10, 10, 7), at_once=True, minimum="4000")
        for day in range(1, 20):
            use(story.shop, at(10, day), cpu_us=day**3 * 10**8 + 7, disk_bytes=day * 10**8)
            use(story.mail, at(10, day, 9), cpu_us=day**4 * 10**7 + 3)

        month = month_to_date(story.customer, as_of=at(10, 20))

        assert month is not None
        assert month.upcoming == upcoming_invoice(story.customer, as_of=at(10, 20))
        assert sum(charge.amount for charge in month.days) == month.upcoming.total
        assert month.upcoming.lines[-1].kind == "minimum"


class TestADraftVersion:
    def test_rates_nothing_until_it_is_published(self) -> None:
        story = begin_contract(cpu("1"))
        draft = draft_plan_version(story.plan, Offer([cpu("9")], at(9, 1)))
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)

        period = october(story)
        assert rated_period(story.subscription, period).total == 10
        publish_draft(draft, as_of=at(9, 1))
        assert rated_period(story.subscription, period).total == 90

    def test_is_run_over_a_past_period_and_writes_nothing(self) -> None:
        story = begin_contract(cpu("1"))
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        close_next(story.subscription, as_of=NOVEMBER)
        draft = draft_plan_version(story.plan, Offer([cpu("9")], at(12, 1)))

        rated = rated_period(story.subscription, october(story), version=draft)

        assert rated.total == 90
        assert Invoice.objects.get().total == 10

    def test_is_published_once(self) -> None:
        story = begin_contract()
        draft = draft_plan_version(story.plan, Offer([cpu("9")], at(12, 1)))
        publish_draft(draft, as_of=NOVEMBER)

        with pytest.raises(VersionAlreadyPublished, match="2026-11-01"):
            publish_draft(draft, as_of=NOVEMBER)

    def test_follows_the_versions_that_are_published(self) -> None:
        story = begin_contract()
        late = draft_plan_version(story.plan, Offer([cpu("9")], at(9, 1)))
        offer(story.plan, cpu("2"), effective_from=at(11, 1))

        with pytest.raises(VersionNotUsable, match="takes effect on 2026-11-01"):
            publish_draft(late, as_of=NOVEMBER)

    def test_without_prices_is_not_published(self) -> None:
        story = begin_contract()
        draft = draft_plan_version(story.plan, Offer([], at(12, 1)))

        with pytest.raises(VersionNotUsable, match="without prices"):
            publish_draft(draft, as_of=NOVEMBER)


def own_price(
    unit_price: str, starts_at: datetime = OCTOBER, ends_at: datetime | None = None, **more: str
) -> OwnPrice:
    return OwnPrice(
        code="cpu",
        currency=more.get("currency", "EUR"),
        definition={"unit_price": unit_price},
        starts_at=starts_at,
        ends_at=ends_at,
        reason=more.get("reason", ""),
    )


class TestAnOverride:
    def test_is_the_customers_alone(self) -> None:
        story, other = begin_contract(), begin_contract(reference="other")
        grant_price(story.customer, own_price("0.5", reason="offer 7"))
        for each in (story, other):
            use(each.shop, at(10, 3), cpu_us=10 * HOUR_US)

        invoices = [close_next(each.subscription, as_of=NOVEMBER) for each in (story, other)]

        assert [invoice.total for invoice in invoices] == [5, 10]
        words = [step["words"] for step in invoices[0].lines.get().steps]
        assert "The customer's own price: offer 7, since 2026-10-01" in words

    def test_holds_from_its_start_to_its_end(self) -> None:
        story = begin_contract()
        grant_price(story.customer, own_price("0.5", at(10, 10), at(10, 20)))
        for day in (9, 10, 19, 20):
            use(story.shop, at(10, day), cpu_us=10 * HOUR_US)

        invoice = close_next(story.subscription, as_of=NOVEMBER)

        assert [amount for _, _, amount in lines_of(invoice)] == ["10.00", "10.00", "10.00"]

    def test_does_not_touch_what_is_finalized(self) -> None:
        story = begin_contract()
        running = grant_price(story.customer, own_price("0.5"))
        finalize_invoice(close_next(story.subscription, as_of=NOVEMBER), as_of=NOVEMBER)

        with pytest.raises(OverrideIsInvoiced):
            grant_price(story.customer, own_price("0.2", at(10, 31)))
        with pytest.raises(OverrideIsInvoiced):
            end_price(running, ends_at=at(10, 15))
        with pytest.raises(DatabaseError, match="invoiced"), transaction.atomic():
            running.delete()
        assert end_price(running, ends_at=at(11, 15)).ends_at == at(11, 15)
        assert grant_price(story.customer, own_price("0.2", at(12, 1))).pk

    @pytest.mark.parametrize(
        ("code", "definition", "reason"),
        [
            ("gpu", {"unit_price": "1"}, "no price has the code 'gpu' in EUR"),
            ("cpu", {}, "say what differs"),
            ("cpu", {"meter": "memory.used"}, "'meter' is the plan's"),
            ("cpu", {"unit_price": "-1"}, "must not be negative"),
            ("cpu", {"unit_price": 0.1}, "write numbers as text"),
            ("cpu", {"unit_price": "cheap"}, "unit_price: "),
            ("cpu", {"tiers": [{"up_to": None, "unit_price": "1"}]}, "per unit has no tiers"),
            ("cpu", {"kind": "package", "definition": {"size": "1"}, "tiers": [1]}, "no tiers"),
            (
                "cpu",
                {
                    "kind": "volume",
                    "tiers": [{"up_to": None, "unit_price": "1"}],
                    "unit_price": "2",
                },
                "has its prices in its tiers",
            ),
            ("cpu", {"minimum": "2", "maximum": "1"}, "the minimum is above the maximum"),
        ],
    )
    def test_that_no_price_can_be_is_refused(
        self, code: str, definition: dict[str, object], reason: str
    ) -> None:
        story = begin_contract()

        with pytest.raises(OverrideNotUsable, match=reason):
            grant_price(story.customer, OwnPrice(code, "EUR", definition, OCTOBER))
        assert not PriceOverride.objects.exists()

    def test_may_have_tiers_where_it_changes_the_kind_with_them(self) -> None:
        story = begin_contract()
        tiers = [{"up_to": "4", "unit_price": "0"}, {"up_to": None, "unit_price": "3"}]
        definition = {"kind": "graduated", "tiers": tiers}
        grant_price(story.customer, OwnPrice("cpu", "EUR", definition, OCTOBER))
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        assert close_next(story.subscription, as_of=NOVEMBER).total == 18


class TestATrial:
    def test_shows_its_usage_and_charges_nothing(self) -> None:
        story = begin_contract(cpu("1"), minimum="31", trial_ends_at=at(10, 11))
        use(story.shop, at(10, 10), cpu_us=10 * HOUR_US)
        use(story.shop, at(10, 11), cpu_us=5 * HOUR_US)

        invoice = close_next(story.subscription, as_of=NOVEMBER)

        assert lines_of(invoice) == [
            ("usage", "CPU time", "0.00"),
            ("usage", "CPU time", "5.00"),
            ("minimum", "Minimum of the period", "16.00"),
        ]
        assert invoice.lines.first().raw_quantity == 10 * HOUR_US  # type: ignore[union-attr]


class TestACommitment:
    def test_is_made_up_for_on_the_last_invoice_of_its_period(self) -> None:
        story = begin_contract(commitment=Decimal(100), commitment_interval="quarterly")
        for month, hours in ((10, 20), (11, 10), (12, 30)):
            use(story.shop, at(month, 3), cpu_us=hours * HOUR_US)
        after = datetime.fromisoformat("2027-01-10T00:00Z")

        invoices = [close_next(story.subscription, as_of=after) for _ in range(3)]

        assert [invoice.total for invoice in invoices] == [20, 10, 70]
        assert lines_of(invoices[2])[-1] == ("true_up", "Commitment, shortfall", "40.00")

    def test_that_ends_early_is_held_to_its_share(self) -> None:
        """46 of the quarter's 92 days."""
        story = begin_contract(commitment=Decimal(100), commitment_interval="quarterly")
        story.subscription.ends_at = at(11, 16)
        story.subscription.save()
        use(story.shop, at(10, 3), cpu_us=20 * HOUR_US)

        invoices = [close_next(story.subscription, as_of=at(11, 20)) for _ in range(2)]

        assert [invoice.total for invoice in invoices] == [20, 30]

    def test_shorter_than_a_billing_period_is_refused(self) -> None:
        with pytest.raises(CommitmentTooShort):
            begin_contract(
                interval="yearly", commitment=Decimal(100), commitment_interval="monthly"
            )


class TestCurrencies:
    def test_are_the_customers_where_the_plan_is_quoted_in_it(self) -> None:
        story = begin_contract(cpu("1"), cpu("1.1", currency="USD"))
        american = Customer.objects.create(name="Pine", reference="pine")
        BillingDetails.objects.create(customer=american, currency="USD")
        subscription = subscribe(american, story.plan, starts_at=OCTOBER)

        assert (subscription.paid_in, story.subscription.paid_in) == ("USD", "EUR")
        rated = rated_period(subscription, current_period(subscription, as_of=at(10, 5)))
        assert rated.currency.code == "USD"

    def test_rate_with_their_own_prices(self) -> None:
        story = begin_contract(cpu("1"), cpu("1.1", currency="USD"), currency="USD")
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)

        invoice = close_next(story.subscription, as_of=NOVEMBER)

        assert (invoice.currency, invoice.total) == ("USD", Decimal(11))

    def test_stay_as_the_subscription_began(self) -> None:
        story = begin_contract(cpu("1"), cpu("1.1", currency="USD"))
        BillingDetails.objects.create(customer=story.customer, currency="USD")

        assert close_next(story.subscription, as_of=NOVEMBER).currency == "EUR"

    def test_that_the_plan_is_not_quoted_in_are_not_billed(self) -> None:
        story = begin_contract(cpu("1"), currency="CHF")

        assert upcoming_invoice(story.customer, as_of=at(10, 5)) is None

    def test_that_do_not_exist_are_refused(self) -> None:
        with pytest.raises(UnknownCurrency):
            begin_contract(currency="XXQ")


class TestRatingAPeriod:
    def test_takes_a_number_of_queries_that_does_not_grow(
        self, django_assert_max_num_queries: pytest.FixtureRequest
    ) -> None:
        story = begin_contract(
            cpu("1"),
            disk_price(),
            minimum="31",
            commitment=Decimal(100),
            commitment_interval="monthly",
        )
        for _ in range(3):
            grant_discount(story.customer, rebate("5", periods=2))
            grant_price(story.customer, own_price("0.5"))
        use(story.shop, at(10, 3), cpu_us=HOUR_US)
        with django_assert_max_num_queries(16):  # type: ignore[operator]
            rated_period(story.subscription, october(story))

    def test_closed_comes_to_what_it_is_rated_at(self) -> None:
        story = begin_contract(cpu("0.3337", allowance="3"), disk_price())
        for day in range(1, 30):
            use(story.shop, at(10, day), cpu_us=day**3 * 10**8 + 7, disk_bytes=day * 10**9)
        whole = rated_period(story.subscription, october(story))

        assert whole.total > 0
        assert close_next(story.subscription, as_of=NOVEMBER).total == whole.total
