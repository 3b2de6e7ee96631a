"""Asking the processor to give money back, and finding out what became of it."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from billing.core.collecting import GIVEN_UP_AFTER, KEY_USABLE, in_minor_units
from billing.core.currencies import currency_of
from billing.gateway import GatewayError, RefundSeen, Refused, Stripe, account_of_tenant
from billing.models import Refund
from billing.operations.refunds import OPEN, mark_refund_submitted, settle_refund
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

_State = Refund.State
_STATES = {
    "succeeded": _State.SUCCEEDED,
    "failed": _State.FAILED,
    "canceled": _State.FAILED,
    "pending": _State.SUBMITTED,
    "requires_action": _State.SUBMITTED,
}
_LOOK_AFTER = timedelta(minutes=2)


def submit_refund(tenant_id: UUID, refund_id: UUID, *, as_of: datetime) -> None:
    """Ask for a refund that was begun, once."""
    with tenant_scope(tenant_id):
        refund = Refund.objects.filter(pk=refund_id).first()
        taken = None if refund is None else mark_refund_submitted(refund, as_of=as_of)
        if taken is None:
            return
        processor = Stripe(account_of_tenant())
    _ask(tenant_id, processor, taken, again=False, as_of=as_of)


def reconcile_refund(tenant_id: UUID, refund_id: UUID, *, as_of: datetime) -> None:
    """Find out what became of an open refund: it is searched for, then asked for with its key while
    that is known, then given up."""
    with tenant_scope(tenant_id):
        refund = Refund.objects.filter(pk=refund_id, state__in=OPEN).first()
        if refund is None:
            return
        processor = Stripe(account_of_tenant())
        payment = refund.payment
    if refund.submitted_at is None:
        submit_refund(tenant_id, refund_id, as_of=as_of)
        return
    try:
        seen = (
            processor.refund_seen(refund.refund_id)
            if refund.refund_id
            else processor.find_refund(payment.reference, refund.key)
        )
    except GatewayError as error:
        logger.warning("tenant %s: %s was not found out about: %s", tenant_id, refund, error)
        return
    age = as_of - refund.submitted_at
    if seen is not None:
        _settle(tenant_id, refund, seen, as_of)
    elif age < KEY_USABLE:
        _ask(tenant_id, processor, refund, again=True, as_of=as_of)
    elif age >= GIVEN_UP_AFTER:
        with tenant_scope(tenant_id):
            words = "The processor has no such refund: nothing was given back."
            settle_refund(refund, _State.FAILED, words=words, as_of=as_of)


def refunds_due(*, as_of: datetime) -> list[UUID]:
    """The tenant's open refunds that are not being asked for just now."""
    waiting = Q(created_at__lte=as_of - _LOOK_AFTER, state__in=OPEN)
    return list(Refund.objects.filter(waiting).order_by("created_at").values_list("pk", flat=True))


def _ask(
    tenant_id: UUID, processor: Stripe, refund: Refund, *, again: bool, as_of: datetime
) -> None:
    amount = in_minor_units(refund.amount, currency_of(refund.currency))
    try:
        seen = processor.refund(refund.payment.reference, amount, key=refund.key)
    except GatewayError as error:
        # Refused again, the request before this one may have given it back all the same.
        ended = isinstance(error, Refused) and not again
        with tenant_scope(tenant_id):
            state = _State.FAILED if ended else _State.UNKNOWN
            settle_refund(refund, state, words=str(error), as_of=as_of)
        return
    _settle(tenant_id, refund, seen, as_of)


def _settle(tenant_id: UUID, refund: Refund, seen: RefundSeen, as_of: datetime) -> None:
    with tenant_scope(tenant_id):
        state = _STATES.get(seen.status, _State.SUBMITTED)
        settle_refund(refund, state, refund_id=seen.id, words=seen.failure, as_of=as_of)
