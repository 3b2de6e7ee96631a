"""Sending what the outbox of e-mails holds. An attempt is counted before it is made and noted
after, and no transaction is open while the mail server is talked to."""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import Any, Final
from uuid import UUID

from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tenants.core.mail import next_attempt_at, one_line
from tenants.mail import SEALED_FOR
from tenants.mail_kinds import kind_of
from tenants.mail_models import MailMessage
from tenants.mail_rendering import outgoing, rendered, sender
from tenants.scope import tenant_scope
from tenants.sealing import unseal

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 20
# Longer than a share of messages takes of a server that is slow to the last second that it is
# given: whoever took one and has not noted anything was killed.
_LEASE: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Posting:
    """A message on its way, or why it cannot be written."""

    pk: UUID
    attempt: int
    mail: EmailMultiAlternatives | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt; without an error it was taken by the mail server."""

    error: str = ""
    is_final: bool = False


def send_due(tenant_ids: Collection[UUID], *, as_of: datetime) -> int:
    """Send a share of what is due of every tenant; how many messages were tried."""
    return sum(_send_of(tenant_id, as_of) for tenant_id in tenant_ids)


def _send_of(tenant_id: UUID, as_of: datetime) -> int:
    try:
        with tenant_scope(tenant_id):
            taken = take_due(as_of=as_of)
        if not taken:
            return 0
        with tenant_scope(tenant_id):
            postings = [_written(each) for each in taken]
        for posting, result in _delivered(postings):
            with tenant_scope(tenant_id):
                note(posting, result, at=timezone.now())
    except Exception:
        logger.exception("tenant %s: its e-mails are not sent", tenant_id)
        return 0
    return len(taken)


def take_due(*, as_of: datetime) -> list[MailMessage]:
    """Take some of what is due, oldest first, so that nobody else does while the lease holds."""
    due = MailMessage.objects.filter(state=MailMessage.State.PENDING, next_attempt_at__lte=as_of)
    taken = list(
        due.select_for_update(skip_locked=True).order_by("next_attempt_at", "pk")[:_AT_ONCE]
    )
    MailMessage.objects.filter(pk__in=[each.pk for each in taken]).update(
        attempts=F("attempts") + 1, next_attempt_at=as_of + _LEASE
    )
    for each in taken:
        each.attempts += 1
    return taken


def _written(message: MailMessage) -> Posting:
    """What cannot be written today may be after a repair: it is tried again like any failure."""
    try:
        # A failed statement must not take the other messages along.
        with transaction.atomic():
            of = sender()
            made = rendered(
                *(kind_of(message.kind), _context(message), of),
                language=message.language,
                zone=message.time_zone,
            )
            mail = outgoing(made, of, pk=message.pk, recipient=message.recipient)
            mail.message()
    except Exception as error:
        logger.exception("e-mail %s (%s) cannot be written", message.pk, message.kind)
        return Posting(message.pk, message.attempts, None, f"cannot be written: {error}")
    # Whoever shows messages instead of sending them leaves these out.
    mail.is_secret = bool(message.sealed_context)  # type: ignore[attr-defined]
    return Posting(message.pk, message.attempts, mail)


def _context(message: MailMessage) -> dict[str, Any]:
    if message.sealed_context:
        opened: dict[str, Any] = json.loads(unseal(message.sealed_context, SEALED_FOR))
        return opened
    return dict(message.context)


def _delivered(postings: list[Posting]) -> list[tuple[Posting, Result]]:
    """One connection for all of them. A server that cannot be reached is asked once."""
    connection = get_connection()
    try:
        connection.open()
    except OSError as error:
        unreached = Result(f"the mail server cannot be reached: {error}")
        return [(each, unreached) for each in postings]
    try:
        return [(each, _attempt(each, connection)) for each in postings]
    finally:
        _close(connection)


def _attempt(posting: Posting, connection: BaseEmailBackend) -> Result:
    if posting.mail is None:
        return Result(posting.error)
    try:
        connection.send_messages([posting.mail])
    except SMTPRecipientsRefused as refusal:
        code, words = next(iter(refusal.recipients.values()))
        return Result(f"refused: {code} {_text(words)}", is_final=code >= 500)
    except SMTPDataError as refusal:
        said = f"refused: {refusal.smtp_code} {_text(refusal.smtp_error)}"
        return Result(said, is_final=refusal.smtp_code >= 500)
    except (OSError, ValueError) as error:
        # A broken connection is opened anew for the next message.
        _close(connection)
        return Result(f"not sent: {error}")
    return Result()


def _close(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except OSError:
        logger.info("the connection to the mail server was closed by it")


def _text(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else words


def note(posting: Posting, result: Result, *, at: datetime) -> None:
    """Keep what came of an attempt, and say when the next one is. A message that another attempt
    has taken over, or that was asked for again meanwhile, is left."""
    message = MailMessage.objects.select_for_update().filter(pk=posting.pk).first()
    if message is None or message.attempts != posting.attempt:
        return
    message.error = one_line(result.error)[:300]
    if result.error:
        again = None if result.is_final else next_attempt_at(at, message.attempts)
        if again is not None:
            message.next_attempt_at = again
            message.save(update_fields=["error", "next_attempt_at"])
            return
        message.state = MailMessage.State.FAILED
    else:
        message.state = MailMessage.State.SENT
        message.subject = posting.mail.subject[:300] if posting.mail else ""
    message.next_attempt_at, message.settled_at, message.sealed_context = None, at, ""
    message.save()
    if message.state == MailMessage.State.SENT:
        _tell(message, at)


def _tell(message: MailMessage, at: datetime) -> None:
    try:
        with transaction.atomic():
            kind_of(message.kind).sent(message.context, at)
    except Exception:
        logger.exception("e-mail %s: that it was sent is not noted at its cause", message.pk)
