"""Rollups follow the samples, whatever their order, and equal what the pure aggregation says."""

import os
import random
import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError, ProgrammingError, connection, connections, transaction
from django.utils import timezone
from hostmeter_agent.wire import METERS
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from metering.core.aggregation import Aggregate, MeasuredWindow, RollupKey, aggregates
from metering.core.hours import hour_of
from metering.models import DirtyBucket, Instance, Sample
from metering.queries import rollups_of
from metering.rollup_models import HourRollup, Rollup
from metering.rollups import roll_up
from metering.tasks import keep_partitions, roll_up_all
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample

METER_NAMES = [meter.name for meter in METERS] + ["gpu.time", "gpu.used.max", "a.b_c"]


def measured(tenant: Tenant) -> list[MeasuredWindow]:
    """Every stored sample, as the pure aggregation takes it."""
    with tenant_scope(tenant.pk):
        return [
            MeasuredWindow(
                application_id=row.application_id,
                instance_id=row.instance_id,
                role=row.role,
                start=row.window_start,
                end=row.window_end,
                coverage_ppm=row.coverage_ppm,
                usage=usage_of(row),
                measurement=row.measurement_id,
            )
            for row in Sample.objects.all()
        ]


def usage_of(row: Any) -> dict[str, int]:
    built_in = {meter.name: getattr(row, meter.column) for meter in METERS}
    return {k: int(v) for k, v in built_in.items() if v is not None} | (row.more or {})


def stored(tenant: Tenant) -> dict[RollupKey, Aggregate]:
    with tenant_scope(tenant.pk):
        return {
            RollupKey(row.application_id, row.bucket_start, row.instance_id, row.role): Aggregate(
                row.samples,
                row.window_us,
                row.covered_us,
                usage_of(row),
                frozenset(row.measurements),
            )
            for row in Rollup.objects.all()
        }


def hours(tenant: Tenant) -> dict[tuple[UUID, datetime, str], frozenset[UUID | None]]:
    """The profiles of the stored hours."""
    with tenant_scope(tenant.pk):
        return {
            (row.application_id, row.bucket_start, row.role): frozenset(row.measurements)
            for row in HourRollup.objects.all()
        }


def hours_of(
    rollups: dict[RollupKey, Aggregate],
) -> dict[tuple[UUID, datetime, str], frozenset[UUID | None]]:
    gathered: dict[tuple[UUID, datetime, str], frozenset[UUID | None]] = {}
    for key, rollup in rollups.items():
        hour = (key.application_id, hour_of(key.bucket_start), key.role)
        gathered[hour] = gathered.get(hour, frozenset()) | rollup.measurements
    return gathered


quantities = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 1_000))
starts = st.integers(0, 3 * 300_000_000 - 1)


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    start_us = draw(starts)
    left_us = 300_000_000 - start_us % 300_000_000
    start = last_bucket() - timedelta(minutes=10) + timedelta(microseconds=start_us)
    end = start + timedelta(microseconds=draw(st.integers(1, left_us)))
    return sample(
        application=draw(st.sampled_from(["shop", "mail"])),
        instance=draw(st.sampled_from(["one", "two"])),
        role=draw(st.sampled_from(["primary", "replica", "standby"])),
        window=[start.isoformat(), end.isoformat()],
        coverage=draw(st.floats(0, 1)),
        usage=draw(st.dictionaries(st.sampled_from(METER_NAMES), quantities, max_size=64)),
        measured=draw(st.sampled_from([None, "a", "b", "c"])),
    )


MEASUREMENTS = {
    "a": {"meters": {"cpu.time": ["exact", "cgroup/2"]}},
    "b": {"meters": {"cpu.time": ["estimated", "ticks/1"]}, "marks": ["clock-step"]},
    "c": {"gap": "agent-stopped"},
}


