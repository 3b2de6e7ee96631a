"""A discount is taken from what a customer's invoices come to."""

from datetime import datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from billing.models import Discount, Invoice
from billing.operations import (
    DiscountIsInvoiced,
    DiscountNotUsable,
    Rebate,
    end_discount,
    finalize_invoice,
    grant_discount,
    recompute_draft,
)
from billing.price_codes import UnknownPriceCode
from tenants.models import Tenant
from tenants.refusals import constraint_of
from tenants.scope import tenant_scope
from tests.billing.agreements import begin_contract, close_next, cpu, lines_of, rebate
from tests.billing.test_database_guards import meanwhile
from tests.billing.timeline import HOUR_US, OCTOBER, Story, at, disk_price, use


@pytest.mark.usefixtures("inside")
class TestADiscount:
    def months(self, story: Story, count: int = 3) -> list[Invoice]:
        for month in (10, 11, 12)[:count]:
            use(story.shop, at(month, 3), cpu_us=10 * HOUR_US)
        after = datetime.fromisoformat("2027-01-10T00:00Z")
        return [close_next(story.subscription, as_of=after) for _ in range(count)]

    def test_stands_below_what_it_is_taken_from(self) -> None:
        story = begin_contract(cpu(), disk_price())
        grant_discount(story.customer, rebate())

        (invoice,) = self.months(story, 1)

        assert lines_of(invoice) == [
            ("usage", "CPU time", "10.00"),
            ("discount", "Welcome: CPU time", "-5.00"),
        ]
        assert invoice.lines.last().price.code == "cpu"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("periods", "totals"), [(1, [5, 10, 10]), (2, [5, 5, 10]), (None, [5, 5, 5])]
    )
    def test_ends_with_its_periods(self, periods: int | None, totals: list[int]) -> None:
        story = begin_contract()
        grant_discount(story.subscription, rebate(periods=periods))

        assert [invoice.total for invoice in self.months(story)] == totals

    def test_is_counted_anew_each_time_a_period_is_rated(self) -> None:
        story = begin_contract()
        grant_discount(story.customer, rebate(periods=2))
        invoices = self.months(story)

        again = [recompute_draft(invoice).total for invoice in [*invoices, *reversed(invoices)]]

        assert again == [5, 5, 10, 10, 5, 5]

    def test_is_not_used_up_where_nothing_was_charged(self) -> None:
        story = begin_contract()
        grant_discount(story.customer, rebate(periods=1))
        use(story.shop, at(11, 3), cpu_us=10 * HOUR_US)

        totals = [close_next(story.subscription, as_of=at(12, 2)).total for _ in range(2)]

        assert totals == [0, 5]

    def test_of_a_plan_is_every_subscribers(self) -> None:
        story, other = begin_contract(), begin_contract(reference="other")
        grant_discount(story.plan, rebate())

        assert self.months(story, 1)[0].total == 5
        assert self.months(other, 1)[0].total == 10

    def test_of_an_amount_is_in_its_currency_alone(self) -> None:
        story = begin_contract()
        for currency in ("EUR", "USD"):
            grant_discount(
                story.customer, Rebate("Gift", OCTOBER, amount=Decimal(4), currency=currency)
            )

        assert self.months(story, 1)[0].total == 6

    def test_can_be_ended(self) -> None:
        story = begin_contract()
        discount = grant_discount(story.customer, rebate())
        end_discount(discount, ends_at=at(11, 15))

        assert [invoice.total for invoice in self.months(story)] == [5, 5, 10]

    @pytest.mark.parametrize(
        "odd",
        [
            Rebate("Both", OCTOBER, percent=Decimal(5), amount=Decimal(1), currency="EUR"),
            Rebate("Neither", OCTOBER),
            Rebate("Too much", OCTOBER, percent=Decimal(101)),
            Rebate("No currency", OCTOBER, amount=Decimal(1)),
            Rebate("Never", OCTOBER, percent=Decimal(5), ends_at=OCTOBER),
        ],
        ids=lambda odd: odd.name,
    )
    def test_that_no_invoice_could_have_is_refused(self, odd: Rebate) -> None:
        story = begin_contract()

        with pytest.raises(DiscountNotUsable):
            grant_discount(story.customer, odd)

    def test_of_a_price_that_no_plan_has_is_refused(self) -> None:
        story = begin_contract()

        with pytest.raises(UnknownPriceCode, match="the code 'gpu'; there are cpu"):
            grant_discount(story.customer, rebate(price_codes=("gpu",)))


