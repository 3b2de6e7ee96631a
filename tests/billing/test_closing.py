"""Closing a billing period makes one draft invoice, whoever asks and how often."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import DatabaseError, transaction

from billing.core.periods import Period
from billing.models import Invoice, InvoiceLine, Price
from billing.operations import (
    BillingPeriodNotEnded,
    InvoiceAlreadyFinalized,
    NotABillingPeriod,
    Offer,
    VersionNotUsable,
    close_billing_period,
    close_due,
    finalize_invoice,
    publish_plan_version,
    recompute_draft,
)
from billing.queries import current_period, upcoming_invoice
from billing.tasks import close_due_periods
from metering.models import Assignment
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    OCTOBER,
    Story,
    assign,
    at,
    begin_story,
    cpu_price,
    publish,
    use,
)


def october(story: Story) -> Period:
    """October in Berlin, from the subscription's start, which is at 00:00 UTC."""
    return current_period(story.subscription, as_of=at(10, 15))


@pytest.mark.usefixtures("inside")
class TestClosing:
    def test_makes_a_draft_whose_lines_sum_to_its_total(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=1234 * HOUR_US + 1, disk_bytes=7 * 10**9)
        use(story.mail, at(10, 4), cpu_us=7 * HOUR_US, disk_bytes=5 * 10**9)

        invoice = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)

        lines = list(invoice.lines.all())
        assert invoice.status == Invoice.Status.DRAFT
        assert invoice.number is None
        assert [(line.label, line.application_name) for line in lines] == [
            ("CPU time", "shop-ltd-mail"),
            ("CPU time", "shop-ltd-shop"),
            ("Disk writes", "shop-ltd-mail"),
            ("Disk writes", "shop-ltd-shop"),
        ]
        # 1241 CPU-hours at 0.01, 10 GB at 0.05 and 2 GB at 0.04.
        assert sum(line.amount for line in lines) == invoice.total == Decimal("12.99")
        assert lines[1].raw_quantity == 1234 * HOUR_US + 1
        assert lines[1].steps[0]["kind"] == "measured"

    def test_again_returns_the_same_invoice_untouched(self) -> None:
        story = begin_story()
        first = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        second = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        assert second == first
        assert second.total == 0

    def test_ends_where_the_local_month_ends(self) -> None:
        story = begin_story()
        # Berlin is an hour ahead of UTC in November: its October ends at 23:00 UTC.
        use(story.shop, at(10, 31, 22, 55), cpu_us=100 * HOUR_US)
        use(story.shop, at(10, 31, 23, 0), cpu_us=900 * HOUR_US)
        invoice = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        assert invoice.period_end == at(10, 31, 23)
        assert invoice.total == Decimal("1.00")

    def test_refuses_a_period_that_still_runs(self) -> None:
        story = begin_story()
        with pytest.raises(BillingPeriodNotEnded, match="2026-10-31 23:00"):
            close_billing_period(story.subscription, october(story), as_of=at(10, 31, 22, 59))
        assert not Invoice.objects.exists()

    def test_refuses_bounds_that_are_not_a_billing_period(self) -> None:
        story = begin_story()
        with pytest.raises(NotABillingPeriod):
            close_billing_period(story.subscription, Period(at(10, 2), at(10, 9)), as_of=NOVEMBER)

    def test_counts_usage_inside_the_assignments_alone(self) -> None:
        story = begin_story()
        Assignment.objects.filter(application=story.shop).update(
            starts_at=at(10, 10), ends_at=at(10, 12)
        )
        assign(story.shop, story.customer, at(10, 20))
        for day, hours in ((9, 1), (10, 10), (11, 100), (12, 1_000), (19, 10_000), (20, 100_000)):
            use(story.shop, at(10, day), cpu_us=hours * 100 * HOUR_US)
        invoice = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        assert invoice.total == 10 + 100 + 100_000

    def test_equals_the_preview_at_the_periods_end(self) -> None:
        story = begin_story()
        for day in range(1, 31):
            use(story.shop, at(10, day), cpu_us=day**5 * 10**6 + 1, disk_bytes=day * 10**9 // 7)
            use(story.mail, at(10, day), cpu_us=day**6 * 10**5 + 1, disk_bytes=day * 10**9 // 11)
        last_moment = october(story).end - timedelta(microseconds=1)
        preview = upcoming_invoice(story.customer, as_of=last_moment)
        invoice = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        assert preview is not None
        assert preview.total == invoice.total
        assert [
            (UUID(line.application_id), line.label, line.raw_quantity, line.amount)
            for line in preview.lines
        ] == [
            (line.application_id, line.label, int(line.raw_quantity), line.amount)
            for line in invoice.lines.all()
        ]

    def test_closes_what_is_due_oldest_first_and_nothing_twice(self) -> None:
        story = begin_story()
        as_of = at(12, 2)
        assert [invoice.period_start for invoice in close_due(as_of=as_of)] == [
            OCTOBER,
            at(10, 31, 23),
        ]
        assert close_due(as_of=as_of) == []
        assert Invoice.objects.filter(customer=story.customer).count() == 2

    def test_ends_the_last_period_with_the_subscription(self) -> None:
        story = begin_story()
        story.subscription.ends_at = at(11, 10)
        story.subscription.save()
        invoices = close_due(as_of=at(12, 2))
        assert [invoice.period_end for invoice in invoices] == [at(10, 31, 23), at(11, 10)]

    def test_begins_where_the_last_invoice_ended_after_a_move_to_another_zone(self) -> None:
        story = begin_story()
        close_due(as_of=NOVEMBER)
        story.customer.time_zone = "America/New_York"
        story.customer.save()
        story.subscription.refresh_from_db()
        invoices = close_due(as_of=at(12, 2))
        assert [(i.period_start, i.period_end) for i in invoices] == [
            (at(10, 31, 23), at(11, 1, 4)),
            (at(11, 1, 4), at(12, 1, 5)),
        ]

    def test_leaves_a_period_without_prices_open(self) -> None:
        story = begin_story()
        story.plan.versions.update(effective_from=NOVEMBER)
        assert close_due(as_of=NOVEMBER) == []

    def test_recomputes_a_draft_with_late_usage(self) -> None:
        story = begin_story()
        draft = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        again = recompute_draft(draft)
        assert again.total == Decimal("1.00")
        assert InvoiceLine.objects.filter(invoice=draft).count() == 1


@pytest.mark.usefixtures("inside")
class TestPlanVersions:
    def test_rate_the_periods_that_start_once_they_are_in_effect(self) -> None:
        story = begin_story()
        publish(story.plan, cpu_price("0.03"), effective_from=at(10, 15))
        use(story.shop, at(10, 20), cpu_us=100 * HOUR_US)
        use(story.shop, at(11, 20), cpu_us=100 * HOUR_US)
        assert [invoice.total for invoice in close_due(as_of=at(12, 2))] == [1, 3]

    def test_cannot_change_once_an_invoice_used_them(self) -> None:
        story = begin_story()
        close_due(as_of=NOVEMBER)
        version = story.plan.versions.get()
        price = version.prices.get(position=1)
        changes = (
            lambda: version.prices.filter(position=1).update(allowance=5),
            lambda: version.prices.filter(position=2).delete(),
            lambda: Price(
                plan_version=version, position=3, label="More", meter="cpu.time",
                aggregation="sum", unit="CPU-hour", unit_price=Decimal(1),
            ).save(force_insert=True),
            lambda: story.plan.versions.update(effective_from=NOVEMBER),
            lambda: type(story.plan).objects.update(currency="CHF"),
        )  # fmt: skip
        for change in changes:
            with (
                pytest.raises(DatabaseError, match="an invoice has used this plan"),
                transaction.atomic(),
            ):
                change()
        price.refresh_from_db()
        assert price.allowance == 0

    def test_are_numbered_one_after_the_other(self) -> None:
        story = begin_story()
        second = publish_plan_version(story.plan, Offer([cpu_price()], at(2, 1)))
        assert second.number == 2

    def test_never_take_effect_before_the_one_they_follow(self) -> None:
        story = begin_story()
        with pytest.raises(VersionNotUsable, match="2026-01-01"):
            publish_plan_version(story.plan, Offer([cpu_price()], datetime(2025, 1, 1, tzinfo=UTC)))

    def test_need_a_price_that_can_be_rated(self) -> None:
        story = begin_story()
        price = cpu_price()
        price.unit = "GB-hour"
        with pytest.raises(ValueError, match=r"cpu\.time is not measured in GB-hour"):
            publish_plan_version(story.plan, Offer([price], at(2, 1)))
        with pytest.raises(VersionNotUsable):
            publish_plan_version(story.plan, Offer([], at(2, 1)))


@pytest.mark.usefixtures("inside")
class TestFinalizing:
    def test_numbers_the_invoice_once(self) -> None:
        story = begin_story()
        draft = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        first = finalize_invoice(draft, as_of=NOVEMBER)
        second = finalize_invoice(draft, as_of=at(11, 2))
        assert (first.number, first.finalized_at) == (1, NOVEMBER)
        assert (second.number, second.finalized_at) == (1, NOVEMBER)

    def test_includes_what_arrived_after_the_draft(self) -> None:
        story = begin_story()
        draft = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        assert finalize_invoice(draft, as_of=NOVEMBER).total == 1

    def test_makes_the_invoice_unchangeable(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        draft = close_billing_period(story.subscription, october(story), as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        with pytest.raises(InvoiceAlreadyFinalized):
            recompute_draft(invoice)
        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(total=0)
        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            invoice.lines.update(amount=0)
        with pytest.raises(DatabaseError, match="finalized"), transaction.atomic():
            invoice.lines.all().delete()

    def test_leaves_no_gap_when_it_is_rolled_back(self) -> None:
        begin_story()
        october_draft, november_draft = close_due(as_of=at(12, 2))
        with transaction.atomic():
            assert finalize_invoice(october_draft, as_of=NOVEMBER).number == 1
            transaction.set_rollback(True)
        assert finalize_invoice(november_draft, as_of=at(12, 2)).number == 1
        assert finalize_invoice(october_draft, as_of=at(12, 2)).number == 2


class TestNumbering:
    def test_is_each_tenants_own(self, tenant: Tenant, other_tenant: Tenant) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                begin_story()
                (draft,) = close_due(as_of=NOVEMBER)
                assert finalize_invoice(draft, as_of=NOVEMBER).number == 1


@pytest.mark.django_db(transaction=True)
class TestTwoWorkersAtOnce:
    def test_close_one_invoice(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
            period = october(story)

        def close() -> UUID:
            return close_billing_period(story.subscription, period, as_of=NOVEMBER).pk

        assert len(set(at_once(tenant.pk, close, close))) == 1
        with tenant_scope(tenant.pk):
            invoice = Invoice.objects.get()
            assert invoice.total == sum(line.amount for line in invoice.lines.all()) == 1

    def test_give_one_invoice_one_number(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            begin_story()
            (draft,) = close_due(as_of=NOVEMBER)

        def finalize() -> int | None:
            return finalize_invoice(draft, as_of=NOVEMBER).number

        assert at_once(tenant.pk, finalize, finalize) == [1, 1]

    def test_give_different_invoices_consecutive_numbers(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            begin_story("first", "First")
            begin_story("second", "Second")
            drafts = close_due(as_of=at(12, 2))

        def finalizing(draft: Invoice) -> int:
            return finalize_invoice(draft, as_of=at(12, 2)).number or 0

        numbers = at_once(tenant.pk, *(lambda draft=draft: finalizing(draft) for draft in drafts))
        assert sorted(numbers) == [1, 2, 3, 4]


@pytest.mark.django_db(transaction=True)
class TestTheTask:
    def test_closes_every_tenants_due_periods_once(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                begin_story()
        assert close_due_periods() >= 2
        assert close_due_periods() == 0
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                assert Invoice.objects.filter(period_start=OCTOBER).count() == 1
