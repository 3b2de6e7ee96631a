"""Webhook endpoints, and what was sent to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Taken, example, one_of, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.core.webhooks import message_id
from tenants.models import Customer
from tenants.outward import URL_LENGTH_MAX, UrlNotUsable
from tenants.webhook_endpoints import (
    EndpointDisabled,
    TooManyEndpoints,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    enable_endpoint,
    remove_endpoint,
    replay,
    rotate_secret,
    send_test,
)
from tenants.webhook_events import UnknownEventType
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint

webhooks = Resources()

Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH_MAX, pattern=PRINTABLE)]
EventTypes = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=PRINTABLE)]],
    Field(max_length=50),
]
State = Annotated[str, one_of(WebhookDelivery.State)]


class EndpointIn(Taken):
    """Without `event_types` it is told all of them. With a customer it is told of that customer
    alone."""

    model_config = example(
        {
            "url": "https://example.com/hostmeter",
            "event_types": ["invoice.finalized", "invoice.paid"],
            "description": "Bookkeeping",
        }
    )

    url: Url
    event_types: EventTypes = []
    description: Annotated[str, text(120)] = ""
    customer_id: UUID | None = None


class EndpointChange(Taken):
    """What is left out stays as it is. `enabled` true sends again to one that was disabled."""

    model_config = example({"event_types": [], "enabled": True})

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Annotated[str, text(120)] | None = None
    enabled: bool | None = None


class EndpointOut(Given):
    """`failing_since` is when it first failed since it last answered well; after three days of that
    it is disabled, and `disabled_because` says so."""

    id: UUID
    url: str
    event_types: list[str]
    description: str
    customer_id: UUID | None
    created_at: Instant
    enabled: bool
    disabled_at: Instant | None
    disabled_because: str
    failing_since: Instant | None
    previous_secret_until: Instant | None


class EndpointWithSecretOut(EndpointOut):
    """`secret` signs the messages; it is shown this once."""

    secret: str


class DeliveryOut(Given):
    """One event to one endpoint. `message_id` is what the message is called in every attempt."""

    id: UUID
    endpoint_id: UUID
    message_id: str
    type: str
    occurred_at: Instant
    state: State
    attempts: int
    next_attempt_at: Instant | None
    settled_at: Instant | None


class AttemptOut(Given):
    """`status` and the first KB of the answer; without a status none came, and `error` says why."""

    number: int
    started_at: Instant
    duration_ms: int
    status: int | None
    answer: str
    error: str


class DeliveryWithAttemptsOut(DeliveryOut):
    """With what was sent, and its newest attempts, at most 50."""

    data: dict[str, Any]
    tries: list[AttemptOut]


class DeliveryFilters(Paging):
    state: Annotated[
        Literal["pending", "delivered", "failed"] | None, Field(description="Those that are it.")
    ] = None


@webhooks.reading(
    "/webhook-endpoints",
    scope="webhooks:read",
    answers=Page[EndpointOut],
    summary="List webhook endpoints",
)
def list_webhook_endpoints(request: ApiRequest, filters: Query[Paging]) -> Page[EndpointOut]:
    rows = WebhookEndpoint.objects.kept().filter(request.caller.own("customer"))
    return page_of(rows, filters, _shown, by="created_at")


@webhooks.creating(
    "/webhook-endpoints",
    scope="webhooks:write",
    answers=EndpointWithSecretOut,
    summary="Add a webhook endpoint",
    tells_secret=True,
)
def create_webhook_endpoint(request: ApiRequest, endpoint: EndpointIn) -> EndpointWithSecretOut:
    with _refusals():
        added, secret = add_endpoint(
            endpoint.url,
            endpoint.event_types,
            description=endpoint.description,
            customer=_customer(endpoint.customer_id),
            as_of=request.as_of,
        )
    return _with_secret(added, secret)


@webhooks.reading(
    "/webhook-endpoints/{uuid:endpoint_id}",
    scope="webhooks:read",
    answers=EndpointOut,
    summary="Read a webhook endpoint",
)
def get_webhook_endpoint(request: ApiRequest, endpoint_id: UUID) -> EndpointOut:
    return _shown(_visible(request.caller, endpoint_id))


@webhooks.changing(
    "/webhook-endpoints/{uuid:endpoint_id}",
    scope="webhooks:write",
    answers=EndpointOut,
    summary="Change a webhook endpoint, disable or enable it",
)
def update_webhook_endpoint(
    request: ApiRequest, endpoint_id: UUID, change: EndpointChange
) -> EndpointOut:
    endpoint = _visible(request.caller, endpoint_id)
    with _refusals():
        change_endpoint(
            endpoint,
            url=change.url,
            event_types=change.event_types,
            description=change.description,
        )
    if change.enabled is True:
        enable_endpoint(endpoint)
    if change.enabled is False:
        disable_endpoint(endpoint, "disabled through the API", as_of=request.as_of)
    endpoint.refresh_from_db()
    return _shown(endpoint)


@webhooks.removing(
    "/webhook-endpoints/{uuid:endpoint_id}",
    scope="webhooks:write",
    answers=None,
    summary="Remove a webhook endpoint",
)
def remove_webhook_endpoint(request: ApiRequest, endpoint_id: UUID) -> None:
    remove_endpoint(_visible(request.caller, endpoint_id), as_of=request.as_of)


@webhooks.acting(
    "/webhook-endpoints/{uuid:endpoint_id}/rotate-secret",
    scope="webhooks:write",
    answers=EndpointWithSecretOut,
    summary="Give an endpoint a new secret; the one before signs as well for 24 hours",
    tells_secret=True,
)
def rotate_webhook_secret(request: ApiRequest, endpoint_id: UUID) -> EndpointWithSecretOut:
    endpoint = _visible(request.caller, endpoint_id)
    secret = rotate_secret(endpoint, as_of=request.as_of)
    endpoint.refresh_from_db()
    return _with_secret(endpoint, secret)


@webhooks.creating(
    "/webhook-endpoints/{uuid:endpoint_id}/test",
    scope="webhooks:write",
    answers=DeliveryOut,
    summary="Send a test message",
)
def send_webhook_test(request: ApiRequest, endpoint_id: UUID) -> DeliveryOut:
    endpoint = _visible(request.caller, endpoint_id)
    with _refusals():
        return _shown_delivery(send_test(endpoint, as_of=request.as_of))


@webhooks.reading(
    "/webhook-endpoints/{uuid:endpoint_id}/deliveries",
    scope="webhooks:read",
    answers=Page[DeliveryOut],
    summary="List what was sent to an endpoint, the newest first",
)
def list_webhook_deliveries(
    request: ApiRequest, endpoint_id: UUID, filters: Query[DeliveryFilters]
) -> Page[DeliveryOut]:
    rows = _visible(request.caller, endpoint_id).deliveries.select_related("event")
    if filters.state is not None:
        rows = rows.filter(state=filters.state)
    return page_of(rows, filters, _shown_delivery, by="created_at", newest_first=True)


@webhooks.reading(
    "/webhook-deliveries/{uuid:delivery_id}",
    scope="webhooks:read",
    answers=DeliveryWithAttemptsOut,
    summary="Read what was sent, and each attempt with what was answered",
)
def get_webhook_delivery(request: ApiRequest, delivery_id: UUID) -> DeliveryWithAttemptsOut:
    delivery = _visible_delivery(request.caller, delivery_id)
    tries = [
        AttemptOut(**{name: getattr(each, name) for name in AttemptOut.model_fields})
        for each in delivery.tries.all()[:50]
    ]
    shown = _shown_delivery(delivery).model_dump()
    return DeliveryWithAttemptsOut(**shown, data=delivery.event.data, tries=tries)


@webhooks.acting(
    "/webhook-deliveries/{uuid:delivery_id}/replay",
    scope="webhooks:write",
    answers=DeliveryOut,
    summary="Send a message again, under its own id",
)
def replay_webhook_delivery(request: ApiRequest, delivery_id: UUID) -> DeliveryOut:
    delivery = _visible_delivery(request.caller, delivery_id)
    with _refusals():
        return _shown_delivery(replay(delivery, as_of=request.as_of))


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises Problem."""
    try:
        yield
    except UrlNotUsable as refusal:
        raise unprocessable(("url", str(refusal))) from refusal
    except UnknownEventType as refusal:
        raise unprocessable(("event_types", str(refusal))) from refusal
    except TooManyEndpoints as refusal:
        raise conflict("too-many-endpoints", f"{str(refusal).capitalize()}.") from refusal
    except EndpointDisabled as refusal:
        raise conflict("endpoint-disabled", f"{str(refusal).capitalize()}.") from refusal


