"""Closing, finalizing and restating for a whole tenant: each invoice is a transaction of its own,
so that one that fails, or a run that is killed, holds back nothing else."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from billing.core.lifecycle import DRAFTS
from billing.models import Invoice, Subscription
from billing.operations import (
    begin_review,
    close_billing_period,
    finalize_invoice,
    restate_invoice,
)
from billing.queries import is_usage_complete, periods_due
from billing.queries.parties import has_billing_settings
from billing.queries.restatement import changed_invoices
from metering.rollups import roll_up
from tenants.scope import tenant_scope

# A host that catches up delivers for a while: one note for all of it is better than many.
LATE_USAGE_SETTLES: Final = timedelta(hours=1)


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


def advance_drafts(tenant_id: UUID, *, as_of: datetime) -> Outcome:
    """Put the tenant's drafts into review, and finalize those whose time there is over and whose
    usage is known, oldest first. Nothing happens by itself until the tenant has billing settings.
    """
    with tenant_scope(tenant_id):
        if not has_billing_settings():
            return Outcome()
        drafts = list(_drafts().filter(status=Invoice.Status.DRAFT))
    for draft in drafts:
        with tenant_scope(tenant_id):
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
        try:
            with tenant_scope(tenant_id):
                note = restate_invoice(invoice, as_of=as_of)
        except Exception as error:  # noqa: BLE001 whatever it is, the others are restated
            outcome.failures.append(Failure(invoice.customer_reference, error))
        else:
            outcome.invoices += [] if note is None else [note]
    return outcome
