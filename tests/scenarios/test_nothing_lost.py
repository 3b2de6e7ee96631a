"""Whatever is killed while usage comes in, each acknowledged sample is stored, once."""

import os
import signal
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum
from hostmeter_agent.server.enrolment import enrol
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory

from config.celery import app
from metering.models import DirtyBucket, Sample, SampleBatch
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.delivering import fresh_token
from tests.scenarios.parts import Part, celery_worker, counting_agent, until, web

KILLS = 10
QUEUE = "hostmeter"


def stored_batches(tenant: Tenant) -> int:
    with tenant_scope(tenant.pk):
        return SampleBatch.objects.count()


def more_comes_in(tenant: Tenant) -> None:
    before = stored_batches(tenant)
    until(lambda: stored_batches(tenant) > before + 1)


def kill_a_worker(gunicorn: Part, turn: int) -> None:
    workers = gunicorn.children()
    os.kill(workers[turn % len(workers)], signal.SIGKILL)
    until(lambda: len(set(gunicorn.children()) - set(workers)) == 1)


def samples_in_rollups(tenant: Tenant) -> int:
    app.send_task("metering.tasks.roll_up_all", queue=QUEUE)
    with tenant_scope(tenant.pk):
        return Rollup.objects.aggregate(total=Sum("samples"))["total"] or 0


def kill_the_celery_worker(celery: Part, tenant: Tenant) -> None:
    """While it works: its rollups have just grown."""
    before = samples_in_rollups(tenant)
    until(lambda: samples_in_rollups(tenant) > before)
    celery.kill_and_restart()


def rolled_up(tenant: Tenant) -> bool:
    app.send_task("metering.tasks.roll_up_all", queue=QUEUE)
    with tenant_scope(tenant.pk):
        return not DirtyBucket.objects.exists()


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_kill_9_of_agent_web_and_worker_loses_and_repeats_nothing(
    tenant: Tenant, tmp_path: Path
) -> None:
    state = StateDirectory(tmp_path / "agent")
    connection.close()
    with web() as (gunicorn, url), celery_worker() as celery:
        enrol(
            state,
            server_url=url,
            token=fresh_token(tenant),
            name="web-1",
            force=False,
            now=datetime.now(UTC),
        )
        with counting_agent(state.path) as agent:
            for turn in range(KILLS):
                for kill in (
                    agent.kill_and_restart,
                    lambda turn=turn: kill_a_worker(gunicorn, turn),
                    lambda: kill_the_celery_worker(celery, tenant),
                ):
                    more_comes_in(tenant)
                    kill()
            more_comes_in(tenant)
            assert agent.finish() == 0
        until(lambda: rolled_up(tenant))

    with closing(Spool(state.spool)) as spool:
        counted = int(spool.baseline() or b"0")
        report = spool.report()
    assert counted > 0
    with tenant_scope(tenant.pk):
        stored = Counter(Sample.objects.values_list("cpu_time", flat=True))
        acknowledged = SampleBatch.objects.aggregate(total=Sum("samples"))["total"]
        in_rollups = Rollup.objects.aggregate(total=Sum("cpu_time"))["total"]
    assert stored == Counter(range(counted))
    assert acknowledged == counted
    assert in_rollups == sum(range(counted))
    assert report["acknowledged_samples"] == counted
    assert (report["pending_samples"], report["quarantined_samples"]) == (0, 0)
