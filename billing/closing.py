"""Closing and finalizing for a whole tenant: each invoice is a transaction of its own, so that one
that fails, or a run that is killed, holds back nothing else."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from billing.models import Invoice, Subscription
from billing.operations import close_billing_period, finalize_invoice
from billing.queries import is_usage_complete, periods_due
from metering.rollups import roll_up
from tenants.scope import tenant_scope


@dataclass(frozen=True, slots=True)
class Failure:
    """What was left as it was, and why; `customer` is the reference of whom it bills."""

    customer: str
    error: Exception

    def __str__(self) -> str:
        reason = str(self.error).strip() or type(self.error).__name__
        return f"{self.customer}: {reason.splitlines()[0]}"


@dataclass(slots=True)
class Outcome:
    """What came of a run over a tenant; drafts in `incomplete` wait for their usage."""

    invoices: list[Invoice] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    incomplete: list[Invoice] = field(default_factory=list)


def close_tenant(tenant_id: UUID, *, as_of: datetime) -> Outcome:
    """Draft the invoice of every due period of the tenant, each subscription's oldest first. After
    a failure the later periods of the same subscription wait as well."""
    roll_up(tenant_id)
    with tenant_scope(tenant_id):
        subscriptions = list(Subscription.objects.select_related("customer", "plan"))
    outcome = Outcome()
    for subscription in subscriptions:
        try:
            _close(tenant_id, subscription, as_of, outcome)
        except Exception as error:  # noqa: BLE001 whatever it is, the others are closed
            outcome.failures.append(Failure(subscription.customer.reference, error))
    return outcome


def _close(tenant_id: UUID, subscription: Subscription, as_of: datetime, outcome: Outcome) -> None:
    with tenant_scope(tenant_id):
        due = list(periods_due(subscription, as_of=as_of))
    for period in due:
        with tenant_scope(tenant_id):
            invoice = close_billing_period(subscription, period, as_of=as_of)
        outcome.invoices.append(invoice)


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
