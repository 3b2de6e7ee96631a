"""Asking the processor: each function here makes requests, and opens the tenant's scope only
around the records before and after them. Tasks and commands call it, outside of transactions."""

import logging
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.urls import reverse

from billing.core.collecting import (
    MinorAmount,
    Next,
    Seen,
    in_minor_units,
    what_next,
)
from billing.core.currencies import currency_of
from billing.gateway import (
    GatewayError,
    Intent,
    NotNow,
    OutcomeUnknown,
    Refused,
    Session,
    Stripe,
    account_of_tenant,
)
from billing.gateway.stripe_api import Payer
from billing.models import PaymentAttempt
from billing.operations import collecting
from billing.operations.payers import payer_of
from billing.payers import known_payer
from tenants.domains import address_of
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

_Way = PaymentAttempt.Way
# An answer that has not come by then does not come: the request itself waits 30 seconds.
ANSWER_WITHIN: Final = timedelta(minutes=2)
# How long an open attempt is left before the processor is asked again.
_LOOK_AFTER: Final = {
    PaymentAttempt.State.SUBMITTED: timedelta(minutes=2),
    PaymentAttempt.State.UNKNOWN: timedelta(minutes=2),
    PaymentAttempt.State.REQUIRES_ACTION: timedelta(minutes=15),
}
RECONCILED_MAX: Final = 500


def submit(tenant_id: UUID, attempt_id: UUID, *, as_of: datetime) -> PaymentAttempt | None:
    """Ask the processor for an attempt that was begun, once; what became of it, or None where
    another worker has asked."""
    with tenant_scope(tenant_id):
        attempt = PaymentAttempt.objects.filter(pk=attempt_id).first()
        taken = None if attempt is None else collecting.mark_submitted(attempt, as_of=as_of)
        if taken is None:
            return PaymentAttempt.objects.filter(pk=attempt_id).first()
        processor = Stripe(account_of_tenant())
    return _ask(tenant_id, processor, taken, again=False, as_of=as_of)


def reconcile(tenant_id: UUID, attempt_id: UUID, *, as_of: datetime) -> PaymentAttempt | None:
    """Find out what became of an open attempt: by what is known of it, else by searching, and
    only then by asking again with the same key. Repeated until the attempt ends."""
    with tenant_scope(tenant_id):
        attempt = (
            PaymentAttempt.objects.open().select_related("invoice").filter(pk=attempt_id).first()
        )
        if attempt is None:
            return None
        processor = Stripe(account_of_tenant())
    if attempt.state == PaymentAttempt.State.CREATED:
        return submit(tenant_id, attempt_id, as_of=as_of)
    try:
        return _look(tenant_id, processor, attempt, as_of=as_of)
    except GatewayError as error:
        logger.warning("tenant %s: %s was not found out about: %s", tenant_id, attempt, error)
        with tenant_scope(tenant_id):
            collecting.note_checked(attempt, as_of=as_of)
        return attempt


def due_for_reconciling(*, as_of: datetime) -> list[UUID]:
    """The tenant's open attempts that nobody has looked at for a while, the longest first."""
    waiting = Q(state=PaymentAttempt.State.CREATED, created_at__lte=as_of - ANSWER_WITHIN)
    for state, after in _LOOK_AFTER.items():
        waiting |= Q(state=state, checked_at__lte=as_of - after)
    found = PaymentAttempt.objects.filter(waiting).order_by("checked_at", "created_at")
    return list(found.values_list("pk", flat=True)[:RECONCILED_MAX])


def _look(
    tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt, *, as_of: datetime
) -> PaymentAttempt:
    if attempt.session_id:
        session = processor.session(attempt.session_id)
        return _settle_session(tenant_id, processor, attempt, session, as_of)
    if attempt.intent_id:
        intent = processor.intent(attempt.intent_id)
        return _settle_intent(tenant_id, processor, attempt, intent, as_of)
    found = _search(tenant_id, processor, attempt)
    if isinstance(found, Session):
        return _settle_session(tenant_id, processor, attempt, found, as_of)
    if isinstance(found, Intent):
        return _settle_intent(tenant_id, processor, attempt, found, as_of)
    return _nothing_found(tenant_id, processor, attempt, as_of)


def _search(tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt) -> Intent | Session | None:
    with tenant_scope(tenant_id):
        customer = payer_of(attempt.invoice.customer_id)
    if customer is None:
        # Whoever was to pay is unknown to the processor, so nothing was asked for yet.
        return None
    assert attempt.submitted_at is not None  # noqa: S101 only what was submitted is looked for
    if attempt.way == _Way.CHECKOUT:
        return processor.find_session(customer, attempt.key, since=attempt.submitted_at)
    return processor.find_intent(customer, attempt.key, since=attempt.submitted_at)


