"""The e-mails of people's access: what each says, and what it is written from."""

from django.utils.translation import gettext as _

from tenants.core.mail import Letter
from tenants.mail_format import minute
from tenants.mail_kinds import Context, MailKind, register


def _invitation(context: Context) -> Letter:
    names = {"tenant": context["tenant"]}
    return Letter(
        subject=_("You are invited to %(tenant)s") % names,
        paragraphs=(
            _("%(tenant)s invites you to its pages for usage, costs and invoices.") % names,
            _("Open the link to choose a password. It works once, within 7 days."),
        ),
        link=(_("Accept the invitation"), context["url"]),
        closing=(
            _(
                "Whoever has this link can accept the invitation: pass it on to nobody. If you did "
                "not expect it, you need not do anything."
            ),
        ),
    )


def _new_sign_in(context: Context) -> Letter:
    return Letter(
        subject=_("New sign-in to your account"),
        paragraphs=(
            _("Somebody signed in to your account from a device or network that is new to us."),
        ),
        facts=(
            (_("When"), minute(context["at"])),
            (_("Device"), context["device"]),
            (_("Address"), context["address"]),
        ),
        link=(_("Look at your sessions"), context["url"]),
        closing=(
            _("If it was you, all is well. If not, change your password and end that session."),
        ),
    )


def register_letters() -> None:
    """`invitation` is written from tenant and url; `new_sign_in` from at (ISO 8601), device,
    address and url."""
    register(
        MailKind(
            "invitation",
            "Invitation",
            _invitation,
            {"tenant": "Example Hosting", "url": "https://example.com/join/example/"},
            is_secret=True,
        ),
        MailKind(
            "new_sign_in",
            "New sign-in",
            _new_sign_in,
            {
                "at": "2026-11-03T13:05:00+00:00",
                "device": "Firefox, Linux",
                "address": "203.0.113.7",
                "url": "https://example.com/",
            },
        ),
    )
