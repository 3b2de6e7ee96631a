"""The outbox of e-mails: written in the transaction of their cause, and sent after it.

What is rolled back was never sent. A worker that is killed between sending a message and noting it
sends it again, under the same Message-ID.
"""

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tenants.mail_kinds import Context, kind_of
from tenants.mail_models import MailMessage
from tenants.models import Tenant
from tenants.scope import current_tenant_id
from tenants.sealing import seal

RECIPIENTS_MAX: Final = 50
SEALED_FOR: Final = "e-mail"
_KEPT: Final = timedelta(days=400)


class MailNotUsable(ValueError):
    """It cannot be sent to so many, or cannot be sent again."""


def queue(
    *,
    kind: str,
    key: str,
    to: Collection[str],
    language: str,
    context: Context,
    as_of: datetime,
    time_zone: str = "",
) -> int:
    """Send an e-mail to each of `to` once this transaction is committed; how many were not asked
    for before. Call it inside the tenant's scope.

    `key` is what it is about: of one kind and key each recipient gets one. `context` is JSON; what
    the kind writes from it stands beside the kind. Without a `time_zone` the times are the
    tenant's. An address that is none is noted as failed. Raises UnknownMailKind and MailNotUsable.
    """
    found = kind_of(kind)
    if len(to) > RECIPIENTS_MAX:
        raise MailNotUsable(f"an e-mail goes to {RECIPIENTS_MAX} recipients at most")
    if not to:
        return 0
    said = dict(context)
    shared = {
        "kind": kind,
        "key": key,
        "language": language if language in dict(settings.LANGUAGES) else "en",
        "time_zone": time_zone or _tenants_zone(),
        "context": {} if found.is_secret else said,
        "sealed_context": seal(json.dumps(said), SEALED_FOR) if found.is_secret else "",
        "created_at": as_of,
    }
    once = {each.strip().lower(): each.strip() for each in to}
    # In one order, so that two who ask for the same at once wait and do not deadlock.
    messages = [
        MailMessage(recipient=once[each][:254], **shared, **_fate(once[each], as_of))
        for each in sorted(once)
    ]
    MailMessage.objects.bulk_create(messages, ignore_conflicts=True)
    return MailMessage.objects.filter(pk__in=[each.pk for each in messages]).count()


def send_again(message: MailMessage, *, as_of: datetime) -> None:
    """Send a message that was sent or given up once more. One that waits is sent now. Raises
    MailNotUsable where it held a secret, which is not kept."""
    locked = MailMessage.objects.select_for_update().get(pk=message.pk)
    if kind_of(locked.kind).is_secret and not locked.sealed_context:
        raise MailNotUsable("its link is not kept once it was sent; make a new one")
    locked.state, locked.attempts, locked.error = MailMessage.State.PENDING, 0, ""
    locked.next_attempt_at, locked.settled_at = as_of, None
    locked.save()


def prune_messages(*, as_of: datetime) -> int:
    """Forget what was settled over a year ago; how many messages."""
    old = MailMessage.objects.filter(created_at__lt=as_of - _KEPT, settled_at__isnull=False)
    return old.delete()[0]


def _fate(address: str, as_of: datetime) -> dict[str, object]:
    try:
        validate_email(address)
    except ValidationError:
        return {
            "state": MailMessage.State.FAILED,
            "settled_at": as_of,
            "error": "this is no e-mail address",
        }
    return {"next_attempt_at": as_of}


def _tenants_zone() -> str:
    return Tenant.objects.values_list("time_zone", flat=True).get(pk=current_tenant_id())