def _customer(customer_id: UUID | None) -> Customer | None:
    if customer_id is None:
        return None
    found = Customer.objects.filter(pk=customer_id).first()
    if found is None:
        raise not_found("customer")
    return found


def _visible(caller: Caller, endpoint_id: UUID) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.kept().filter(caller.own("customer"), pk=endpoint_id).first()
    if found is None:
        raise not_found("webhook endpoint")
    return found


def _visible_delivery(caller: Caller, delivery_id: UUID) -> WebhookDelivery:
    rows = WebhookDelivery.objects.filter(
        caller.own("endpoint__customer"), pk=delivery_id, endpoint__removed_at__isnull=True
    )
    found = rows.select_related("endpoint", "event").first()
    if found is None:
        raise not_found("webhook delivery")
    return found


def _fields(endpoint: WebhookEndpoint) -> dict[str, Any]:
    own = {name: getattr(endpoint, name, None) for name in EndpointOut.model_fields}
    return own | {"enabled": endpoint.is_enabled}


def _shown(endpoint: WebhookEndpoint) -> EndpointOut:
    return EndpointOut(**_fields(endpoint))


def _with_secret(endpoint: WebhookEndpoint, secret: str) -> EndpointWithSecretOut:
    return EndpointWithSecretOut(**_fields(endpoint), secret=secret)


def _shown_delivery(delivery: WebhookDelivery) -> DeliveryOut:
    event = delivery.event
    return DeliveryOut(
        id=delivery.pk,
        endpoint_id=delivery.endpoint_id,
        message_id=message_id(event.pk),
        type=event.type,
        occurred_at=event.occurred_at,
        state=delivery.state,
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        settled_at=delivery.settled_at,
    )
