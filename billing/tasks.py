"""Billing's share of the background work."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing.accruing import count_accrued
from billing.closing import (
    WORK_ON_RUN,
    WORKERS_ASKED,
    Outcome,
    advance_drafts,
    ask_workers,
    begin_closing,
    close_shards,
    restate_tenant,
)
from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.dunning_tasks import dun_overdue
from billing.finalizing import WORK_ON_FINALIZING, finalize_steps, unfinished
from billing.models import BillingShard
from billing.operations import (
    UsageNotRolledUp,
    expire_credit,
    mark_overdue,
    request_due_top_ups,
)
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import LOOK_AT_BUDGETS
from billing.operations.reviews import review_new_drafts
from billing.operations.runs import Failure
from billing.payment_tasks import (
    handle_processor_event,
    reconcile_attempt,
    reconcile_payments,
    replay_processor_event,
    submit_attempt,
    submit_refund_task,
)
from billing.queries.spending import customers_with_budgets
from billing.tenant_exports import (
    forget_old_exports,
    make_export,
    unfinished_exports,
)
from billing.vies import NotAsked, NotReached, due_for_check, is_known, note_check
from metering.tenant_usage import note_usage
from tenants.exports import MAKE_EXPORT
from tenants.models import Customer, Tenant
from tenants.scope import installation_scope, tenant_scope
from tenants.suspension import active_tenant_ids

__all__ = [
    "dun_overdue",
    "handle_processor_event",
    "reconcile_attempt",
    "reconcile_payments",
    "replay_processor_event",
    "submit_attempt",
    "submit_refund_task",
]

logger = logging.getLogger(__name__)

_BUDGETS_SECONDS: Final = 240
_MARKS_HOLD: Final = timedelta(hours=1)
_FIGURES_HOLD: Final = timedelta(minutes=9)
_COUNTING_TAKES: Final = timedelta(minutes=4)
_EXPORTING_TAKES: Final = timedelta(minutes=6)

# Nothing is broken: it waits for a roll-up, or for what an operator has to enter.
_WAITING = (UsageNotRolledUp, TaxRateUnknown, TaxCountryUnknown)


@shared_task(name="billing.tasks.close_due_periods")
def close_due_periods() -> int:
    """Draft the invoices of all periods that have ended, and finalize drafts whose time in review
    is over; how many this task drafted itself, over all tenants. Where there is more than a
    shard's work, others are asked to share it.

    Each shard, and each finalizing, is a transaction of its own, so a task that is killed or runs
    twice loses and doubles nothing: the next one does what is left. What fails is logged, and the
    next run tries again.
    """
    return sum(_close(tenant_id) for tenant_id in active_tenant_ids())


@shared_task(name=WORK_ON_RUN)
def work_on_run(tenant_id: str, run_id: str) -> int:
    """Close shards of the run until none is left to begin; how many invoices that made."""
    drafted = 0
    for closed in close_shards(UUID(tenant_id), UUID(run_id)):
        drafted += len(closed.invoices)
        for failure in closed.failures:
            _log(UUID(tenant_id), failure)
    return drafted


@shared_task(name="billing.tasks.restate_changed")
def restate_changed() -> int:
    """Bill what became known of issued periods; how many notes were issued, over all tenants."""
    as_of = timezone.now()
    return sum(
        len(_done(tenant_id, lambda each: restate_tenant(each, as_of=as_of)).invoices)
        for tenant_id in active_tenant_ids()
    )


@shared_task(name="billing.tasks.mark_overdue_invoices")
def mark_overdue_invoices() -> int:
    """Find what is due and not paid; how many invoices, over all tenants."""
    as_of = timezone.now()
    found = 0
    for tenant_id in active_tenant_ids():
        with tenant_scope(tenant_id):
            found += len(mark_overdue(as_of=as_of))
    return found


@shared_task(name="billing.tasks.keep_credit")
def keep_credit() -> int:
    """Let expired credit lapse and ask for the top-ups that are due; how many of both, over all
    tenants. A tenant in which it fails is logged, and the next run tries again."""
    as_of = timezone.now()
    done = 0
    for tenant_id in active_tenant_ids():
        try:
            with tenant_scope(tenant_id):
                done += expire_credit(as_of=as_of) + request_due_top_ups(as_of=as_of)
        except Exception:
            logger.exception("tenant %s: credit was not looked at", tenant_id)
    return done


@shared_task(name=LOOK_AT_BUDGETS)
def look_at_budgets_of(tenant_id: str, customer_id: str) -> int:
    """Look at a customer's budgets, one of which was set or changed; how many alerts were told."""
    with tenant_scope(UUID(tenant_id)):
        customer = Customer.objects.filter(pk=customer_id).first()
        return 0 if customer is None else len(look_at_budgets(customer, as_of=timezone.now()))


@shared_task(name="billing.tasks.watch_budgets")
def watch_budgets() -> int:
    """Look at all budgets, those first that were not looked at for the longest, for as long as the
    task has time; how many alerts were told. A customer is a transaction; one that fails is logged,
    and the next run tries again."""
    until = time.monotonic() + _BUDGETS_SECONDS
    told = 0
    for tenant_id in active_tenant_ids():
        with tenant_scope(tenant_id):
            customers = customers_with_budgets()
        for customer in customers:
            if time.monotonic() > until:
                return told
            try:
                with tenant_scope(tenant_id):
                    told += len(look_at_budgets(customer, as_of=timezone.now()))
            except Exception:
                logger.exception("tenant %s: budgets of %s wait", tenant_id, customer.reference)
    return told


