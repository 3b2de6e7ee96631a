"""Billing's share of the background work."""

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from billing.closing import Outcome, advance_drafts, close_tenant, restate_tenant
from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.operations import UsageNotRolledUp, mark_overdue
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope

logger = logging.getLogger(__name__)


# Nothing is broken: it waits for a roll-up, or for what an operator has to enter.
_WAITING = (UsageNotRolledUp, TaxRateUnknown, TaxCountryUnknown)


@shared_task(name="billing.tasks.close_due_periods")
def close_due_periods() -> int:
    """Draft the invoices of all periods that have ended, and finalize drafts whose time in review
    is over; how many were drafted, over all tenants.

    Each is a transaction of its own, so a task that is killed or runs twice loses and doubles
    nothing: the next run does what is left. What fails is logged, and the next run tries again.
    """
    as_of = timezone.now()
    return sum(_close(tenant_id, as_of) for tenant_id in _tenant_ids())


@shared_task(name="billing.tasks.restate_changed")
def restate_changed() -> int:
    """Bill what became known of issued periods; how many notes were issued, over all tenants."""
    as_of = timezone.now()
    return sum(
        len(_done(tenant_id, lambda each: restate_tenant(each, as_of=as_of)).invoices)
        for tenant_id in _tenant_ids()
    )


@shared_task(name="billing.tasks.mark_overdue_invoices")
def mark_overdue_invoices() -> int:
    """Find what is due and not paid; how many invoices, over all tenants."""
    as_of = timezone.now()
    found = 0
    for tenant_id in _tenant_ids():
        with tenant_scope(tenant_id):
            found += len(mark_overdue(as_of=as_of))
    return found


def _tenant_ids() -> list[UUID]:
    with installation_scope():
        return list(Tenant.objects.order_by("pk").values_list("pk", flat=True))


def _close(tenant_id: UUID, as_of: datetime) -> int:
    drafted = _done(tenant_id, lambda each: close_tenant(each, as_of=as_of))
    _done(tenant_id, lambda each: advance_drafts(each, as_of=as_of))
    return len(drafted.invoices)


def _done(tenant_id: UUID, work: Callable[[UUID], Outcome]) -> Outcome:
    try:
        outcome = work(tenant_id)
    except Exception:
        logger.exception("tenant %s: nothing was closed", tenant_id)
        return Outcome()
    for failure in outcome.failures:
        if isinstance(failure.error, _WAITING):
            logger.info("tenant %s: waits: %s", tenant_id, failure)
        else:
            logger.error("tenant %s: not closed: %s", tenant_id, failure, exc_info=failure.error)
    return outcome
