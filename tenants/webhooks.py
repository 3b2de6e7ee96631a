"""The outbox: events are written in the transaction of their cause, and told after it.

What is rolled back was never told, and what is committed is told at least once: a worker that is
killed between sending and noting it sends the message again, under the same id.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tenants.models import Customer
from tenants.webhook_events import CUSTOMER_EVENT_TYPES, EVENT_TYPES, UnknownEventType
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint, WebhookEvent


@dataclass(frozen=True, slots=True)
class Happening:
    """An event to be told. Of several with one key, whenever they come, the first is told. Ids and
    amounts in `data` are text. `customer_id` is whom it is about."""

    type: str
    key: str
    data: Mapping[str, Any]
    customer_id: UUID | None = None


def emit(
    event_type: str,
    key: str,
    data: Mapping[str, Any],
    *,
    customer: Customer | None = None,
    as_of: datetime,
) -> None:
    """Tell whoever has asked for it, once this transaction is committed. Call it inside the
    tenant's scope. Raises UnknownEventType."""
    customer_id = None if customer is None else customer.pk
    emit_all([Happening(event_type, key, data, customer_id)], as_of=as_of)


def emit_all(happenings: Collection[Happening], *, as_of: datetime) -> None:
    """As emit, for many at once: one query where nobody listens. Where nobody has asked for a type,
    nothing is stored of it."""
    for each in happenings:
        if each.type not in EVENT_TYPES:
            raise UnknownEventType(each.type)
    endpoints = list(WebhookEndpoint.objects.enabled()) if happenings else []
    listeners = {
        happening.key: [each for each in endpoints if is_told(each, happening)]
        for happening in happenings
    }
    # In the order of their keys, so that two who tell the same at once wait and do not deadlock.
    heard = sorted(
        {each.key: each for each in happenings if listeners[each.key]}.values(),
        key=lambda each: each.key,
    )
    if heard:
        _write(heard, listeners, as_of)


def is_told(endpoint: WebhookEndpoint, happening: Happening) -> bool:
    """Whether the endpoint has asked for it and may know of it."""
    if endpoint.event_types and happening.type not in endpoint.event_types:
        return False
    if endpoint.customer_id is None:
        return True
    of_them = endpoint.customer_id == happening.customer_id
    return of_them and happening.type in CUSTOMER_EVENT_TYPES


def _write(
    heard: list[Happening], listeners: dict[str, list[WebhookEndpoint]], as_of: datetime
) -> None:
    events = [
        WebhookEvent(
            type=each.type,
            key=each.key,
            data=dict(each.data),
            customer_id=each.customer_id,
            occurred_at=as_of,
        )
        for each in heard
    ]
    WebhookEvent.objects.bulk_create(events, ignore_conflicts=True)
    # Those whose key was there before kept their own ids, and are told already.
    written = set(
        WebhookEvent.objects.filter(pk__in=[each.pk for each in events]).values_list(
            "pk", flat=True
        )
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(endpoint=endpoint, event=event, next_attempt_at=as_of, created_at=as_of)
        for event in events
        if event.pk in written
        for endpoint in listeners[event.key]
    )
