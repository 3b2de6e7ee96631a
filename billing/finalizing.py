"""Finalizing many drafts together, each in a transaction of its own: workers that are killed leave
what they were at as it was, and whoever comes next goes on."""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.utils import timezone

from billing.core.lifecycle import DRAFTS
from billing.models import Finalizing, FinalizingStep, Invoice
from billing.operations import finalize_invoice
from tenants.scope import tenant_scope

# The task that does it, which stands above this module.
WORK_ON_FINALIZING: Final = "billing.tasks.work_on_finalizing"


def begin_finalizing(
    tenant_id: UUID, invoices: Collection[UUID], *, author: str
) -> Finalizing | None:
    """Have the workers finalize those of the invoices that are drafts, the oldest period first;
    None where none is. One that a run which has not ended holds already is left to that."""
    with transaction.atomic():
        held = FinalizingStep.objects.filter(done_at=None).values("invoice")
        drafts = (
            Invoice.objects.filter(pk__in=invoices, status__in=DRAFTS)
            .exclude(pk__in=held)
            .order_by("period_start", "customer__name", "pk")
        )
        chosen = list(drafts.values_list("pk", flat=True))
        if not chosen:
            return None
        finalizing = Finalizing.objects.create(author=author)
        FinalizingStep.objects.bulk_create(
            FinalizingStep(finalizing=finalizing, position=position, invoice_id=pk)
            for position, pk in enumerate(chosen, start=1)
        )
        transaction.on_commit(partial(ask_worker, tenant_id, finalizing.pk))
    return finalizing


def ask_worker(tenant_id: UUID, finalizing_id: UUID) -> None:
    current_app.send_task(WORK_ON_FINALIZING, [str(tenant_id), str(finalizing_id)])


def finalize_steps(tenant_id: UUID, finalizing_id: UUID) -> int:
    """Take step after step until none is left that nobody is at; how many invoices got their
    number by it."""
    finalized = 0
    while (outcome := _next_step(tenant_id, finalizing_id)) is not None:
        finalized += outcome
    return finalized


def unfinished(tenant_id: UUID) -> list[UUID]:
    """Those that a worker which was killed may have left."""
    with tenant_scope(tenant_id):
        return list(Finalizing.objects.filter(finished_at=None).values_list("pk", flat=True))


def _next_step(tenant_id: UUID, finalizing_id: UUID) -> int | None:
    """Whether a step finalized its invoice, 1 or 0; None where there is no step left to take."""
    with tenant_scope(tenant_id):
        step = (
            FinalizingStep.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("invoice")
            .filter(finalizing=finalizing_id, done_at=None)
            .order_by("position")
            .first()
        )
        at = timezone.now()
        if step is None:
            _finish(finalizing_id, at)
            return None
        step.refusal = _refusal(step.invoice, at)
        step.done_at = at
        step.save(update_fields=["refusal", "done_at"])
        return int(not step.refusal)


def _refusal(invoice: Invoice, at: datetime) -> str:
    """Empty where the invoice has its number, now or from before."""
    try:
        with transaction.atomic():
            finalize_invoice(invoice, as_of=at)
    except Exception as error:  # noqa: BLE001 whatever it is, the others are finalized
        reason = str(error).strip() or type(error).__name__
        return reason.splitlines()[0][:500]
    return ""


def _finish(finalizing_id: UUID, at: datetime) -> None:
    still_open = FinalizingStep.objects.filter(finalizing=finalizing_id, done_at=None)
    if not still_open.exists():
        Finalizing.objects.filter(pk=finalizing_id, finished_at=None).update(finished_at=at)