def _nothing_found(
    tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt, as_of: datetime
) -> PaymentAttempt:
    assert attempt.submitted_at is not None  # noqa: S101 as above
    match what_next(attempt.submitted_at, as_of=as_of):
        case Next.ASK_AGAIN:
            return _ask(tenant_id, processor, attempt, again=True, as_of=as_of)
        case Next.WAIT:
            with tenant_scope(tenant_id):
                words = "The processor knows nothing of it yet."
                return collecting.mark_unknown(attempt, words, as_of=as_of)
        case Next.GIVE_UP:
            with tenant_scope(tenant_id):
                words = "The processor has no payment of this attempt: nothing was charged."
                return collecting.fail(attempt, collecting.NOT_RECEIVED, words, as_of=as_of)


def _ask(
    tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt, *, again: bool, as_of: datetime
) -> PaymentAttempt:
    """Make the attempt's request, with its key. A refusal ends it only the first time: refused
    `again`, the request before this one may have charged all the same."""
    try:
        answer = _answer(tenant_id, processor, attempt)
    except Refused as refused:
        with tenant_scope(tenant_id):
            if again:
                return collecting.mark_unknown(attempt, str(refused), as_of=as_of)
            return collecting.fail(attempt, refused.code, str(refused), as_of=as_of)
    except (OutcomeUnknown, NotNow) as error:
        with tenant_scope(tenant_id):
            return collecting.mark_unknown(attempt, str(error), as_of=as_of)
    try:
        if isinstance(answer, Session):
            return _settle_session(tenant_id, processor, attempt, answer, as_of)
        return _settle_intent(tenant_id, processor, attempt, answer, as_of)
    except GatewayError as error:
        # It was taken; what became of it could not be asked.
        with tenant_scope(tenant_id):
            return collecting.mark_unknown(attempt, str(error), as_of=as_of)


def _answer(tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt) -> Intent | Session:
    customer = known_payer(tenant_id, processor, attempt.invoice.customer_id)
    payer = Payer(customer, attempt.method_id)
    if attempt.way == _Way.CHECKOUT:
        return _open_page(tenant_id, processor, attempt, payer)
    return _charge(tenant_id, processor, attempt, payer)


def _charge(tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt, payer: Payer) -> Intent:
    amount, words = _amount(attempt), str(attempt.invoice)
    if attempt.way == _Way.OFF_SESSION:
        return processor.pay_off_session(amount, payer, key=attempt.key, words=words)
    address = _address(tenant_id, "portal:payment", attempt)
    return processor.pay_on_session(amount, payer, key=attempt.key, words=words, return_url=address)


def _open_page(
    tenant_id: UUID, processor: Stripe, attempt: PaymentAttempt, payer: Payer
) -> Session:
    return processor.open_checkout(
        _amount(attempt),
        payer,
        key=attempt.key,
        words=str(attempt.invoice),
        success_url=_address(tenant_id, "portal:payment", attempt),
        cancel_url=_address(tenant_id, "portal:invoice", attempt),
    )


def _amount(attempt: PaymentAttempt) -> MinorAmount:
    return in_minor_units(attempt.amount, currency_of(attempt.currency))


def _address(tenant_id: UUID, route: str, attempt: PaymentAttempt) -> str:
    with tenant_scope(tenant_id):
        return address_of(reverse(route, args=[attempt.invoice_id]))


def _settle_session(
    tenant_id: UUID,
    processor: Stripe,
    attempt: PaymentAttempt,
    session: Session,
    as_of: datetime,
) -> PaymentAttempt:
    if session.status == "open":
        with tenant_scope(tenant_id):
            collecting.note_page(attempt, session.id, session.url, as_of=as_of)
            return PaymentAttempt.objects.select_related("invoice").get(pk=attempt.pk)
    if session.status == "complete" and session.intent_id:
        intent = processor.intent(session.intent_id)
        return _settle_intent(tenant_id, processor, attempt, intent, as_of)
    with tenant_scope(tenant_id):
        words = "The payment page expired before it was used."
        return collecting.fail(attempt, collecting.EXPIRED, words, as_of=as_of)


def _settle_intent(
    tenant_id: UUID,
    processor: Stripe,
    attempt: PaymentAttempt,
    intent: Intent,
    as_of: datetime,
) -> PaymentAttempt:
    """A payment that was declined is cancelled first: until then it could be confirmed yet."""
    failure = (intent.failure_code, intent.failure_message)
    if intent.seen == Seen.DECLINED:
        intent = processor.cancel_intent(intent.id)
    if intent.seen == Seen.DECLINED:
        raise OutcomeUnknown(f"{intent.id} was declined, and could not be cancelled")
    with tenant_scope(tenant_id):
        return collecting.settle(
            attempt,
            intent.id,
            intent.seen,
            MinorAmount(intent.received, currency_of(intent.currency)),
            hand_over_url=intent.hand_over_url,
            failure=failure if any(failure) else (intent.failure_code, intent.failure_message),
            as_of=as_of,
        )
