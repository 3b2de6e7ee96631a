"""Sending what the outbox holds. An attempt is counted before it is made and noted after, and no
transaction is open while it runs."""

import logging
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Min
from django.utils import timezone
from standardwebhooks import Webhook

from tenants import outward
from tenants.core.webhooks import is_given_up, message_body, message_id, next_attempt_at
from tenants.scope import tenant_scope
from tenants.sealing import SealBroken
from tenants.webhook_endpoints import disable_endpoint, locked_endpoint, signing_secrets
from tenants.webhook_letters import GONE, SILENT, mail_disabled
from tenants.webhook_models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

logger = logging.getLogger(__name__)

# Of one endpoint so few at once: neither is it overrun, nor do others wait long for one that hangs.
_AT_ONCE_ENDPOINT: Final = 4
_ENDPOINTS_AT_ONCE: Final = 16
_THREADS: Final = 32
# Far longer than an attempt: whoever took it and has not noted anything was killed.
_LEASE: Final = timedelta(minutes=2)
_USER_AGENT: Final = "Hostmeter-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Sending:
    """A message on its way; `unsealed_not` says why it cannot be signed."""

    tenant_id: UUID
    delivery_id: UUID
    attempt: int
    url: str
    id: str
    body: str
    secrets: tuple[str, ...]
    unsealed_not: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, as WebhookAttempt has it."""

    started_at: datetime
    duration_ms: int
    status: int | None = None
    answer: str = ""
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def deliver_due(tenant_ids: Collection[UUID], *, as_of: datetime) -> int:
    """Send a share of what is due, of every tenant and endpoint alike; how many were sent."""
    taken = [each for tenant_id in tenant_ids for each in _taken_of(tenant_id, as_of)]
    if not taken:
        return 0
    with ThreadPoolExecutor(min(_THREADS, len(taken)), "webhook") as threads:
        for sending, outcome in zip(taken, threads.map(_sent, taken), strict=True):
            _noted(sending, outcome)
    return len(taken)


def _taken_of(tenant_id: UUID, as_of: datetime) -> list[Sending]:
    try:
        with tenant_scope(tenant_id):
            return take_due(tenant_id, as_of=as_of)
    except Exception:
        logger.exception("tenant %s: its webhooks are not sent", tenant_id)
        return []


def _noted(sending: Sending, outcome: Outcome) -> None:
    """What cannot be noted is sent again when its lease is over."""
    try:
        with tenant_scope(sending.tenant_id):
            note(sending, outcome)
    except Exception:
        logger.exception("webhook %s: what was answered is not kept", sending.id)


def take_due(tenant_id: UUID, *, as_of: datetime) -> list[Sending]:
    """Take some of what is due, so that nobody else does while the lease holds."""
    due = WebhookDelivery.objects.filter(
        state=WebhookDelivery.State.PENDING,
        next_attempt_at__lte=as_of,
        endpoint__disabled_at__isnull=True,
    )
    waiting = (
        due.values("endpoint").annotate(since=Min("next_attempt_at")).order_by("since", "endpoint")
    )
    taken: list[WebhookDelivery] = []
    for each in waiting[:_ENDPOINTS_AT_ONCE]:
        taken += (
            due.filter(endpoint=each["endpoint"])
            .select_related("endpoint", "event")
            .select_for_update(skip_locked=True, of=("self",))
            .order_by("next_attempt_at", "pk")[:_AT_ONCE_ENDPOINT]
        )
    WebhookDelivery.objects.filter(pk__in=[each.pk for each in taken]).update(
        attempts=F("attempts") + 1, next_attempt_at=as_of + _LEASE
    )
    return [_sending(tenant_id, each, as_of) for each in taken]


def _sending(tenant_id: UUID, delivery: WebhookDelivery, as_of: datetime) -> Sending:
    event = delivery.event
    secrets: tuple[str, ...] = ()
    broken = ""
    try:
        secrets = tuple(signing_secrets(delivery.endpoint, as_of=as_of))
    except SealBroken as error:
        broken = str(error)
    return Sending(
        tenant_id=tenant_id,
        delivery_id=delivery.pk,
        attempt=delivery.attempts + 1,
        url=delivery.endpoint.url,
        id=message_id(event.pk),
        body=message_body(event.pk, event.type, event.occurred_at, event.data),
        secrets=secrets,
        unsealed_not=broken,
    )


def _sent(sending: Sending) -> Outcome:
    """Runs beside others in a thread of its own, without the database."""
    started_at, began = timezone.now(), time.monotonic()
    status, answer, error = None, "", sending.unsealed_not
    if not error:
        try:
            got = outward.post(sending.url, sending.body.encode(), _headers(sending, started_at))
            status, answer = got.status, got.text
        except (outward.NotReached, outward.UrlNotUsable) as refusal:
            error = str(refusal)[:300]
        except Exception:
            # Whatever it is, the others are sent and noted.
            logger.exception("webhook %s: not sent", sending.id)
            error = "sending failed on our side; the server's log says where"
    took_ms = int((time.monotonic() - began) * 1_000)
    return Outcome(started_at, took_ms, status, answer, error)


def _headers(sending: Sending, moment: datetime) -> dict[str, str]:
    signed = (Webhook(secret).sign(sending.id, moment, sending.body) for secret in sending.secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "webhook-id": sending.id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signed),
    }


def note(sending: Sending, outcome: Outcome) -> None:
    """Keep what came of an attempt, and say when the next one is. An endpoint that was removed
    meanwhile is left; so is a delivery that another attempt has taken over."""
    with transaction.atomic():
        found = WebhookDelivery.objects.filter(pk=sending.delivery_id).first()
        if found is None:
            return
        endpoint = locked_endpoint(found.endpoint)
        delivery = WebhookDelivery.objects.select_for_update().get(pk=found.pk)
        WebhookAttempt.objects.create(
            delivery=delivery,
            number=sending.attempt,
            started_at=outcome.started_at,
            duration_ms=outcome.duration_ms,
            status=outcome.status,
            answer=outcome.answer,
            error=outcome.error,
        )
        ended_at = outcome.started_at + timedelta(milliseconds=outcome.duration_ms)
        if outcome.is_good:
            _note_success(endpoint, delivery, ended_at)
        else:
            _note_failure(endpoint, delivery, sending.attempt, outcome, ended_at)


def _note_success(endpoint: WebhookEndpoint, delivery: WebhookDelivery, at: datetime) -> None:
    _settle(delivery, WebhookDelivery.State.DELIVERED, at)
    if endpoint.failing_since is not None:
        endpoint.failing_since = None
        endpoint.save(update_fields=["failing_since"])


def _note_failure(
    endpoint: WebhookEndpoint,
    delivery: WebhookDelivery,
    attempt: int,
    outcome: Outcome,
    at: datetime,
) -> None:
    waits = delivery.state == WebhookDelivery.State.PENDING and delivery.attempts == attempt
    if waits:
        again = next_attempt_at(at, max(attempt - delivery.replayed_after, 1), delivery.pk)
        if again is None:
            _settle(delivery, WebhookDelivery.State.FAILED, at)
        else:
            delivery.next_attempt_at = again
            delivery.save(update_fields=["next_attempt_at"])
    if endpoint.failing_since is None:
        endpoint.failing_since = outcome.started_at
        endpoint.save(update_fields=["failing_since"])
    if outcome.status == HTTPStatus.GONE:
        _give_up(endpoint, GONE, at)
    elif is_given_up(endpoint.failing_since, at):
        _give_up(endpoint, SILENT, at)


def _give_up(endpoint: WebhookEndpoint, because: str, at: datetime) -> None:
    """Disable it and say so, where nobody has done so already."""
    if locked_endpoint(endpoint).is_enabled:
        disable_endpoint(endpoint, because, as_of=at)
        mail_disabled(endpoint, because, as_of=at)


def _settle(delivery: WebhookDelivery, state: str, at: datetime) -> None:
    delivery.state = state
    delivery.next_attempt_at = None
    delivery.settled_at = at
    delivery.save(update_fields=["state", "next_attempt_at", "settled_at"])