@shared_task(name="billing.tasks.note_tenants_usage")
def note_tenants_usage() -> int:
    """Count every tenant's figures for the installation's owner; of how many tenants. One in which
    it fails is logged, and the next run tries again."""
    as_of, noted = timezone.now(), 0
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    for tenant_id in tenant_ids:
        try:
            with tenant_scope(tenant_id):
                open_jobs = BillingShard.objects.filter(done_at=None).count()
                note_usage(as_of=as_of, open_jobs=open_jobs)
                noted += 1
        except Exception:
            logger.exception("tenant %s: its figures were not counted", tenant_id)
    return noted


@shared_task(name=WORK_ON_FINALIZING)
def work_on_finalizing(tenant_id: str, finalizing_id: str) -> int:
    """Finalize what an operator chose, until nothing of it is left; how many invoices."""
    return finalize_steps(UUID(tenant_id), UUID(finalizing_id))


@shared_task(name="billing.tasks.resume_finalizing")
def resume_finalizing() -> int:
    """Go on with what a worker that was killed has left; how many invoices, over all tenants."""
    return sum(
        finalize_steps(tenant_id, finalizing_id)
        for tenant_id in active_tenant_ids()
        for finalizing_id in unfinished(tenant_id)
    )


@shared_task(name="billing.tasks.review_new_drafts")
def review_drafts_of_all() -> int:
    """Look through new drafts, and once an hour through all; how many, over all tenants."""
    as_of, looked_at = timezone.now(), 0
    for tenant_id in active_tenant_ids():
        try:
            with tenant_scope(tenant_id):
                looked_at += review_new_drafts(as_of=as_of, marked_before=as_of - _MARKS_HOLD)
        except Exception:
            logger.exception("tenant %s: its drafts were not looked through", tenant_id)
    return looked_at


@shared_task(name="billing.tasks.count_accrued_revenue")
def count_accrued_revenue() -> int:
    """Count what running periods have come to, the oldest figures first, for as long as the task
    may take; how many customers, over all tenants. The next one goes on where it stopped."""
    as_of, counted = timezone.now(), 0
    for tenant_id in active_tenant_ids():
        try:
            while timezone.now() - as_of < _COUNTING_TAKES and count_accrued(
                tenant_id, as_of=as_of, counted_before=as_of - _FIGURES_HOLD
            ):
                counted += 1
        except Exception:
            logger.exception("tenant %s: what has accrued was not counted", tenant_id)
    return counted


@shared_task(name=MAKE_EXPORT)
def make_export_task(tenant_id: str, export_id: str) -> bool:
    """Go on with an export of everything; whether it is finished."""
    return make_export(UUID(tenant_id), UUID(export_id), until=timezone.now() + _EXPORTING_TAKES)


@shared_task(name="billing.tasks.keep_exports")
def keep_exports() -> int:
    """Go on with exports that were cut off, and remove old archives; how many were removed. A
    tenant's that fails says why, and is tried again."""
    removed, as_of = 0, timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    for tenant_id in tenant_ids:
        removed += forget_old_exports(tenant_id, as_of=as_of)
        for export_id in unfinished_exports(tenant_id):
            try:
                make_export(tenant_id, export_id, until=as_of + _EXPORTING_TAKES)
            except Exception:
                logger.exception("tenant %s: its export was not made", tenant_id)
    return removed


def _close(tenant_id: UUID) -> int:
    try:
        drafted = _work(tenant_id)
    except Exception:
        logger.exception("tenant %s: nothing was closed", tenant_id)
        return 0
    _done(tenant_id, lambda each: advance_drafts(each, as_of=timezone.now()))
    return drafted


def _work(tenant_id: UUID) -> int:
    run = begin_closing(tenant_id, as_of=timezone.now())
    if run is None:
        return 0
    if run.open_shards > 1:
        ask_workers(tenant_id, run.pk, WORKERS_ASKED - 1)
    return work_on_run(str(tenant_id), str(run.pk))


def _done(tenant_id: UUID, work: Callable[[UUID], Outcome]) -> Outcome:
    try:
        outcome = work(tenant_id)
    except Exception:
        logger.exception("tenant %s: nothing was done", tenant_id)
        return Outcome()
    for failure in outcome.failures:
        _log(tenant_id, failure)
    return outcome


def _log(tenant_id: UUID, failure: Failure) -> None:
    if isinstance(failure.error, _WAITING):
        logger.info("tenant %s: waits: %s", tenant_id, failure)
    else:
        logger.error("tenant %s: not closed: %s", tenant_id, failure, exc_info=failure.error)


@shared_task(name="billing.tasks.check_vat_ids")
def check_vat_ids() -> int:
    """Ask VIES for the VAT ids that are new or long unchecked; how many it answered for. Nothing
    waits for it: an id that could not be asked for is asked for again later."""
    if not settings.VIES_URL:
        return 0
    return sum(_check_vat_ids(tenant_id) for tenant_id in active_tenant_ids())


def _check_vat_ids(tenant_id: UUID) -> int:
    answered = 0
    with tenant_scope(tenant_id):
        due = due_for_check(as_of=timezone.now())
    for details in due:
        # Asked outside of the scope, so that no transaction waits for the network.
        try:
            confirmed: bool | None = is_known(details.vat_id)
        except NotReached as refusal:
            logger.info("tenant %s: %s", tenant_id, refusal)
            break
        except NotAsked as refusal:
            logger.info("tenant %s: %s", tenant_id, refusal)
            confirmed = None
        answered += confirmed is not None
        with tenant_scope(tenant_id):
            note_check(details, confirmed, as_of=timezone.now())
    return answered