@pytest.mark.usefixtures("inside")
class TestADiscountOnIssuedInvoices:
    def issued(self) -> Discount:
        """It stands on October's and November's invoices."""
        story = begin_contract()
        discount = grant_discount(story.customer, rebate())
        for month in (10, 11):
            use(story.shop, at(month, 3), cpu_us=10 * HOUR_US)
            close_next(story.subscription, as_of=at(month + 1, 2), finalize=True)
        return discount

    @pytest.mark.parametrize(
        "change",
        [
            {"percent": Decimal(10)},
            {"name": "Other"},
            {"price_codes": ["disk"]},
            {"position": 2},
            {"duration": "once"},
            {"starts_at": at(11, 1)},
            {"ends_at": at(10, 15)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_cannot_be_another_one(self, change: dict[str, object]) -> None:
        discount = self.issued()

        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            Discount.objects.filter(pk=discount.pk).update(**change)

        assert constraint_of(refused.value) == "discount_is_invoiced"

    def test_cannot_be_deleted(self) -> None:
        self.issued()

        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            Discount.objects.all().delete()

        assert constraint_of(refused.value) == "discount_is_invoiced"

    def test_can_end_after_them_and_no_earlier(self) -> None:
        discount = self.issued()

        with pytest.raises(DiscountIsInvoiced):
            end_discount(discount, ends_at=at(11, 1))

        assert end_discount(discount, ends_at=at(11, 2)).ends_at == at(11, 2)

    def test_cannot_go_on_in_what_was_invoiced_without_it(self) -> None:
        story = begin_contract()
        discount = grant_discount(story.customer, rebate(ends_at=at(10, 20)))
        for month in (10, 11):
            use(story.shop, at(month, 3), cpu_us=10 * HOUR_US)
            close_next(story.subscription, as_of=at(month + 1, 2), finalize=True)

        with pytest.raises(DiscountIsInvoiced):
            end_discount(discount, ends_at=at(12, 1))

    @pytest.mark.parametrize("subject", ["plan", "subscription"])
    def test_of_more_than_a_customer_is_kept_as_well(self, subject: str) -> None:
        story = begin_contract()
        discount = grant_discount(getattr(story, subject), rebate())
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        close_next(story.subscription, as_of=at(11, 2), finalize=True)

        with pytest.raises(IntegrityError), transaction.atomic():
            Discount.objects.filter(pk=discount.pk).update(percent=1)

    def test_can_change_while_it_stands_on_drafts_alone(self) -> None:
        story = begin_contract()
        discount = grant_discount(story.customer, rebate())
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        draft = close_next(story.subscription, as_of=at(11, 2))

        Discount.objects.filter(pk=discount.pk).update(percent=10)

        assert finalize_invoice(draft, as_of=at(11, 2)).total == 9


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("subject", ["customer", "plan", "subscription"])
class TestAtOnce:
    def drafted(self, tenant: Tenant, subject: str) -> Invoice:
        with tenant_scope(tenant.pk):
            story = begin_contract()
            grant_discount(getattr(story, subject), rebate())
            use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
            return close_next(story.subscription, as_of=at(11, 2))

    def test_finalizing_waits_for_a_change_and_has_it(self, tenant: Tenant, subject: str) -> None:
        draft = self.drafted(tenant, subject)

        meanwhile(
            tenant,
            lambda: Discount.objects.update(percent=10),
            lambda: finalize_invoice(draft, as_of=at(11, 2)),
        )

        with tenant_scope(tenant.pk):
            assert Invoice.objects.get().total == 9

    def test_a_change_waits_for_finalizing_and_is_refused(
        self, tenant: Tenant, subject: str
    ) -> None:
        draft = self.drafted(tenant, subject)

        def change() -> str | None:
            try:
                with transaction.atomic():
                    Discount.objects.update(percent=10)
            except IntegrityError as error:
                return constraint_of(error)
            return "made"

        _, answer = meanwhile(tenant, lambda: finalize_invoice(draft, as_of=at(11, 2)), change)

        assert answer == "discount_is_invoiced"
