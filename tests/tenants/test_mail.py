"""E-mails go out once, in the tenant's name and the reader's language, whatever fails."""

from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any
from uuid import UUID

import pytest
from django.core import mail as outbox
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction
from django.utils import timezone

from tenants.core.mail import ATTEMPTS_MAX
from tenants.mail import MailNotUsable, prune_messages, queue, send_again
from tenants.mail_delivery import send_due, take_due
from tenants.mail_kinds import UnknownMailKind
from tenants.mail_models import MailMessage
from tenants.models import Tenant
from tenants.scope import installation_scope, tenant_scope
from tenants.tasks import send_mail

pytestmark = pytest.mark.django_db

SIGN_IN = {
    "at": "2026-11-03T13:05:00+00:00",
    "device": "Firefox <3",
    "address": "203.0.113.7",
    "url": "https://example.com/sessions/",
}


def ask(key: str = "one", to: tuple[str, ...] = ("ann@example.com",), language: str = "en") -> int:
    return queue(
        kind="new_sign_in", key=key, to=to, language=language, context=SIGN_IN,
        time_zone="Europe/Berlin", as_of=timezone.now(),
    )  # fmt: skip


def send(tenant_id: UUID, *, after: timedelta = timedelta(0)) -> int:
    return send_due([tenant_id], as_of=timezone.now() + after)


def answering(error: Exception) -> Callable[..., int]:
    """What a mail server does that answers with this error."""

    def refuse(*_: object) -> int:
        raise error

    return refuse


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    return lambda error: monkeypatch.setattr(EmailBackend, "send_messages", answering(error))


def arrived() -> Any:
    (message,) = outbox.outbox
    return message


