"""Corrections are records; rollups follow them and equal the definition."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from metering.core import corrections as core
from metering.core.aggregation import aggregates
from metering.core.buckets import BUCKET
from metering.corrections import (
    STANDS_FOR_APPLICATION,
    CorrectionNotUsable,
    corrections_of,
    delete_usage,
    replace_usage,
)
from metering.models import Application, DirtyBucket, Instance
from metering.rollup_models import Rollup
from metering.rollups import roll_up
from metering.stated_models import Correction
from metering.usage import usage_by_application
from metering.usage_rows import UsagePeriod
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import Agent, batch, last_bucket, sample
from tests.metering.test_rollups import measured, stored

BUCKETS = 6


@pytest.fixture
def first(agent: Agent) -> datetime:
    """The start of six buckets with samples of two instances."""
    start = last_bucket() - (BUCKETS - 1) * BUCKET
    samples = [
        sample(
            instance=instance,
            role=role,
            window=[
                (start + number * BUCKET).isoformat(),
                (start + number * BUCKET + timedelta(seconds=10)).isoformat(),
            ],
            usage={"cpu.time": 10 + number, "memory.used.max": number, "gpu.time": 2**62},
        )
        for number in range(BUCKETS)
        for instance, role in (("shop-1", "primary"), ("shop-2", "standby"))
    ]
    assert agent.deliver(batch(*samples)).status_code == 200
    roll_up(agent.tenant.pk)
    return start


@pytest.fixture
def inside_agents(agent: Agent, first: datetime) -> Iterator[Application]:
    with tenant_scope(agent.tenant.pk):
        yield Application.objects.get()


def told(**changes: Any) -> dict[str, Any]:
    told = {"reason": "the meter was broken", "author": "a@b.example", "as_of": timezone.now()}
    return told | changes


def as_defined(tenant: Tenant) -> dict[Any, Any]:
    """The samples' rollups after every correction."""
    with tenant_scope(tenant.pk):
        stands_on = (
            Instance.objects.filter(name=STANDS_FOR_APPLICATION)
            .values_list("pk", flat=True)
            .first()
        )
        corrections = [
            core.Correction(
                row.application_id, row.instance_id, row.starts_at, row.ends_at,
                None if row.meters is None else frozenset(row.meters), row.quantities, stands_on,
                row.role,
            )
            for row in Correction.objects.order_by("created_at")
        ]  # fmt: skip
    rollups = aggregates(measured(tenant))
    pairs = {
        (each.application_id, each.start + number * BUCKET)
        for each in corrections
        for number in range((each.end - each.start) // BUCKET)
    }
    return core.corrected(rollups, corrections, pairs)


class TestRollups:
    @pytest.mark.parametrize("seed", range(4))
    def test_equal_the_definition_after_any_corrections(
        self, agent: Agent, first: datetime, seed: int
    ) -> None:
        chance = random.Random(seed)  # noqa: S311
        for number in range(5):
            with tenant_scope(agent.tenant.pk):
                application = Application.objects.get()
                hosted = list(Instance.objects.filter(host__isnull=False))
                start, end = sorted(chance.sample(range(BUCKETS + 1), 2))
                made = told(as_of=timezone.now() + timedelta(seconds=number))
                made["instance"] = chance.choice([None, *hosted])
                period = (first + start * BUCKET, first + end * BUCKET)
                meters = ["cpu.time", "memory.used.max", "gpu.time", "launches"]
                chosen = chance.sample(meters, 2)
                if chance.random() < 0.5:
                    delete_usage(application, period, meters=chance.choice([None, chosen]), **made)
                else:
                    quantities = {meter: chance.randrange(2**63) for meter in chosen}
                    role = chance.choice(["primary", "standby"])
                    replace_usage(application, period, quantities, role=role, **made)
            assert roll_up(agent.tenant.pk) == end - start
            assert stored(agent.tenant) == as_defined(agent.tenant)
        # Late samples of a corrected time change nothing that was replaced.
        agent.deliver(batch(sample(instance="shop-1"), sequence=2))
        roll_up(agent.tenant.pk)
        assert stored(agent.tenant) == as_defined(agent.tenant)

    def test_sum_to_what_was_stated(self, agent: Agent, first: datetime) -> None:
        with tenant_scope(agent.tenant.pk):
            application = Application.objects.get()
            replace_usage(
                application, (first, first + BUCKETS * BUCKET), {"cpu.time": 1_000_001}, **told()
            )
        roll_up(agent.tenant.pk)
        period = UsagePeriod(application.pk, first, first + BUCKETS * BUCKET)
        with tenant_scope(agent.tenant.pk):
            used = usage_by_application([period], ["cpu.time", "gpu.time"])
        assert used[application.pk] == {"cpu.time": 1_000_001, "gpu.time": 12 * 2**62}


class TestACorrection:
    def test_is_never_changed_or_deleted(self, inside_agents: Application, first: datetime) -> None:
        delete_usage(inside_agents, (first, first + BUCKET), **told())
        for change in (
            Correction.objects.all().delete,
            lambda: Correction.objects.update(reason="none"),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                change()

    def test_marks_its_buckets(self, inside_agents: Application, first: datetime) -> None:
        delete_usage(inside_agents, (first + BUCKET, first + 3 * BUCKET), **told())
        assert set(DirtyBucket.objects.values_list("bucket_start", flat=True)) == {
            first + BUCKET,
            first + 2 * BUCKET,
        }

    def test_stands_beside_the_usage(self, inside_agents: Application, first: datetime) -> None:
        made = delete_usage(inside_agents, (first, first + BUCKET), **told())
        before, after = (
            UsagePeriod(inside_agents.pk, first + number * BUCKET, first + 2 * BUCKET)
            for number in (0, 1)
        )
        assert corrections_of([before]) == [made]
        assert corrections_of([after]) == []

    @pytest.mark.parametrize(
        ("minutes", "quantities", "changes"),
        [
            ((0, 0), {"cpu.time": 1}, {}),
            ((5, 0), {"cpu.time": 1}, {}),
            ((0, 7), {"cpu.time": 1}, {}),
            ((0, 5 * 288 * 93), {"cpu.time": 1}, {}),
            ((0, 5), {}, {}),
            ((0, 5), {"CPU": 1}, {}),
            ((0, 5), {"cpu.time": -1}, {}),
            ((0, 5), {"cpu.time": 2**63}, {}),
            ((0, 5), {"cpu.time": True}, {}),
            ((0, 5), {"cpu.time": 1}, {"reason": " "}),
            ((0, 5), {"cpu.time": 1}, {"reason": "x" * 501}),
            ((0, 5), {"cpu.time": 1}, {"role": "leader"}),
            ((5 * 12 * 24, 5 * 12 * 25), {"cpu.time": 1}, {}),
        ],
    )
    def test_that_cannot_be_is_refused(
        self,
        inside_agents: Application,
        first: datetime,
        minutes: tuple[int, int],
        quantities: dict[str, int],
        changes: dict[str, Any],
    ) -> None:
        start, end = (first + timedelta(minutes=each) for each in minutes)
        with pytest.raises(CorrectionNotUsable):
            replace_usage(inside_agents, (start, end), quantities, **told(**changes))
        assert not Correction.objects.exists()
        assert not DirtyBucket.objects.exists()

    def test_of_another_applications_instance_is_refused(
        self, inside_agents: Application, first: datetime
    ) -> None:
        other = Application.objects.create(name="x", environment=inside_agents.environment)
        stranger = Instance.objects.create(application=other, name="x")
        with pytest.raises(CorrectionNotUsable):
            delete_usage(inside_agents, (first, first + BUCKET), instance=stranger, **told())

    def test_is_closed_to_another_tenant(
        self, agent: Agent, first: datetime, other_tenant: Tenant
    ) -> None:
        with tenant_scope(agent.tenant.pk):
            application = Application.objects.get()
            delete_usage(application, (first, first + BUCKET), **told())
        with tenant_scope(other_tenant.pk):
            assert not Correction.objects.exists()
            assert not Rollup.objects.exists()
            assert corrections_of([UsagePeriod(application.pk, first, first + BUCKET)]) == []
