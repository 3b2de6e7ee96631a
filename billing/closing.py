"""Closing and finalizing for a whole tenant, in many small transactions: what fails, or a run that
is killed, holds back nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from billing.models import BillingRun, Invoice
from billing.operations import finalize_invoice
from billing.operations.runs import Closed, Failure, close_next_shard, start_run
from billing.queries import is_usage_complete
from metering.rollups import roll_up
from tenants.scope import tenant_scope


@dataclass(slots=True)
class Outcome:
    """What came of a run over a tenant; drafts in `incomplete` wait for their usage."""

    invoices: list[Invoice] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    incomplete: list[Invoice] = field(default_factory=list)


def begin_closing(tenant_id: UUID, *, as_of: datetime) -> BillingRun | None:
    """The run that closes what has ended by `as_of`, with the newest usage rolled up; None where
    nothing is due."""
    roll_up(tenant_id)
    with tenant_scope(tenant_id):
        return start_run(as_of=as_of, at=timezone.now())


def close_shards(tenant_id: UUID, run_id: UUID) -> Iterator[Closed]:
    """Close shards of the run, one after the other, until none is left to begin; what came of
    each. Any number of workers may do so at once."""
    with tenant_scope(tenant_id):
        run = BillingRun.objects.get(pk=run_id)
    while True:
        with tenant_scope(tenant_id):
            closed = close_next_shard(run, at=timezone.now())
        if closed is None:
            return
        yield closed


def close_tenant(tenant_id: UUID, *, as_of: datetime) -> Outcome:
    """Draft the invoice of every due period of the tenant, each subscription's oldest first. After
    a failure the later periods of the same subscription wait as well."""
    outcome = Outcome()
    run = begin_closing(tenant_id, as_of=as_of)
    for closed in () if run is None else close_shards(tenant_id, run.pk):
        outcome.invoices += closed.invoices
        outcome.failures += closed.failures
    return outcome


def finalize_drafts(tenant_id: UUID, *, as_of: datetime, also_incomplete: bool) -> Outcome:
    """Give the tenant's drafts their numbers, oldest first; those whose usage is not known to the
    period's end are left alone unless `also_incomplete`."""
    with tenant_scope(tenant_id):
        drafts = list(
            Invoice.objects.filter(status=Invoice.Status.DRAFT)
            .select_related("customer")
            .order_by("period_start", "customer__name")
        )
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
