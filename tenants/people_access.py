"""How a person signs in, for the owners of the tenant that they belong to, and ending that.

An account is shared by all of a person's tenants: only where this is the one may its owners look at
sessions and factors, or end them.
"""

from datetime import datetime
from typing import Final

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.urls import reverse

from tenants.audit import note
from tenants.domains import address_of
from tenants.invitations import belongs_elsewhere
from tenants.mail import queue
from tenants.mail_kinds import look
from tenants.models import Member

SESSIONS_SHOWN: Final = 50


class NotTheirsToEnd(Exception):
    """The person's account is another tenant's too, the installation's owner's, or one's own."""


def sessions_of(member: Member) -> list[UserSession]:
    """The newest first. Raises NotTheirsToEnd."""
    _require_own(member)
    mine = UserSession.objects.purge_and_list(member.user)
    return sorted(mine, key=lambda each: each.last_seen_at, reverse=True)[:SESSIONS_SHOWN]


def factors_of(member: Member) -> list[Authenticator]:
    """Raises NotTheirsToEnd."""
    _require_own(member)
    return list(Authenticator.objects.filter(user=member.user).order_by("created_at", "pk"))


def end_sessions(member: Member, *, by: str, as_of: datetime) -> int:
    """The person is signed out everywhere, and told; of how many sessions. Raises
    NotTheirsToEnd."""
    _require_others(member, by)
    ended = _ended(member)
    if ended:
        _note("sessions_ended", member, as_of, sessions=ended)
        _tell("sessions_ended", member, by, as_of)
    return ended


def reset_second_factors(member: Member, *, by: str, as_of: datetime) -> int:
    """The password alone signs the person in again, and where a second factor is asked for they
    set one up first. Every session ends, and they are told; of how many factors. Raises
    NotTheirsToEnd."""
    _require_others(member, by)
    factors: int = Authenticator.objects.filter(user=member.user).delete()[0]
    if factors:
        _note("second_factors_reset", member, as_of, sessions=_ended(member))
        _tell("second_factors_reset", member, by, as_of)
    return factors


def _ended(member: Member) -> int:
    sessions = list(UserSession.objects.filter(user=member.user))
    for each in sessions:
        each.end()
    return len(sessions)


def _require_own(member: Member) -> None:
    if member.user.is_superuser or belongs_elsewhere(member.user):
        raise NotTheirsToEnd(f"{member.user} belongs to other tenants as well")


def _require_others(member: Member, by: str) -> None:
    _require_own(member)
    if member.user.email == by:
        raise NotTheirsToEnd("your own stand under Second factor and Sessions in the portal")


def _note(action: str, member: Member, as_of: datetime, sessions: int) -> None:
    note(
        action,
        as_of=as_of,
        customer=member.customer_id,
        subject=member.user.email,
        sessions=sessions,
    )


def _tell(what: str, member: Member, by: str, as_of: datetime) -> None:
    queue(
        kind="account_changed",
        key=f"{what} {member.pk} {as_of.isoformat()}",
        to=[member.user.email],
        language=look().language,
        context={
            "what": what,
            "at": as_of.isoformat(),
            "by": by,
            "address": "",
            "url": address_of(reverse("portal:forgotten")),
        },
        as_of=as_of,
    )
