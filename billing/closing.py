"""Closing, finalizing and restating for a whole tenant, in many small transactions: what fails, or
a run that is killed, holds back nothing else."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing.core.lifecycle import DRAFTS
from billing.models import BillingRun, Invoice, LateUsage
from billing.operations import (
    TransitionNotAllowed,
    accept_late_usage,
    begin_review,
    finalize_invoice,
    restate_invoice,
)
from billing.operations.runs import Closed, Failure, close_next_shard, start_run
from billing.queries import is_usage_complete
from billing.queries.late_windows import pending_late_usage
from billing.queries.parties import has_billing_settings
from billing.queries.restatement import changed_invoices, refused_late_usage
from metering.rollups import roll_up
from tenants.scope import tenant_scope

# A host that catches up delivers for a while: one note for all of it is better than many.
LATE_USAGE_SETTLES: Final = timedelta(hours=1)

# As many as a worker has processes on a small machine; each takes the next shard until none is
# left, so more of them than there are processes only wait.
WORKERS_ASKED: Final = 2
# The task that they run, which stands above this module.
WORK_ON_RUN: Final = "billing.tasks.work_on_run"


@dataclass(slots=True)
class Outcome:
    """What came of a run over a tenant; drafts in `incomplete` wait for their usage, and invoices
    in `unchanged` got no note, with the reason."""

    invoices: list[Invoice] = field(default_factory=list)
    unchanged: list[tuple[Invoice, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    incomplete: list[Invoice] = field(default_factory=list)


def begin_closing(tenant_id: UUID, *, as_of: datetime) -> BillingRun | None:
    """The run that closes what has ended by `as_of`, with the newest usage rolled up; None where
    nothing is due."""
    roll_up(tenant_id)
    with tenant_scope(tenant_id):
        return start_run(as_of=as_of, at=timezone.now())


def begin_run(tenant_id: UUID, *, as_of: datetime) -> bool:
    """Have the workers close what is due in the tenant; whether anything is."""
    run = begin_closing(tenant_id, as_of=as_of)
    if run is not None:
        transaction.on_commit(partial(ask_workers, tenant_id, run.pk, WORKERS_ASKED))
    return run is not None


def ask_workers(tenant_id: UUID, run_id: UUID, workers: int) -> None:
    """Have so many tasks work on the run."""
    for _ in range(workers):
        current_app.send_task(WORK_ON_RUN, [str(tenant_id), str(run_id)])


def close_shards(tenant_id: UUID, run_id: UUID) -> Iterator[Closed]:
    """Close shards of the run, one after the other, until none is left to begin; what came of
    each. Any number of workers may do so at once."""
    with tenant_scope(tenant_id):
        run = BillingRun.objects.get(pk=run_id)
    while True:
        with _no_search_for_cycles(), tenant_scope(tenant_id):
            closed = close_next_shard(run, at=timezone.now())
        if closed is None:
            return
        yield closed


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """A shard makes a million small values that live to its end and hardly a cycle: looking for
    cycles among them again and again took three tenths of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def close_tenant(tenant_id: UUID, *, as_of: datetime) -> Outcome:
    """Draft the invoice of every due period of the tenant, each subscription's oldest first. After
    a failure the later periods of the same subscription wait as well."""
    outcome = Outcome()
    run = begin_closing(tenant_id, as_of=as_of)
    for closed in () if run is None else close_shards(tenant_id, run.pk):
        outcome.invoices += closed.invoices
        outcome.failures += closed.failures
    return outcome


def advance_drafts(tenant_id: UUID, *, as_of: datetime) -> Outcome:
    """Put the tenant's drafts into review, and finalize those whose time there is over and whose
    usage is known, oldest first. Nothing happens by itself until the tenant has billing settings.
    """
    with tenant_scope(tenant_id):
        if not has_billing_settings():
            return Outcome()
        drafts = list(_drafts().filter(status=Invoice.Status.DRAFT))
    for draft in drafts:
        # Somebody may have finalized it meanwhile.
        with tenant_scope(tenant_id), suppress(TransitionNotAllowed):
            begin_review(draft, as_of=as_of)
    with tenant_scope(tenant_id):
        over = list(_drafts().filter(status=Invoice.Status.IN_REVIEW, review_until__lte=as_of))
    return _finalize(tenant_id, over, as_of=as_of, also_incomplete=False)