class TestRollups:
    @hypothesis_settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(batches=st.lists(st.lists(samples(), min_size=1, max_size=12), min_size=1, max_size=3))
    def test_equal_the_pure_aggregation(
        self, agent: Agent, batches: list[list[dict[str, Any]]]
    ) -> None:
        for each in batches:
            document = batch(*each, measurements=MEASUREMENTS)
            assert agent.deliver(document).status_code == 200
            roll_up(agent.tenant.pk)
        assert stored(agent.tenant) == aggregates(measured(agent.tenant))
        assert hours(agent.tenant) == hours_of(stored(agent.tenant))

    def test_follow_late_usage(self, agent: Agent) -> None:
        agent.deliver(batch(sample(usage={"cpu.time": 5, "memory.used.max": 3})))
        assert roll_up(agent.tenant.pk) == 1
        agent.deliver(batch(sample(usage={"cpu.time": 7, "memory.used.max": 2})))
        assert roll_up(agent.tenant.pk) == 1
        assert roll_up(agent.tenant.pk) == 0
        (rollup,) = stored(agent.tenant).values()
        assert rollup == Aggregate(
            2, 20_000_000, 20_000_000, {"cpu.time": 12, "memory.used.max": 3}
        )

    def test_of_scattered_buckets_are_all_computed(self, agent: Agent) -> None:
        chance = random.Random(7)  # noqa: S311
        days = chance.sample(range(390), 20)
        starts = [last_bucket() - timedelta(days=day, minutes=5 * (day % 3)) for day in days]
        windows = [[s.isoformat(), (s + timedelta(seconds=1)).isoformat()] for s in starts]
        agent.deliver(batch(*(sample(window=window) for window in windows)))
        assert roll_up_all() == 20
        assert stored(agent.tenant) == aggregates(measured(agent.tenant))

    def test_stay_inside_their_tenant(self, agent: Agent, other_tenant: Tenant) -> None:
        Agent(other_tenant).enrol().deliver(batch())
        agent.deliver(batch())
        assert roll_up(agent.tenant.pk) == 1
        assert stored(other_tenant) == {}
        with tenant_scope(other_tenant.pk):
            assert DirtyBucket.objects.count() == 1

    def test_are_named_for_the_reader(self, agent: Agent) -> None:
        agent.deliver(batch(sample(usage={"cpu.time": 5, "gpu": 2**63 - 1})))
        agent.deliver(batch(sample(usage={"gpu": 2**63 - 1})))
        roll_up(agent.tenant.pk)
        with tenant_scope(agent.tenant.pk):
            application_id = Instance.objects.get().application_id
            end = last_bucket() + timedelta(minutes=5)
            (row,) = rollups_of(application_id, last_bucket(), end, limit=10)
        assert (row.host, row.instance, row.samples) == ("web-1", "shop-1", 2)
        assert row.usage == {"cpu.time": 5, "gpu": 2**64 - 2}


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_leave_no_bucket_behind(tenant: Tenant) -> None:
    agent = Agent(tenant).enrol()
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.is_set():
                roll_up(tenant.pk)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for number in range(30):
        usage = {"cpu.time": number + 1}
        documents = batch(*(sample(application=name, usage=usage) for name in ("a", "b", "c")))
        assert agent.deliver(documents).status_code == 200
    stop.set()
    for worker in workers:
        worker.join()
    roll_up(tenant.pk)
    assert not failures
    assert [rollup.usage["cpu.time"] for rollup in stored(tenant).values()] == [465] * 3


PARTITIONS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits "
    "WHERE inhparent = 'metering_sample_store'::regclass"
)


def changed_partitions(owner: "psycopg.Connection[Any]", as_of: datetime) -> int:
    row = owner.execute("SELECT metering_keep_partitions_at(%s, 401)", [as_of]).fetchone()
    return int(row[0]) if row else 0


def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        return {name for (name,) in cursor.fetchall()}


class TestPartitions:
    def test_reach_from_the_oldest_accepted_window_into_next_month(self, tenant: Tenant) -> None:
        keep_partitions()
        now = timezone.now()
        for day in (now - timedelta(days=400), now, now + timedelta(days=31)):
            assert f"metering_sample_{day:%Y%m}" in partitions()

    @pytest.mark.django_db(transaction=True)
    def test_are_made_ahead_and_dropped_by_retention(self, agent: Agent) -> None:
        agent.deliver(batch())
        this_month = f"metering_sample_{last_bucket():%Y%m}"
        later = timezone.now() + timedelta(days=500)
        # The owner alone may name an instant, and takes it all back.
        with psycopg.connect(os.environ["DATABASE_URL"]) as owner:
            assert changed_partitions(owner, later) > 0
            names = {name for (name,) in owner.execute(PARTITIONS).fetchall()}
            assert changed_partitions(owner, later) == 0
            owner.rollback()
        assert f"metering_sample_{later:%Y%m}" in names
        assert this_month not in names
        assert len(measured(agent.tenant)) == 1

    def test_are_dropped_by_the_servers_clock_alone(self, agent: Agent) -> None:
        agent.deliver(batch())
        keep_partitions()
        before = partitions()
        for call in (
            "metering_keep_partitions('2040-01-01', 0)",
            "metering_keep_partitions_at('2040-01-01', 0)",
        ):
            with (
                pytest.raises(ProgrammingError),
                transaction.atomic(),
                connection.cursor() as asked,
            ):
                asked.execute(f"SELECT {call}")
        for retention_days in (-1, 0, 400):
            with connection.cursor() as cursor:
                cursor.execute("SELECT metering_keep_partitions(%s)", [retention_days])
        assert partitions() == before
        assert len(measured(agent.tenant)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_tenant_that_fails_leaves_the_others_rolled_up(
    tenant: Tenant,
    other_tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agents = [Agent(each).enrol() for each in (tenant, other_tenant)]
    for each in agents:
        each.deliver(batch())

    def failing(tenant_id: UUID) -> int:
        if tenant_id == min(tenant.pk, other_tenant.pk):
            raise DatabaseError("out of luck")
        return roll_up(tenant_id)

    monkeypatch.setattr("metering.tasks.roll_up", failing)
    assert roll_up_all() == 1
    assert "its usage is not rolled up" in caplog.text
