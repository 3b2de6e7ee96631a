"""From a message's context to the e-mail as it goes out: one layout for HTML, one for text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final, Literal
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation

from tenants.core.mail import Letter, ink_on, message_id, one_line
from tenants.mail_kinds import Attachment, Context, Look, MailKind, look
from tenants.models import Tenant
from tenants.scope import current_tenant_id

# Many servers refuse more than 10 MB, and base64 adds a third.
ATTACHED_BYTES_MAX: Final = 6_000_000
Shade = Literal["", "light", "dark"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """An e-mail as a reader gets it. `shade` fixes what else follows the reader's own setting."""

    letter: Letter
    html: str
    text: str
    files: Sequence[Attachment]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who an e-mail comes from."""

    name: str
    address: str
    look: Look

    @property
    def header(self) -> str:
        return str(Address(one_line(self.name), addr_spec=self.address))


def sender() -> Sender:
    """The tenant whose scope it is."""
    tenant = Tenant.objects.get(pk=current_tenant_id())
    address = tenant.mail_sender_address or settings.DEFAULT_FROM_EMAIL
    return Sender(tenant.mail_sender_name or tenant.name, address, look())


@contextmanager
def read_in(language: str, zone: str) -> Iterator[None]:
    with translation.override(language), timezone.override(zone):
        yield


def rendered(
    kind: MailKind, context: Context, of: Sender, *, language: str, zone: str, shade: Shade = ""
) -> Rendered:
    """The e-mail of a kind and context, in the tenant's scope."""
    with read_in(language, zone):
        made = kind.attach(context)
        files = made if sum(len(each.content) for each in made) <= ATTACHED_BYTES_MAX else ()
        letter = kind.write({**context, "attached": bool(files)})
        page = {
            "letter": letter,
            "sender": of.name,
            "colour": of.look.colour,
            "ink": ink_on(of.look.colour),
            "language": language,
            "shade": shade,
        }
        html = render_to_string("mail/letter.html", page)
        text = render_to_string("mail/letter.txt", page)
    return Rendered(letter, html, f"{text.strip()}\n", files)


def outgoing(mail: Rendered, of: Sender, *, pk: UUID, recipient: str) -> EmailMultiAlternatives:
    headers = {
        "Message-ID": message_id(pk, of.address),
        # Machines do not answer machines (RFC 3834).
        "Auto-Submitted": "auto-generated",
    }
    if mail.letter.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{mail.letter.unsubscribe_url}>"
    message = EmailMultiAlternatives(
        one_line(mail.letter.subject),
        mail.text,
        of.header,
        [recipient],
        headers=headers,
        reply_to=[of.look.reply_to] if of.look.reply_to else None,
    )
    message.attach_alternative(mail.html, "text/html")
    for each in mail.files:
        message.attach(each.name, each.content, each.content_type)
    return message