def finalize_drafts(tenant_id: UUID, *, as_of: datetime, also_incomplete: bool) -> Outcome:
    """Give the tenant's drafts their numbers, oldest first, those in review too; those whose usage
    is not known to the period's end are left alone unless `also_incomplete`."""
    with tenant_scope(tenant_id):
        drafts = list(_drafts())
    return _finalize(tenant_id, drafts, as_of=as_of, also_incomplete=also_incomplete)


def _drafts() -> "QuerySet[Invoice]":
    return (
        Invoice.objects.filter(kind=Invoice.Kind.INVOICE, status__in=DRAFTS)
        .select_related("customer")
        .order_by("period_start", "customer__name")
    )


def _finalize(
    tenant_id: UUID, drafts: list[Invoice], *, as_of: datetime, also_incomplete: bool
) -> Outcome:
    outcome = Outcome()
    for draft in drafts:
        try:
            with tenant_scope(tenant_id):
                if also_incomplete or is_usage_complete(draft, as_of=as_of):
                    outcome.invoices.append(finalize_invoice(draft, as_of=as_of))
                else:
                    outcome.incomplete.append(draft)
        except Exception as error:  # noqa: BLE001 whatever it is, the others are finalized
            outcome.failures.append(Failure(draft.customer_reference, error))
    return outcome


def restate_tenant(
    tenant_id: UUID, *, as_of: datetime, settles: timedelta = LATE_USAGE_SETTLES
) -> Outcome:
    """Issue the notes that late usage of the tenant's issued invoices comes to, once nothing more
    has come for as long as `settles`."""
    roll_up(tenant_id)
    with tenant_scope(tenant_id):
        changed = changed_invoices(noted_before=as_of - settles)
    outcome = Outcome()
    for invoice in changed:
        _restate(tenant_id, invoice, outcome, as_of=as_of)
    return outcome


def restate_now(
    tenant_id: UUID,
    *,
    as_of: datetime,
    wanted: Callable[[Invoice], bool] = lambda _: True,
    told: Callable[[str], None] = lambda _: None,
    also_refused: bool = False,
) -> Outcome:
    """Do so at once for the invoices that are `wanted`, those too that go on from one which is
    restated; `told` is how far it is. With what was refused of them if `also_refused`."""
    roll_up(tenant_id)
    if also_refused:
        _accept_refused(tenant_id, wanted, as_of=as_of)
    outcome, seen = Outcome(), set[UUID]()
    while True:
        with tenant_scope(tenant_id):
            changed = [
                each
                for each in changed_invoices(noted_before=None)
                if each.pk not in seen and wanted(each)
            ]
        if not changed:
            return outcome
        for number, invoice in enumerate(changed, start=1):
            _restate(tenant_id, invoice, outcome, as_of=as_of)
            seen.add(invoice.pk)
            told(f"{number} of {len(changed)} invoices, {len(outcome.invoices)} notes")


def _accept_refused(tenant_id: UUID, wanted: Callable[[Invoice], bool], *, as_of: datetime) -> None:
    with tenant_scope(tenant_id):
        refused = list(Invoice.objects.filter(pk__in=refused_late_usage().values("invoice")))
    for invoice in filter(wanted, refused):
        with tenant_scope(tenant_id):
            accept_late_usage(invoice, as_of=as_of)


def _restate(tenant_id: UUID, invoice: Invoice, outcome: Outcome, *, as_of: datetime) -> None:
    try:
        with tenant_scope(tenant_id):
            note = restate_invoice(invoice, as_of=as_of)
            if note is None:
                outcome.unchanged.append((invoice, _why_no_note(invoice, as_of)))
            else:
                outcome.invoices.append(note)
    except Exception as error:  # noqa: BLE001 whatever it is, the others are restated
        outcome.failures.append(Failure(invoice.customer_reference, error))


def _why_no_note(invoice: Invoice, as_of: datetime) -> str:
    """What became of its late usage, which has just been looked at."""
    if pending_late_usage(invoice).exists():
        return "its late usage is left to the customer's next invoice"
    if LateUsage.objects.filter(invoice=invoice, refused_at=as_of).exists():
        return "its late usage is past your deadline, and is listed as refused"
    return "its late usage changes no amount"
