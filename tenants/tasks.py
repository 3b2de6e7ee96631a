"""What runs by itself: webhooks and e-mails are sent; what nobody asks for again is forgotten."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from celery import shared_task
from django.db import connection
from django.utils import timezone

from tenants import operations
from tenants.mail import prune_messages
from tenants.mail_delivery import send_due
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope
from tenants.webhook_delivery import deliver_due
from tenants.webhook_endpoints import prune_events

_DELIVERY_SECONDS: Final = 20
_DELIVERY_LOCK: Final = 0x686D_7765_6268  # hmwebh
_MAIL_LOCK: Final = 0x686D_6D61_696C  # hmmail


@shared_task(name="tenants.tasks.deliver_webhooks")
def deliver_webhooks() -> int:
    """Send what is due, over all tenants; how many messages. One task does so at a time: receivers
    that hang hold up one worker process, and the next tick goes on."""
    until = time.monotonic() + _DELIVERY_SECONDS
    sent = 0
    with _alone(_DELIVERY_LOCK) as alone:
        while alone and time.monotonic() < until:
            round_sent = deliver_due(_tenant_ids(), as_of=timezone.now())
            if not round_sent:
                break
            sent += round_sent
    return sent


@shared_task(name="tenants.tasks.send_mail")
def send_mail() -> int:
    """Send the e-mails that are due, over all tenants; how many were tried. As deliver_webhooks,
    so that a mail server that hangs holds up one worker process."""
    until = time.monotonic() + _DELIVERY_SECONDS
    tried = 0
    with _alone(_MAIL_LOCK) as alone:
        while alone and time.monotonic() < until:
            round_tried = send_due(_tenant_ids(), as_of=timezone.now())
            if not round_tried:
                break
            tried += round_tried
    return tried


@shared_task(name="tenants.tasks.prune_mail")
def prune_mail() -> int:
    """How many e-mails were forgotten, over all tenants."""
    as_of = timezone.now()
    forgotten = 0
    for tenant_id in _tenant_ids():
        with tenant_scope(tenant_id):
            forgotten += prune_messages(as_of=as_of)
    return forgotten


@contextmanager
def _alone(lock: int) -> Iterator[bool]:
    """Whether no other task sends. The lock is the session's: it goes with a worker that dies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        (alone,) = cursor.fetchone() or (False,)
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])


@shared_task(name="tenants.tasks.prune_webhook_events")
def prune_webhook_events() -> int:
    """How many were forgotten, over all tenants."""
    as_of = timezone.now()
    forgotten = 0
    for tenant_id in _tenant_ids():
        with tenant_scope(tenant_id):
            forgotten += prune_events(as_of=as_of)
    return forgotten


@shared_task(name="tenants.tasks.prune_idempotency_records")
def prune_idempotency_records() -> int:
    """How many were forgotten, over all tenants; each tenant is a transaction of its own."""
    as_of = timezone.now()
    forgotten = 0
    for tenant_id in _tenant_ids():
        with tenant_scope(tenant_id):
            forgotten += operations.prune_idempotency_records(as_of=as_of)
    return forgotten


def _tenant_ids() -> list[UUID]:
    with installation_scope():
        return list(Tenant.objects.order_by("id").values_list("id", flat=True))
