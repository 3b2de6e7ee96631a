"""The e-mail about an endpoint that nothing is sent to any more."""

from datetime import datetime
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext as _

from tenants.core.mail import Letter
from tenants.domains import address_of
from tenants.mail import queue
from tenants.mail_format import minute
from tenants.mail_kinds import Context, MailKind, look, register
from tenants.models import Member
from tenants.webhook_models import WebhookEndpoint

# Why an endpoint is given up; the portal has them in every language, for its own pages.
GONE: Final = "it answered 410: it is gone for good"
SILENT: Final = "nothing was taken for three days"


def mail_disabled(endpoint: WebhookEndpoint, because: str, *, as_of: datetime) -> int:
    """Tell the owners whose endpoint it is, the customer's or the tenant's; to how many."""
    owners = Member.objects.accepted().filter(role=Member.Role.OWNER, customer=endpoint.customer_id)
    page = "portal:webhook" if endpoint.customer_id else "admin:tenants_webhookendpoint_change"
    return queue(
        kind="webhook_disabled",
        key=f"{endpoint.pk} {as_of.isoformat()}",
        to=list(owners.order_by("user__email").values_list("user__email", flat=True)[:10]),
        language=look().language,
        context={
            "address": endpoint.url,
            "because": because,
            "at": as_of.isoformat(),
            "url": address_of(reverse(page, args=[endpoint.pk])),
        },
        as_of=as_of,
    )


def _disabled(context: Context) -> Letter:
    return Letter(
        subject=_("A webhook endpoint was disabled"),
        paragraphs=(
            _("Nothing is sent to it any more, and what happens from now on is not kept for it."),
        ),
        facts=(
            (_("Address"), context["address"]),
            (_("Why"), _(context["because"])),
            (_("When"), minute(context["at"])),
        ),
        link=(_("Look at the endpoint"), context["url"]),
        closing=(
            _(
                "Once it answers again, enable it there. What could not be told before can be "
                "replayed for 30 days."
            ),
        ),
    )


def register_letter() -> None:
    """`webhook_disabled` is written from address, because, at (ISO 8601) and url."""
    register(
        MailKind(
            "webhook_disabled",
            "Webhook endpoint disabled",
            _disabled,
            {
                "address": "https://example.com/hooks",
                "because": SILENT,
                "at": "2026-11-03T13:05:00+00:00",
                "url": "https://example.com/",
            },
        )
    )
