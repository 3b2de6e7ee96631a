"""What the database itself holds to, whoever writes at the same time."""

from collections.abc import Callable
from decimal import Decimal
from threading import Event
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.models import Invoice, InvoiceLine, Plan, Price, Subscription
from billing.operations import (
    SubscriptionsOverlap,
    close_billing_period,
    close_due,
    finalize_invoice,
    subscribe,
)
from billing.queries import current_period
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.timeline import HOUR_US, NOVEMBER, OCTOBER, Story, at, begin_story, use


def used_story() -> Story:
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=123_456 * HOUR_US // 1000)
    return story


def meanwhile(
    tenant: Tenant, change: Callable[[], object], work: Callable[[], object]
) -> list[object]:
    """`work` begins while `change` is made and not committed."""
    made, done = Event(), Event()

    def changing() -> object:
        result = change()
        made.set()
        done.wait(1)
        return result

    def working() -> object:
        assert made.wait(30)
        try:
            return work()
        finally:
            done.set()

    return at_once(tenant.pk, changing, working)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_a_line_is_never_added_to_what_is_being_finalized(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            used_story()
            (draft,) = close_due(as_of=NOVEMBER)

        def add_line() -> None:
            line = InvoiceLine.objects.get()
            line.pk, line.position, line.amount = uuid4(), 99, line.amount + 777
            line.save(force_insert=True)

        meanwhile(tenant, add_line, lambda: finalize_invoice(draft, as_of=NOVEMBER))
        with tenant_scope(tenant.pk):
            invoice = Invoice.objects.get()
            assert invoice.number == 1
            assert sum(line.amount for line in invoice.lines.all()) == invoice.total

    def test_a_change_of_currency_is_read_by_the_closing_that_waited(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = used_story()
            period = current_period(story.subscription, as_of=at(10, 15))

        meanwhile(
            tenant,
            lambda: Plan.objects.update(currency="JPY"),
            lambda: close_billing_period(story.subscription, period, as_of=NOVEMBER),
        )
        with tenant_scope(tenant.pk):
            invoice = Invoice.objects.get()
            assert (invoice.currency, invoice.total) == ("JPY", Decimal(1))

    def test_two_subscriptions_of_one_customer_are_one(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            Subscription.objects.update(ends_at=at(10, 2))

        def subscribed() -> str:
            try:
                subscribe(story.customer, story.plan, starts_at=at(10, 5))
            except SubscriptionsOverlap:
                return "refused"
            return "made"

        assert sorted(at_once(tenant.pk, subscribed, subscribed)) == ["made", "refused"]


@pytest.mark.usefixtures("inside")
class TestRules:
    def test_the_lines_of_an_issued_invoice_come_to_its_total(self) -> None:
        used_story()
        (draft,) = close_due(as_of=NOVEMBER)
        with pytest.raises(DatabaseError, match="its total is"), transaction.atomic():
            self.issue(draft, draft.total + 1)

    def issue(self, draft: Invoice, total: Decimal) -> None:
        Invoice.objects.filter(pk=draft.pk).update(
            total=total, status="finalized", number=1, finalized_at=NOVEMBER
        )
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def test_subscriptions_of_a_customer_never_overlap(self) -> None:
        story = begin_story()
        Subscription.objects.update(ends_at=NOVEMBER)
        with pytest.raises(SubscriptionsOverlap):
            subscribe(story.customer, story.plan, starts_at=at(10, 15))
        later = subscribe(story.customer, story.plan, starts_at=NOVEMBER)
        with pytest.raises(IntegrityError, match="another subscription"), transaction.atomic():
            Subscription.objects.filter(pk=later.pk).update(starts_at=OCTOBER)

    def test_two_prices_may_change_places(self) -> None:
        story = begin_story()
        first, second = Price.objects.order_by("position")
        for price, position in ((first, 2), (second, 1)):
            price.position = position
            price.save()
        assert list(story.plan.versions.get().prices.order_by("position")) == [second, first]
