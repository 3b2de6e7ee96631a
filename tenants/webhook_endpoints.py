"""Keeping endpoints: their addresses, what they are told, their secrets, and telling them again."""

import secrets
from base64 import b64encode
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from django.db import transaction

from tenants import outward
from tenants.models import Customer
from tenants.sealing import seal, unseal
from tenants.webhook_events import TEST, usable_types
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint, WebhookEvent

ENDPOINTS_MAX: Final = 20
PREVIOUS_SECRET_HOLDS: Final = timedelta(hours=24)
EVENTS_KEPT_FOR: Final = timedelta(days=30)
_PRUNED_AT_ONCE: Final = 1_000
_PURPOSE: Final = "secret of a webhook"


class TooManyEndpoints(Exception):
    """The tenant, or the customer, has as many endpoints as it may."""


class EndpointDisabled(Exception):
    """It is sent nothing until it is enabled again."""


def add_endpoint(
    url: str,
    event_types: Collection[str] = (),
    *,
    description: str = "",
    customer: Customer | None = None,
    as_of: datetime,
) -> tuple[WebhookEndpoint, str]:
    """An endpoint of the tenant's own, or of a customer's, and its secret, which is shown once.

    Raises outward.UrlNotUsable, UnknownEventType and TooManyEndpoints.
    """
    outward.require_usable(url)
    types = usable_types(list(event_types), of_customer=customer is not None)
    if WebhookEndpoint.objects.kept().filter(customer=customer).count() >= ENDPOINTS_MAX:
        raise TooManyEndpoints(f"there are {ENDPOINTS_MAX} already; remove one first")
    secret = _fresh_secret()
    endpoint = WebhookEndpoint.objects.create(
        url=url,
        event_types=types,
        description=description,
        customer=customer,
        sealed_secret=seal(secret, _PURPOSE),
        created_at=as_of,
    )
    return endpoint, secret


def change_endpoint(
    endpoint: WebhookEndpoint,
    *,
    url: str | None = None,
    event_types: Collection[str] | None = None,
    description: str | None = None,
) -> WebhookEndpoint:
    """What is None stays. Messages that wait go to the new address.

    Raises outward.UrlNotUsable and UnknownEventType.
    """
    with transaction.atomic():
        locked = locked_endpoint(endpoint)
        if url is not None:
            outward.require_usable(url)
            locked.url = url
        if event_types is not None:
            of_customer = locked.customer_id is not None
            locked.event_types = usable_types(list(event_types), of_customer=of_customer)
        if description is not None:
            locked.description = description
        locked.save(update_fields=["url", "event_types", "description"])
        return locked


def rotate_secret(endpoint: WebhookEndpoint, *, as_of: datetime) -> str:
    """A fresh secret, shown once. For 24 hours messages are signed with the one before as well."""
    secret = _fresh_secret()
    with transaction.atomic():
        locked = locked_endpoint(endpoint)
        locked.previous_sealed_secret = locked.sealed_secret
        locked.previous_secret_until = as_of + PREVIOUS_SECRET_HOLDS
        locked.sealed_secret = seal(secret, _PURPOSE)
        locked.save(
            update_fields=["sealed_secret", "previous_sealed_secret", "previous_secret_until"]
        )
    return secret


def signing_secrets(endpoint: WebhookEndpoint, *, as_of: datetime) -> list[str]:
    """Those that messages are signed with, the newest first. Raises SealBroken."""
    held = [endpoint.sealed_secret]
    until = endpoint.previous_secret_until
    if endpoint.previous_sealed_secret and until is not None and as_of < until:
        held.append(endpoint.previous_sealed_secret)
    return [unseal(each, _PURPOSE) for each in held]


def remove_endpoint(endpoint: WebhookEndpoint, *, as_of: datetime) -> None:
    """It is gone for whoever looks, with all that was sent to it."""
    with transaction.atomic():
        disable_endpoint(endpoint, "removed", as_of=as_of)
        WebhookEndpoint.objects.kept().filter(pk=endpoint.pk).update(removed_at=as_of)


def disable_endpoint(endpoint: WebhookEndpoint, because: str, *, as_of: datetime) -> None:
    """Send it nothing more. What waits for it is given up and can be replayed; what happens from
    now on is not kept for it. One that is disabled stays as it is."""
    with transaction.atomic():
        locked = locked_endpoint(endpoint)
        if not locked.is_enabled:
            return
        locked.disabled_at = as_of
        locked.disabled_because = because[:200]
        locked.save(update_fields=["disabled_at", "disabled_because"])
        locked.deliveries.filter(state=WebhookDelivery.State.PENDING).update(
            state=WebhookDelivery.State.FAILED, next_attempt_at=None, settled_at=as_of
        )


def enable_endpoint(endpoint: WebhookEndpoint) -> None:
    """Send to it again, from now on; what failed meanwhile can be replayed."""
    WebhookEndpoint.objects.kept().filter(pk=endpoint.pk).update(
        disabled_at=None, disabled_because="", failing_since=None
    )


def send_test(endpoint: WebhookEndpoint, *, as_of: datetime) -> WebhookDelivery:
    """Send a message of no consequence, to see whether it arrives. Raises EndpointDisabled."""
    with transaction.atomic():
        locked = _enabled(endpoint)
        event = WebhookEvent.objects.create(
            type=TEST,
            key=f"{TEST}:{uuid4()}",
            customer_id=locked.customer_id,
            data={"endpoint_id": str(locked.pk)},
            occurred_at=as_of,
        )
        return WebhookDelivery.objects.create(
            endpoint=locked, event=event, next_attempt_at=as_of, created_at=as_of
        )


def replay(delivery: WebhookDelivery, *, as_of: datetime) -> WebhookDelivery:
    """Send it again, now, under its own id, and with all its attempts before it.
    Raises EndpointDisabled."""
    with transaction.atomic():
        _enabled(delivery.endpoint)
        locked = WebhookDelivery.objects.select_for_update().get(pk=delivery.pk)
        locked.state = WebhookDelivery.State.PENDING
        locked.replayed_after = locked.attempts
        locked.next_attempt_at = as_of
        locked.settled_at = None
        locked.save(update_fields=["state", "replayed_after", "next_attempt_at", "settled_at"])
        return locked


def locked_endpoint(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """It as it stands, kept by this transaction. Endpoints are locked before their deliveries."""
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)


def _enabled(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    locked = locked_endpoint(endpoint)
    if not locked.is_enabled:
        raise EndpointDisabled("the endpoint is disabled; enable it first")
    return locked


def _fresh_secret() -> str:
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def prune_events(*, as_of: datetime) -> int:
    """Forget what happened longer ago than anybody replays, and removed endpoints; how many
    events."""
    old = WebhookEvent.objects.filter(occurred_at__lt=as_of - EVENTS_KEPT_FOR)
    forgotten = 0
    while chunk := list(old.values_list("pk", flat=True)[:_PRUNED_AT_ONCE]):
        WebhookEvent.objects.filter(pk__in=chunk).delete()
        forgotten += len(chunk)
    WebhookEndpoint.objects.filter(removed_at__lt=as_of - timedelta(days=1)).delete()
    return forgotten
