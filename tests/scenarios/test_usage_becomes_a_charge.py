"""The main job, end to end: a program runs, its customer is charged for it, and can see why."""

import os
import subprocess
import time
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.models import Plan, Price
from billing.operations import Offer, publish_plan_version, subscribe
from billing.queries import UpcomingInvoice, upcoming_invoice
from metering.models import Application, Host, SampleBatch
from metering.queries import rollups_of, samples_of
from metering.rollups import roll_up
from tenants.models import Customer, Environment, Tenant
from tenants.operations import issue_enrolment_token
from tenants.scope import tenant_scope
from tests.agent.test_agent_command import SOURCE, agent, command
from tests.agent.test_agent_live import RUN, finish, script, start_burn
from tests.conftest import make_tenant

SECONDS_OF_CPU = 3.0
BURNER = f"burner-{RUN}"


@pytest.fixture
def customer(transactional_db: None) -> Customer:
    """Billed by the CPU-second for whatever is new in its environment."""
    tenant = make_tenant("first-host")
    with tenant_scope(tenant.pk):
        customer = Customer.objects.create(name="Small shop", reference="small-shop")
        Environment.objects.update(default_customer=customer)
        plan = Plan.objects.create(name="By the second", currency="EUR")
        price = Price(
            label="CPU time",
            meter="cpu.time",
            aggregation="sum",
            unit="CPU-second",
            unit_price=Decimal(1),
        )
        start = timezone.now() - timedelta(days=62)
        publish_plan_version(plan, Offer([price], start))
        subscribe(customer, plan, starts_at=start)
        return Customer.objects.select_related("tenant").get(pk=customer.pk)


def deliver_a_burn(server: str, tenant: Tenant, folder: Path) -> float:
    """Meter a program called BURNER with a real agent; the CPU seconds the kernel saw it use."""
    with tenant_scope(tenant.pk):
        token = issue_enrolment_token(Environment.objects.get(), as_of=timezone.now())
    state, config = folder / "state", folder / "agent.toml"
    config.write_text("interval_seconds = 1\npush_delay_seconds = 0\n")
    enrolled = agent("enrol", "--server", server, "--token", token, "--state", state)
    assert enrolled.returncode == 0, enrolled.stderr
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command("run", "--unpinned", "--state", state, "--config", config),
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stderr=log,
        )
    try:
        wait_for_usage_until(tenant, timezone.now())
        used = finish(start_burn(script(folder, BURNER), SECONDS_OF_CPU))
        wait_for_usage_until(tenant, timezone.now() + timedelta(seconds=1))
    finally:
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()
    return used


def wait_for_usage_until(tenant: Tenant, moment: datetime) -> None:
    """Until the host's usage is known up to `moment`."""
    deadline = time.monotonic() + 30
    while True:
        with tenant_scope(tenant.pk):
            if Host.objects.filter(last_window_end__gte=moment).exists():
                return
        assert time.monotonic() < deadline, "the agent has delivered nothing"
        time.sleep(0.1)


def amount_of_cpu(
    upcoming: UpcomingInvoice, application: Application
) -> tuple[int | Decimal, Decimal]:
    """The µs that the next invoice bills the application for, and their price."""
    (line,) = [line for line in upcoming.lines if line.application_id == str(application.pk)]
    return line.raw_quantity, line.amount


class TestARunningProgram:
    def test_is_charged_for_the_cpu_it_used_and_the_charge_opens_down_to_signed_samples(
        self, customer: Customer, live_server: LiveServer, tmp_path: Path
    ) -> None:
        used = deliver_a_burn(live_server.url, customer.tenant, tmp_path)
        roll_up(customer.tenant.pk)
        now = timezone.now()
        with tenant_scope(customer.tenant.pk):
            burner = Application.objects.get(name=BURNER)
            upcoming = upcoming_invoice(customer, as_of=now)
            assert upcoming is not None
            charged_us, amount = amount_of_cpu(upcoming, burner)
            assert charged_us == pytest.approx(used * 1e6, rel=0.01, abs=20_000)
            assert amount == pytest.approx(Decimal(charged_us) / 1_000_000, abs=Decimal("0.01"))

            whole = Period(upcoming.period.start, now)
            (usage,) = [
                each
                for each in billable_periods(customer, whole)
                if each.application_id == burner.pk
            ]
            rollups = rollups_of(burner.pk, usage.start, usage.end, limit=100, offset=0)
            assert sum(rollup.usage["cpu.time"] for rollup in rollups) == charged_us
            samples = [
                sample
                for rollup in rollups
                for sample in samples_of(burner.pk, rollup.bucket_start)
            ]
            assert sum(sample.usage["cpu.time"] for sample in samples) == charged_us
            batches = SampleBatch.objects.filter(pk__in={sample.batch_id for sample in samples})
            assert all(batch.signature.startswith("hostmeter=:") for batch in batches)
            assert {batch.pk for batch in batches} == {sample.batch_id for sample in samples}
