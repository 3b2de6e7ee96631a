"""What the installation's owner sees of a tenant, and the limits on what it delivers."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.tasks import note_tenants_usage
from metering.known_hosts import known_hosts
from metering.models import Sample
from metering.tenant_usage import note_usage, prune_samples
from tenants.models import Tenant
from tenants.rates import rates
from tenants.scope import installation_scope, tenant_scope
from tenants.usage_models import TenantUsage
from tests.metering.delivering import Agent, batch, last_bucket, sample
from tests.metering.test_ingest import accepted


class TestFigures:
    def test_tell_what_a_tenant_delivers(self, agent: Agent, tenant: Tenant) -> None:
        accepted(agent.deliver(batch(sample(), sample(instance="shop-2"))))
        as_of = timezone.now()
        with tenant_scope(tenant.pk):
            usage = note_usage(as_of=as_of, open_jobs=3)
        assert (usage.hosts, usage.late_hosts, usage.applications) == (1, 0, 1)
        assert (usage.samples, usage.open_jobs) == (2, 3)
        assert usage.storage_bytes > 0
        assert usage.last_batch_at is not None

    def test_a_repeated_batch_is_counted_once(self, agent: Agent, tenant: Tenant) -> None:
        sent = batch()
        for _ in range(2):
            accepted(agent.deliver(sent))
        with tenant_scope(tenant.pk):
            assert note_usage(as_of=timezone.now(), open_jobs=0).samples == 1

    def test_are_one_row_a_day_however_often_they_are_counted(
        self, agent: Agent, tenant: Tenant
    ) -> None:
        noon = timezone.now().replace(hour=12, minute=0)
        with tenant_scope(tenant.pk):
            note_usage(as_of=noon, open_jobs=0)
        accepted(agent.deliver(batch()))
        with tenant_scope(tenant.pk):
            note_usage(as_of=noon + timedelta(minutes=1), open_jobs=0)
            (row,) = TenantUsage.objects.all()
        assert row.samples_per_minute == 1

    def test_count_a_host_that_is_silent_as_late(self, agent: Agent, tenant: Tenant) -> None:
        accepted(agent.deliver(batch()))
        with tenant_scope(tenant.pk):
            later = timezone.now() + timedelta(hours=1)
            assert note_usage(as_of=later, open_jobs=0).late_hosts == 1

    @pytest.mark.django_db(transaction=True)
    def test_are_read_by_the_installation_and_not_by_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        assert note_tenants_usage() == 2
        with installation_scope():
            assert TenantUsage.objects.count() == 2
        with tenant_scope(tenant.pk):
            assert {each.tenant_id for each in TenantUsage.objects.all()} == {tenant.pk}


class TestSamplesASecond:
    def test_beyond_the_limit_the_host_is_asked_to_wait(self, agent: Agent, tenant: Tenant) -> None:
        with installation_scope():
            Tenant.objects.filter(pk=tenant.pk).update(samples_per_second_max=1)
        known_hosts.forget()
        rates.forget()
        hundred = [sample(instance=f"shop-{number}") for number in range(100)]
        answers = [agent.deliver(batch(*hundred)) for _ in range(4)]
        # A minute may end between two batches; the first of each is taken whole.
        assert answers[0].status_code == 200
        refused = [each for each in answers if each.status_code == 429]
        assert 2 <= len(refused) <= 3
        assert "1 samples a second" in refused[0].json()["detail"]
        assert 1 <= int(refused[0]["Retry-After"]) <= 60

    def test_without_a_limit_nothing_is_refused(self, agent: Agent) -> None:
        hundred = [sample(instance=f"shop-{number}") for number in range(100)]
        for _ in range(3):
            accepted(agent.deliver(batch(*hundred)))


class TestRetention:
    def test_of_a_tenants_own_ends_its_samples_alone(
        self, tenant: Tenant, other_tenant: Tenant, settings: object
    ) -> None:
        settings.SAMPLE_RETENTION_DAYS = 3_650  # type: ignore[attr-defined]
        for each in (tenant, other_tenant):
            accepted(Agent(each).enrol().deliver(batch()))
        with installation_scope():
            Tenant.objects.filter(pk=tenant.pk).update(retention_days=401)
        with tenant_scope(tenant.pk):
            assert prune_samples(as_of=last_bucket() + timedelta(days=400)) == 0
            assert prune_samples(as_of=last_bucket() + timedelta(days=440)) == 1
            assert not Sample.objects.exists()
        with tenant_scope(other_tenant.pk):
            assert prune_samples(as_of=last_bucket() + timedelta(days=440)) == 0
            assert Sample.objects.count() == 1
