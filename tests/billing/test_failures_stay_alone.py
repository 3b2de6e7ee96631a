"""What cannot be closed or finalized holds nothing else back."""

import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection

from billing import closing
from billing.closing import close_tenant
from billing.models import Invoice, Price, Subscription
from billing.operations import close_due, drafting, finalize_invoice
from billing.operations.taxing import Document, store
from billing.tasks import close_due_periods
from metering.models import Host
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US, NOVEMBER, OCTOBER, at, begin_story, publish, use


def customers_billed(tenant: Tenant) -> set[str]:
    with tenant_scope(tenant.pk):
        return set(Invoice.objects.values_list("customer__reference", flat=True))


def failing_for(reference: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """As `work`, but for one customer the database fails."""

    def done(subject: Subscription | Invoice, *args: Any, **options: Any) -> Any:
        if subject.customer.reference == reference:
            raise DatabaseError("numeric field overflow\nand more on another line")
        return work(subject, *args, **options)

    return done


def refuse_drafts_of(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database refuses whatever is stored of one customer's drafts."""

    def stored(documents: Sequence[Document]) -> None:
        if any(each.invoice.customer_reference == reference for each in documents):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        store(documents)

    monkeypatch.setattr(drafting, "store", stored)


@pytest.mark.usefixtures("inside")
def test_the_largest_usage_that_the_contract_allows_is_billed() -> None:
    story = begin_story()
    price = Price(
        label="Requests", meter="transactions", aggregation="sum", unit="one",
        unit_price=Decimal("0.01"),
    )  # fmt: skip
    publish(story.plan, price, effective_from=at(1, 2))
    use(story.shop, at(10, 3), transactions=2**63 - 1)
    (invoice,) = close_due(as_of=NOVEMBER)
    invoice.refresh_from_db()
    assert invoice.total == Decimal("92233720368547758.07")


class TestTheTask:
    def test_closes_the_other_subscriptions_and_tenants(
        self,
        tenant: Tenant,
        other_tenant: Tenant,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                begin_story("broken", "One")
                begin_story("sound", "Two")
        refuse_drafts_of("broken", monkeypatch)
        close_due_periods()
        assert customers_billed(tenant) == customers_billed(other_tenant) == {"sound"}
        assert "broken: division by zero" in caplog.text

    def test_goes_on_after_a_tenant_that_fails_as_a_whole(
        self,
        tenant: Tenant,
        other_tenant: Tenant,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                begin_story()
        first = min(tenant, other_tenant, key=lambda each: each.pk)

        def roll_up(tenant_id: object) -> int:
            if tenant_id == first.pk:
                raise DatabaseError("out of luck")
            return 0

        monkeypatch.setattr(closing, "roll_up", roll_up)
        close_due_periods()
        assert customers_billed(first) == set()
        assert customers_billed(other_tenant if first == tenant else tenant) == {"shop-ltd"}
        assert "nothing was closed" in caplog.text


class TestTheCommand:
    def run(self, *arguments: str) -> tuple[str, str]:
        out, error = io.StringIO(), io.StringIO()
        options = ("--tenant", "first-host", "--as-of", "2026-11-02T00:00Z", *arguments)
        try:
            call_command("close_billing_period", *options, stdout=out, stderr=error)
        except CommandError as refusal:
            error.write(f"CommandError: {refusal}")
        return out.getvalue(), error.getvalue()

    def test_reports_a_failure_in_one_line_and_goes_on(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tenant_scope(tenant.pk):
            begin_story("broken", "One")
            begin_story("sound", "Two")
        refuse_drafts_of("broken", monkeypatch)
        out, error = self.run()
        assert out.startswith("draft: sound")
        assert error.splitlines() == [
            "failed: broken: division by zero",
            "CommandError: 1 failed; what else was due is done",
        ]

    def test_finalizes_the_others(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        with tenant_scope(tenant.pk):
            begin_story("broken", "One")
            begin_story("sound", "Two")
        monkeypatch.setattr(closing, "finalize_invoice", failing_for("broken", finalize_invoice))
        out, error = self.run("--finalize")
        assert out.startswith("invoice 1: sound")
        assert "failed: broken" in error

    def test_without_a_database_says_so_in_one_line(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: object, **__: object) -> None:
            raise OperationalError("connection refused\nIs the server running?")

        monkeypatch.setattr(
            "billing.management.commands.close_billing_period.close_tenant", unreachable
        )
        assert self.run() == ("", "CommandError: the database cannot be used: connection refused")

    def test_leaves_a_draft_whose_usage_is_not_known_to_the_periods_end(
        self, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
            Host.objects.update(last_seen_at=at(10, 20), last_window_end=at(10, 20))
        out, error = self.run("--finalize")
        assert out == ""
        assert "draft: shop-ltd" in error
        assert "not known to the period's end" in error
        out, _ = self.run("--finalize", "--incomplete")
        assert out.startswith("invoice 1: shop-ltd")

    def test_finalizes_after_a_silent_host_that_delivered_the_whole_period(
        self, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            story = begin_story()
            use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
            Host.objects.update(last_seen_at=at(11, 1), last_window_end=at(11, 1))
        assert self.run("--finalize")[0].startswith("invoice 1: shop-ltd")


@pytest.mark.usefixtures("inside")
class TestAPeriodWithoutPrices:
    def test_is_closed_once_it_has_some(self, tenant: Tenant) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        story.plan.versions.update(effective_from=at(10, 31, 23))
        as_of = at(12, 2)
        assert [i.period_start for i in close_tenant(tenant.pk, as_of=as_of).invoices] == [
            at(10, 31, 23)
        ]
        story.plan.versions.create(number=2, effective_from=at(1, 2)).prices.create(
            position=1, label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-hour",
            unit_price=Decimal("0.05"),
        )  # fmt: skip
        (invoice,) = close_tenant(tenant.pk, as_of=as_of).invoices
        assert (invoice.period_start, invoice.period_end) == (OCTOBER, at(10, 31, 23))
        assert invoice.total == 5
        assert close_tenant(tenant.pk, as_of=as_of).invoices == []
