"""What was there when somebody looked, whatever the clocks say."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from metering.cuts import Cut, take_cut
from metering.models import DirtyBucket, SampleBatch
from metering.usage_rows import UsagePeriod
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample

pytestmark = pytest.mark.django_db(transaction=True)


def a_cut(tenant: Tenant) -> Cut:
    with tenant_scope(tenant.pk):
        cut = take_cut([])
    assert cut is not None
    return cut


def held(tenant: Tenant, cut: Cut) -> int:
    with tenant_scope(tenant.pk):
        return SampleBatch.objects.filter(cut.holds("received_at")).count()


def received(tenant: Tenant, moment: datetime) -> None:
    with tenant_scope(tenant.pk):
        SampleBatch.objects.update(received_at=moment)


@pytest.fixture
def agent(tenant: Tenant) -> Agent:
    return Agent(tenant).enrol()


class TestACut:
    def test_holds_what_was_stored_before_it_and_no_more(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        agent.deliver(batch())
        between = a_cut(tenant)
        agent.deliver(batch())
        assert (held(tenant, between), held(tenant, a_cut(tenant))) == (1, 2)

    def test_lacks_what_was_received_before_it_and_stored_after(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        """The transaction is under way while the cut is taken by another."""

        def cut_elsewhere() -> Cut:
            try:
                return a_cut(tenant)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool, tenant_scope(tenant.pk):
            agent.deliver(batch())
            cut = pool.submit(cut_elsewhere).result(30)
        received(tenant, cut.at - timedelta(minutes=1))
        assert held(tenant, cut) == 0

    def test_holds_what_was_stored_before_it_by_a_clock_that_is_ahead(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        agent.deliver(batch())
        received(tenant, timezone.now() + timedelta(minutes=5))
        assert held(tenant, a_cut(tenant)) == 1

    def test_tells_what_its_own_transaction_stores_by_time(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        with tenant_scope(tenant.pk):
            agent.deliver(batch())
            cut = take_cut([])
            agent.deliver(batch())
        assert cut is not None
        assert held(tenant, cut) == 1

    def test_lacks_what_is_stored_after_a_dump_was_restored_where_ids_are_lower(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        agent.deliver(batch())
        cut = replace(a_cut(tenant), snapshot=f"{2**60 + 10}:{2**60 + 10}:")
        assert held(tenant, cut) == 1
        received(tenant, cut.at + timedelta(hours=2))
        assert held(tenant, cut) == 0

    def test_is_told_by_time_where_no_snapshot_was_kept(self, tenant: Tenant, agent: Agent) -> None:
        agent.deliver(batch())
        now = timezone.now()
        assert [held(tenant, Cut(now - timedelta(hours=at))) for at in (0, 1)] == [1, 0]

    def test_is_not_taken_while_usage_of_its_periods_is_not_rolled_up(
        self, tenant: Tenant, agent: Agent
    ) -> None:
        agent.deliver(batch(sample()))
        with tenant_scope(tenant.pk):
            (mark,) = DirtyBucket.objects.all()
            of_it = UsagePeriod(
                mark.application_id, last_bucket(), last_bucket() + timedelta(hours=1)
            )
            before = replace(of_it, start=of_it.start - timedelta(days=1), end=of_it.start)
            assert take_cut([of_it]) is None
            assert take_cut([before]) is not None
