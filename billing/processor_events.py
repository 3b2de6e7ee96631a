"""What the processor tells us: stored as it came, then looked into.

An event is a hint and no more: what it is about is asked of the processor, so events may come late,
twice or in any order.
"""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from billing.collecting import reconcile
from billing.core.collecting import attempt_of_key
from billing.gateway import Event, GatewayError
from billing.gateway.webhooks import parse_event
from billing.models import PaymentAttempt, ProcessorEvent, Refund
from billing.operations.payers import customer_paying_as
from billing.payers import finish_card_setup
from billing.refunding import reconcile_refund
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

TRIES_MAX: Final = 50
WAITING_MAX: Final = 500


def store_event(event: Event, *, as_of: datetime) -> UUID:
    """Store it once; the row of one that was stored before."""
    with transaction.atomic():
        ProcessorEvent.objects.bulk_create(
            [
                ProcessorEvent(
                    event_id=event.id[:255],
                    type=event.type[:100],
                    body=event.body,
                    received_at=as_of,
                )
            ],
            ignore_conflicts=True,
        )
        return ProcessorEvent.objects.values_list("pk", flat=True).get(event_id=event.id[:255])


def handle_event(
    tenant_id: UUID, row_id: UUID, *, as_of: datetime, again: bool = False
) -> ProcessorEvent | None:
    """Look into what an event is about, unless that was done; `again` does it all the same."""
    with tenant_scope(tenant_id):
        row = ProcessorEvent.objects.filter(pk=row_id).first()
        if row is None or (row.handled_at is not None and not again):
            return row
    try:
        _look_into(tenant_id, parse_event(row.body), as_of)
    except GatewayError as error:
        return _note(tenant_id, row, str(error), None)
    except Exception as error:
        logger.exception("tenant %s: event %s was not handled", tenant_id, row.event_id)
        return _note(tenant_id, row, f"{type(error).__name__}: see the worker's log", None)
    return _note(tenant_id, row, "", as_of)


def waiting_events() -> list[UUID]:
    """The tenant's events that were not handled yet, oldest first."""
    waiting = ProcessorEvent.objects.filter(handled_at__isnull=True, tries__lt=TRIES_MAX)
    return list(waiting.order_by("received_at").values_list("pk", flat=True)[:WAITING_MAX])


def _note(
    tenant_id: UUID, row: ProcessorEvent, error: str, handled_at: datetime | None
) -> ProcessorEvent:
    with tenant_scope(tenant_id):
        ProcessorEvent.objects.filter(pk=row.pk).update(
            tries=F("tries") + 1, error=error[:500], handled_at=handled_at
        )
        return ProcessorEvent.objects.get(pk=row.pk)


def _look_into(tenant_id: UUID, event: Event, as_of: datetime) -> None:
    match event.object_type:
        case "payment_intent":
            attempt = _attempt(tenant_id, event, "intent_id")
            if attempt is not None:
                reconcile(tenant_id, attempt, as_of=as_of)
        case "checkout.session":
            attempt = _attempt(tenant_id, event, "session_id")
            if attempt is not None:
                reconcile(tenant_id, attempt, as_of=as_of)
            elif event.type == "checkout.session.completed":
                _finish_setup(tenant_id, event)
        case "refund":
            with tenant_scope(tenant_id):
                found = Refund.objects.filter(refund_id=event.object_id).first()
            if found is not None:
                reconcile_refund(tenant_id, found.pk, as_of=as_of)


def _attempt(tenant_id: UUID, event: Event, id_field: str) -> UUID | None:
    """The attempt by the processor's id, which an answer that was lost did not bring; else by the
    key that we noted at the object."""
    with tenant_scope(tenant_id):
        attempts = PaymentAttempt.objects.filter(**{id_field: event.object_id})
        found = attempts.values_list("pk", flat=True).first()
        if found is not None:
            return found
        key = attempt_of_key(event.attempt_key)
        if key is None:
            return None
        invoice, number = key
        return (
            PaymentAttempt.objects.filter(invoice=invoice, number=number)
            .values_list("pk", flat=True)
            .first()
        )


def _finish_setup(tenant_id: UUID, event: Event) -> None:
    """A customer who closed the browser before they came back has entered their card all the
    same."""
    with tenant_scope(tenant_id):
        payer = customer_paying_as(event.customer_id)
        if payer is not None:
            finish_card_setup(payer.customer, event.object_id)
