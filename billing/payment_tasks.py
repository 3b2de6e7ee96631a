"""Collecting in the background. What a request begins is handed on after its transaction; whatever
was not handed on, or was lost on the way, the periodic task finds."""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from celery import current_app, shared_task
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing.collecting import due_for_reconciling, reconcile, submit
from billing.gateway import NoAccount
from billing.models import PaymentAttempt, Refund
from billing.operations.collecting import AttemptOpen, NoPaymentMethod, collect
from billing.operations.lifecycle import InvoiceNotPayable
from billing.processor_events import handle_event, waiting_events
from billing.queries.collecting import to_collect
from billing.refunding import reconcile_refund, refunds_due, submit_refund
from tenants.models import Tenant
from tenants.scope import current_tenant_id, installation_scope, tenant_scope

logger = logging.getLogger(__name__)

SUBMIT_ATTEMPT: Final = "billing.tasks.submit_attempt"
SUBMIT_REFUND: Final = "billing.tasks.submit_refund"
HANDLE_EVENT: Final = "billing.tasks.handle_processor_event"
REPLAY_EVENT: Final = "billing.tasks.replay_processor_event"
RECONCILE_ATTEMPT: Final = "billing.tasks.reconcile_attempt"


def hand_on_attempt(attempt: PaymentAttempt) -> None:
    """Have a worker ask the processor, once this transaction is committed."""
    _hand_on(SUBMIT_ATTEMPT, current_tenant_id(), attempt.pk)


def hand_on_refund(refund: Refund) -> None:
    _hand_on(SUBMIT_REFUND, current_tenant_id(), refund.pk)


def hand_on_reconciling(attempt: PaymentAttempt) -> None:
    """Have a worker find out what became of an open attempt."""
    _hand_on(RECONCILE_ATTEMPT, current_tenant_id(), attempt.pk)


def hand_on_event(tenant_id: UUID, row_id: UUID, *, again: bool = False) -> None:
    _hand_on(REPLAY_EVENT if again else HANDLE_EVENT, tenant_id, row_id)


@shared_task(name=SUBMIT_ATTEMPT)
def submit_attempt(tenant_id: str, attempt_id: str) -> None:
    submit(UUID(tenant_id), UUID(attempt_id), as_of=timezone.now())


@shared_task(name=SUBMIT_REFUND)
def submit_refund_task(tenant_id: str, refund_id: str) -> None:
    submit_refund(UUID(tenant_id), UUID(refund_id), as_of=timezone.now())


@shared_task(name=HANDLE_EVENT)
def handle_processor_event(tenant_id: str, row_id: str) -> None:
    handle_event(UUID(tenant_id), UUID(row_id), as_of=timezone.now())


@shared_task(name=REPLAY_EVENT)
def replay_processor_event(tenant_id: str, row_id: str) -> None:
    handle_event(UUID(tenant_id), UUID(row_id), as_of=timezone.now(), again=True)


@shared_task(name=RECONCILE_ATTEMPT)
def reconcile_attempt(tenant_id: str, attempt_id: str) -> None:
    reconcile(UUID(tenant_id), UUID(attempt_id), as_of=timezone.now())


@shared_task(name="billing.tasks.reconcile_payments")
def reconcile_payments() -> int:
    """Handle the events that wait, begin to collect what was issued, and find out about every
    attempt and refund that nobody knows the end of; how many were looked at, over all tenants."""
    as_of = timezone.now()
    with installation_scope():
        tenant_ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    return sum(reconcile_tenant(each, as_of=as_of) for each in tenant_ids)


def reconcile_tenant(tenant_id: UUID, *, as_of: datetime) -> int:
    """One tenant's share of reconcile_payments. What fails is logged, and the next run tries
    again."""
    with tenant_scope(tenant_id):
        events = waiting_events()
        attempts = due_for_reconciling(as_of=as_of)
        refunds = refunds_due(as_of=as_of)
        begun = _begin_collecting(as_of)
    steps: list[Callable[[], object]] = [
        *(partial(handle_event, tenant_id, each, as_of=as_of) for each in events),
        *(partial(reconcile, tenant_id, each, as_of=as_of) for each in attempts),
        *(partial(submit, tenant_id, each, as_of=as_of) for each in begun),
        *(partial(reconcile_refund, tenant_id, each, as_of=as_of) for each in refunds),
    ]
    for step in steps:
        try:
            step()
        except NoAccount:
            logger.warning("tenant %s has payments under way and no account", tenant_id)
            break
        except Exception:
            logger.exception("tenant %s: a payment was not looked at", tenant_id)
    return len(steps)


def _begin_collecting(as_of: datetime) -> list[UUID]:
    begun = []
    for invoice in to_collect():
        try:
            begun.append(collect(invoice, as_of=as_of).pk)
        except (AttemptOpen, InvoiceNotPayable, NoPaymentMethod):
            # It was paid, or another worker began, since it was listed.
            continue
    return begun


def _hand_on(task: str, tenant_id: UUID, row_id: UUID) -> None:
    transaction.on_commit(partial(_send, task, str(tenant_id), str(row_id)))


def _send(task: str, tenant_id: str, row_id: str) -> None:
    try:
        current_app.send_task(task, [tenant_id, row_id])
    except OperationalError:
        # The broker is away. What was to be done is stored, and reconcile_payments does it.
        logger.warning("%s of %s waits for the next run: no broker", task, row_id)
