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


def _password_reset(context: Context) -> Letter:
    return Letter(
        subject=_("Choose a new password"),
        paragraphs=(
            _("Somebody asked for a link to choose a new password for your account."),
            _("It works once, within an hour."),
        ),
        link=(_("Choose a new password"), context["url"]),
        closing=(
            _(
                "If it was not you, you need not do anything: your password stays as it is. Pass "
                "the link on to nobody."
            ),
        ),
    )


def _account_changed(context: Context) -> Letter:
    said = {
        "password_reset": _("A new password was chosen by the link that was sent to you."),
        "sessions_ended": _("All your sessions were ended. Sign in again where you need to."),
        "second_factors_reset": _(
            "Your second factors and recovery codes were removed, and your sessions were ended. "
            "Set up a second factor again after signing in."
        ),
    }
    return Letter(
        subject=_("Your account was changed"),
        paragraphs=(said[context["what"]],),
        facts=(
            (_("When"), minute(context["at"])),
            *(((_("By"), context["by"]),) if context["by"] else ()),
            *(((_("Address"), context["address"]),) if context["address"] else ()),
        ),
        link=(_("Choose a new password"), context["url"]),
        closing=(_("If you did not expect this, choose a new password and tell your provider."),),
    )


def register_letters() -> None:
    """`invitation` is written from tenant and url; `new_sign_in` from at (ISO 8601), device,
    address and url; `password_reset`
    from url; `account_changed` from what (one of three words), at, by (an e-mail or nothing),
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
        MailKind(
            "password_reset",
            "New password",
            _password_reset,
            {"url": "https://example.com/forgotten-password/example/"},
            is_secret=True,
        ),
        MailKind(
            "account_changed",
            "Account changed",
            _account_changed,
            {
                "what": "second_factors_reset",
                "at": "2026-11-03T13:05:00+00:00",
                "by": "owner@example.com",
                "address": "203.0.113.7",
                "url": "https://example.com/",
            },
        ),
    )
