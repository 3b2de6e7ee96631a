"""Two instances that both call themselves primary are billed once: real samples of two hosts."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.billable import usage_of
from billing.core.periods import Period
from billing.core.rating import UsageQuantity
from billing.core.readings import Aggregation, Reading
from metering.core.aggregation import combined_quantities
from metering.core.buckets import BUCKET
from metering.core.hours import hour_of
from metering.core.primaries import PrimaryWindow, left_out
from metering.corrections import replace_usage
from metering.models import Application, Instance, Sample
from metering.rollups import roll_up
from metering.usage_rows import UsagePeriod
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.test_readings import fact
from tests.metering.delivering import Agent, batch, fresh_token, last_bucket, sample
from tests.metering.test_rollups import usage_of as usage_of_row


class TestTwoPrimaries:
    """Samples of two hosts that both call themselves primary, at random times of three buckets."""

    @pytest.fixture
    def agents(self, tenant: Tenant) -> list[Agent]:
        agents = [Agent(tenant), Agent(tenant)]
        for number, agent in enumerate(agents):
            answer = agent.ask_to_enrol(fresh_token(tenant), name=f"web-{number}")
            agent.host, agent.key_id = answer.json()["host"], answer.json()["key_id"]
        return agents

    @pytest.fixture
    def start(self, agents: list[Agent]) -> datetime:
        start = last_bucket() - 2 * BUCKET
        chance = random.Random(6)  # noqa: S311
        for agent in agents:
            samples = []
            for number in range(3):
                for slot in chance.sample(range(29), 10):
                    begin = start + number * BUCKET + timedelta(seconds=10 * slot)
                    end = begin + timedelta(seconds=chance.choice([5, 10, 20]))
                    usage = {"cpu.time": chance.randrange(100), "gpu.time": chance.randrange(2**62)}
                    usage["memory.used.max"] = chance.randrange(100)
                    samples.append(
                        sample(
                            instance=agent.host, usage=usage,
                            window=[begin.isoformat(), end.isoformat()],
                        )
                    )  # fmt: skip
            assert agent.deliver(batch(*samples)).status_code == 200
        roll_up(agents[0].tenant.pk)
        return start

    def windows(self) -> list[PrimaryWindow]:
        return [
            PrimaryWindow(
                row.application_id, row.instance_id, row.instance.first_seen_at,
                row.window_start, row.window_end,
                usage_of_row(row),
            )
            for row in Sample.objects.select_related("instance")
        ]  # fmt: skip

    def read(self, start: datetime, meter: str, **changes: Any) -> UsageQuantity:
        period = Period(start, start + 3 * BUCKET)
        periods = [UsagePeriod(Application.objects.get().pk, period.start, period.end)]
        kind: Aggregation = "maximum" if meter.endswith(".max") else "sum"
        reading = Reading(meter, kind, **{"primaries": "one", **changes})
        (quantity,) = usage_of(periods, [reading], period)
        return quantity

    @pytest.mark.parametrize("meter", ["cpu.time", "gpu.time", "memory.used.max"])
    def test_are_billed_once_as_the_definition_says(
        self, agents: list[Agent], start: datetime, meter: str
    ) -> None:
        with tenant_scope(agents[0].tenant.pk):
            windows = self.windows()
            out = left_out(windows)
            gone = {id(each) for each in out}
            kept = [each.usage[meter] for each in windows if id(each) not in gone]
            once, every = self.read(start, meter), self.read(start, meter, primaries="every")
        assert out
        assert once.quantity == combined_quantities(meter, kept)
        assert every.quantity == combined_quantities(meter, [w.usage[meter] for w in windows])
        told = fact(once, "overlap")
        assert told["windows"] == len(out)
        assert told["from"] == min(each.start for each in out).isoformat()
        if not meter.endswith(".max"):
            assert told["raw"] == sum(each.usage[meter] for each in out)

    def test_that_a_correction_states_count_whole(
        self, agents: list[Agent], start: datetime
    ) -> None:
        tenant_id = agents[0].tenant.pk
        with tenant_scope(tenant_id):
            newest = Instance.objects.order_by("first_seen_at").last()
            replace_usage(
                Application.objects.get(), (start, start + 3 * BUCKET), {"cpu.time": 7},
                instance=newest, reason="r", author="a", as_of=timezone.now(),
            )  # fmt: skip
        roll_up(tenant_id)
        with tenant_scope(tenant_id):
            oldest = [
                each.usage["cpu.time"]
                for each in self.windows()
                if newest is not None and each.instance_id != newest.pk
            ]
            assert self.read(start, "cpu.time").quantity == sum(oldest) + 7

    def test_are_found_by_the_hours_that_have_two(
        self, agents: list[Agent], start: datetime
    ) -> None:
        with tenant_scope(agents[0].tenant.pk):
            before = Period(hour_of(start) - timedelta(hours=9), hour_of(start))
            periods = [UsagePeriod(Application.objects.get().pk, before.start, before.end)]
            with CaptureQueriesContext(connection) as asked:
                usage_of(periods, [Reading("cpu.time", "sum", primaries="one")], before)
        assert not any("metering_sample" in each["sql"] for each in asked)
