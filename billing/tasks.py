"""Billing's share of the background work."""

import logging
from datetime import datetime
from functools import partial
from uuid import UUID

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from billing.closing import begin_closing, close_shards
from billing.operations import UsageNotRolledUp, expire_credit, request_due_top_ups
from billing.operations.runs import Failure
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope

logger = logging.getLogger(__name__)

# As many as a worker has processes on a small machine; each takes the next shard until none is
# left, so more of them than there are processes only wait.
_TOGETHER = 2


@shared_task(name="billing.tasks.close_due_periods")
def close_due_periods() -> int:
    """Draft the invoices of all periods that have ended; how many this task did itself, over all
    tenants. Where there is more than a shard's work, others are asked to share it.

    Each shard is a transaction of its own, so a task that is killed or runs twice loses and
    doubles nothing: the next one does what is left. What fails is logged, and the next run tries
    again.
    """
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    return sum(_close(tenant_id) for tenant_id in tenant_ids)


def _close(tenant_id: UUID) -> int:
    try:
        run = begin_closing(tenant_id, as_of=timezone.now())
        if run is None:
            return 0
        if run.open_shards > 1:
            _share(tenant_id, run.pk, _TOGETHER - 1)
        return work_on_run(str(tenant_id), str(run.pk))
    except Exception:
        logger.exception("tenant %s: nothing was closed", tenant_id)
        return 0


def begin_run(tenant_id: UUID, *, as_of: datetime) -> bool:
    """Have the workers close what is due in the tenant; whether anything is."""
    run = begin_closing(tenant_id, as_of=as_of)
    if run is not None:
        transaction.on_commit(partial(_share, tenant_id, run.pk, _TOGETHER))
    return run is not None


def _share(tenant_id: UUID, run_id: UUID, workers: int) -> None:
    for _ in range(workers):
        work_on_run.delay(str(tenant_id), str(run_id))


@shared_task(name="billing.tasks.work_on_run")
def work_on_run(tenant_id: str, run_id: str) -> int:
    """Close shards of the run until none is left to begin; how many invoices that made."""
    drafted = 0
    for closed in close_shards(UUID(tenant_id), UUID(run_id)):
        drafted += len(closed.invoices)
        for failure in closed.failures:
            _log(tenant_id, failure)
    return drafted


def _log(tenant_id: str, failure: Failure) -> None:
    if isinstance(failure.error, UsageNotRolledUp):
        # Usage came in since the roll-up; the next run closes this one.
        logger.info("tenant %s: not closed yet: %s", tenant_id, failure)
    else:
        logger.error("tenant %s: not closed: %s", tenant_id, failure, exc_info=failure.error)


@shared_task(name="billing.tasks.keep_credit")
def keep_credit() -> int:
    """Let expired credit lapse and ask for the top-ups that are due; how many of both, over all
    tenants. A tenant in which it fails is logged, and the next run tries again."""
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    return sum(_keep_credit(tenant_id, timezone.now()) for tenant_id in tenant_ids)


def _keep_credit(tenant_id: UUID, as_of: datetime) -> int:
    try:
        with tenant_scope(tenant_id):
            return expire_credit(as_of=as_of) + request_due_top_ups(as_of=as_of)
    except Exception:
        logger.exception("tenant %s: credit was not looked at", tenant_id)
        return 0