class TestAMessage:
    def test_is_sent_once_to_each_recipient(self, inside: UUID) -> None:
        assert ask(to=("ann@example.com", "bob@example.com", "ANN@example.com")) == 2
        assert ask(to=("bob@example.com", "cid@example.com")) == 1
        assert send(inside) == 3
        assert send(inside) == 0
        sent_to = sorted(message.to[0] for message in outbox.outbox)
        assert [each.partition("@")[0].lower() for each in sent_to] == ["ann", "bob", "cid"]

    def test_says_the_same_as_html_and_as_text(self, inside: UUID) -> None:
        ask()
        send(inside)
        message = arrived()
        (html, content_type) = message.alternatives[0]
        assert content_type == "text/html"
        assert "Firefox &lt;3" in html
        assert "Firefox <3" in message.body
        for said in (html, message.body):
            assert "3 Nov 2026, 14:05 CET" in said
            assert "https://example.com/sessions/" in said

    def test_is_in_the_readers_language(self, inside: UUID) -> None:
        ask(language="de")
        send(inside)
        assert arrived().subject == "Neue Anmeldung bei Ihrem Konto"
        assert "3. Nov. 2026, 14:05 CET" in arrived().body

    def test_comes_from_the_tenant(self, inside: UUID) -> None:
        Tenant.objects.update(mail_sender_name='Høst, "One"\nBcc: x@y.z')
        ask()
        send(inside)
        sender = arrived().from_email
        assert sender.endswith("<hostmeter@localhost>")
        assert "\n" not in sender
        assert "Bcc" not in arrived().message()

    def test_of_a_cause_that_is_rolled_back_is_not_sent(self, inside: UUID) -> None:
        with transaction.atomic():
            ask()
            transaction.set_rollback(True)
        assert send(inside) == 0

    def test_to_what_is_no_address_is_shown_as_failed(self, inside: UUID) -> None:
        ask(to=("ann@example.com\nBcc: x@y.z", "bob@example.com"))
        assert send(inside) == 1
        failed = MailMessage.objects.get(state="failed")
        assert failed.error == "this is no e-mail address"

    def test_of_an_unknown_kind_or_to_too_many_is_refused(self, inside: UUID) -> None:
        with pytest.raises(UnknownMailKind, match="no e-mail of kind"):
            queue(kind="x", key="", to=["a@b.example"], language="en", context={},
                  as_of=timezone.now())  # fmt: skip
        with pytest.raises(MailNotUsable, match="50 recipients"):
            ask(to=tuple(f"a{number}@example.com" for number in range(51)))

    def test_of_another_tenant_is_neither_seen_nor_sent(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        with tenant_scope(other_tenant.pk):
            ask()
        assert send(tenant.pk) == 0
        assert send_mail() == 1
        assert "Second-Host" in arrived().from_email


class TestAFailure:
    def test_is_tried_again_later_under_the_same_name(self, inside: UUID) -> None:
        ask()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(
                EmailBackend, "send_messages", answering(SMTPServerDisconnected("gone"))
            )
            assert send(inside) == 1
        message = MailMessage.objects.get()
        assert (message.state, message.error) == ("pending", "not sent: gone")
        assert send(inside) == 0
        assert send(inside, after=timedelta(minutes=2)) == 1
        (sent,) = outbox.outbox
        assert sent.extra_headers["Message-ID"] == f"<{message.pk.hex}@localhost>"
        assert MailMessage.objects.get().state == "sent"

    def test_of_the_last_attempt_is_for_good_until_it_is_asked_for_again(
        self, inside: UUID, failing: Callable[[Exception], None]
    ) -> None:
        ask()
        MailMessage.objects.update(attempts=ATTEMPTS_MAX - 1)
        failing(SMTPServerDisconnected("gone"))
        send(inside)
        assert MailMessage.objects.get().state == "failed"
        send_again(MailMessage.objects.get(), as_of=timezone.now())
        assert MailMessage.objects.get().state == "pending"

    def test_for_a_mailbox_that_is_not_there_is_for_good(
        self, inside: UUID, failing: Callable[[Exception], None]
    ) -> None:
        ask()
        failing(SMTPRecipientsRefused({"ann@example.com": (550, b"no such user")}))
        send(inside)
        message = MailMessage.objects.get()
        assert (message.state, message.error) == ("failed", "refused: 550 no such user")

    def test_of_a_worker_that_is_killed_is_made_up_for(self, inside: UUID) -> None:
        ask()
        assert len(take_due(as_of=timezone.now())) == 1
        assert send(inside) == 0
        assert send(inside, after=timedelta(minutes=16)) == 1

    def test_in_writing_one_leaves_the_others(self, inside: UUID) -> None:
        ask("one")
        MailMessage.objects.update(context={"url": ""})
        ask("two")
        assert send(inside) == 2
        assert len(outbox.outbox) == 1
        assert "cannot be written" in MailMessage.objects.get(key="one").error


class TestASecret:
    def test_is_kept_sealed_and_thrown_away_once_it_is_sent(self, inside: UUID) -> None:
        queue(
            kind="invitation", key="one", to=["ann@example.com"], language="en",
            context={"tenant": "First", "url": "https://example.com/join/s3cret/"},
            as_of=timezone.now(),
        )  # fmt: skip
        message = MailMessage.objects.get()
        assert "s3cret" not in str(message.context) + message.sealed_context
        send(inside)
        assert "s3cret" in arrived().body
        message.refresh_from_db()
        assert not message.sealed_context
        with pytest.raises(MailNotUsable, match="make a new one"):
            send_again(message, as_of=timezone.now())


def test_old_messages_are_forgotten_and_waiting_ones_kept(inside: UUID) -> None:
    ask("one")
    send(inside)
    ask("two")
    later = timezone.now() + timedelta(days=401)
    assert prune_messages(as_of=later) == 1
    assert MailMessage.objects.get().key == "two"


def test_an_installation_without_tenants_sends_nothing(db: None) -> None:
    with installation_scope():
        assert not Tenant.objects.exists()
    assert send_mail() == 0
