"""Billing runs: whoever works on them, and however they are cut off, each period is closed once."""

import os
from datetime import timedelta

import psycopg
import pytest

from billing.bench.closing import measure_billing
from billing.closing import begin_closing, close_shards, close_tenant
from billing.models import BillingRun, BillingShard, Invoice
from billing.operations import runs
from billing.operations.runs import close_next_shard, start_run
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.test_failures_stay_alone import refuse_drafts_of
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

LATER = NOVEMBER + timedelta(hours=1)


@pytest.fixture
def one_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SUBSCRIPTIONS_PER_SHARD", 1)


def stories(tenant: Tenant, count: int) -> None:
    """So many customers, each with an hour of CPU time in October."""
    with tenant_scope(tenant.pk):
        for number in range(count):
            story = begin_story(f"customer-{number}", f"Customer {number}")
            use(story.shop, at(10, 3), cpu_us=HOUR_US)


def references(tenant: Tenant) -> list[str]:
    with tenant_scope(tenant.pk):
        invoices = Invoice.objects.order_by("customer__reference")
        return list(invoices.values_list("customer__reference", flat=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("one_a_shard")
class TestARun:
    def test_closes_each_period_once_however_many_work_on_it(self, tenant: Tenant) -> None:
        stories(tenant, 6)
        run = begin_closing(tenant.pk, as_of=NOVEMBER)
        assert run is not None

        def work() -> int:
            drafted = 0
            while (closed := close_next_shard(run, at=LATER)) is not None:
                drafted += len(closed.invoices)
            return drafted

        assert sum(at_once(tenant.pk, work, work)) == 6
        assert references(tenant) == [f"customer-{number}" for number in range(6)]

    def test_that_was_cut_off_is_taken_up_where_it_stopped(self, tenant: Tenant) -> None:
        stories(tenant, 3)
        run = begin_closing(tenant.pk, as_of=NOVEMBER)
        assert run is not None
        next(iter(close_shards(tenant.pk, run.pk)))
        again = begin_closing(tenant.pk, as_of=LATER)
        assert again == run
        assert len(list(close_shards(tenant.pk, run.pk))) == 2
        assert references(tenant) == ["customer-0", "customer-1", "customer-2"]

    def test_has_its_invoices_counted_so_that_their_keys_are_looked_up(
        self, tenant: Tenant
    ) -> None:
        stories(tenant, 3)
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as owner:
            # As when it was made: nothing is known of it.
            owner.execute("TRUNCATE billing_invoice CASCADE")
            close_tenant(tenant.pk, as_of=NOVEMBER)
            counted = owner.execute(
                "SELECT reltuples FROM pg_class WHERE relname = 'billing_invoice'"
            ).fetchone()
        assert counted is not None
        assert counted[0] > 0

    def test_leaves_a_shard_as_it_was_when_its_work_is_undone(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stories(tenant, 1)
        run = begin_closing(tenant.pk, as_of=NOVEMBER)
        assert run is not None

        def cut_off(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(BillingShard, "save", cut_off)
            with pytest.raises(KeyboardInterrupt):
                next(close_shards(tenant.pk, run.pk))
        assert references(tenant) == []
        assert sum(len(closed.invoices) for closed in close_shards(tenant.pk, run.pk)) == 1

    def test_says_what_it_could_not_close_and_tries_it_again_in_the_next(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stories(tenant, 2)
        with monkeypatch.context() as patch:
            refuse_drafts_of("customer-1", patch)
            outcome = close_tenant(tenant.pk, as_of=NOVEMBER)
        assert [str(failure) for failure in outcome.failures] == ["customer-1: division by zero"]
        with tenant_scope(tenant.pk):
            failures = BillingShard.objects.values_list("failures", flat=True)
            assert [each for each in failures if each] == [[["customer-1", "division by zero"]]]
        assert len(close_tenant(tenant.pk, as_of=LATER).invoices) == 1
        assert references(tenant) == ["customer-0", "customer-1"]

    def test_is_begun_once_where_two_begin_it(self, tenant: Tenant) -> None:
        stories(tenant, 2)

        def begin() -> BillingRun | None:
            return start_run(as_of=NOVEMBER, at=NOVEMBER)

        first, second = at_once(tenant.pk, begin, begin)
        assert first == second is not None
        with tenant_scope(tenant.pk):
            assert BillingShard.objects.count() == 2

    def test_of_nothing_is_none(self, tenant: Tenant) -> None:
        assert begin_closing(tenant.pk, as_of=NOVEMBER) is None


@pytest.mark.django_db(transaction=True)
class TestTheBenchmark:
    def test_closes_a_month_in_workers_that_are_killed_on_the_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        figures = measure_billing(120, kills=1, previews=2, progress=lambda line: None)
        assert (figures.invoices, figures.lines, figures.workers_killed) == (120, 7_200, 1)
        assert figures.upcoming_p99_ms >= figures.upcoming_p50_ms > 0
