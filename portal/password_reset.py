"""A new password by e-mail: who gets a link, and what a new password ends.

The link holds one of Django's tokens: a signature over the person's present password and last
sign-in, so it works once, and no more after either has changed.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import get_language

from portal import request_limit
from tenants.audit import Origin, acting, note, origin_of
from tenants.domains import address_at_the_installation, address_of, tenant_of_domain
from tenants.mail import queue
from tenants.middleware import choose_membership, memberships_of
from tenants.models import Member, User
from tenants.scope import tenant_scope

ASKED_FOR_AN_EMAIL_MAX: Final = 3
ASKED_FROM_AN_ADDRESS_MAX: Final = 30


class LinkUsed(Exception):
    """The link was used in this very moment."""


def is_over_for_address(request: HttpRequest) -> bool:
    """Raises NotCounted."""
    address = request.META.get("REMOTE_ADDR", "")
    return request_limit.is_over("reset-from", address, at_most=ASKED_FROM_AN_ADDRESS_MAX)


def send_link(request: HttpRequest, email: str, *, as_of: datetime) -> None:
    """To whoever may choose a new password by it; the caller learns nothing. Raises NotCounted."""
    email = email.strip().lower()
    if request_limit.is_over("reset-of", email, at_most=ASKED_FOR_AN_EMAIL_MAX):
        return
    user = User.objects.filter(email=email).first()
    member = None if user is None else resettable(user, tenant_of_domain(request))
    if user is None or member is None:
        return
    is_shared = len(memberships_of(user)) > 1
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("portal:reset", args=[uid, default_token_generator.make_token(user)])
    with tenant_scope(member.tenant.pk), acting(origin_of(request)):
        queue(
            kind="password_reset",
            key=f"{user.pk} {as_of.isoformat()}",
            to=[user.email],
            language=get_language() or "en",
            # Whoever keeps a tenant's domain does not get at accounts that are others' too.
            context={"url": address_at_the_installation(path) if is_shared else address_of(path)},
            as_of=as_of,
        )
        note("password_reset_asked", as_of=as_of, customer=member.customer_id, subject=email)


def resettable(user: User, of_domain: UUID | None) -> Member | None:
    """The membership in whose tenant's name a person chooses a new password. None for who has no
    password yet or no membership, and for the installation's owner, who has the machine."""
    if not user.is_active or user.is_superuser or not user.has_usable_password():
        return None
    return choose_membership(user, None, of_domain)


def reset(user: User, token: str, password: str, origin: Origin, *, as_of: datetime) -> None:
    """The new password holds, the link does not, every session ends; each tenant of the person
    notes it, and the person hears of it. Raises LinkUsed."""
    with transaction.atomic():
        # Two who open one link at once wait for each other.
        locked = User.objects.select_for_update().get(pk=user.pk)
        if not default_token_generator.check_token(locked, token):
            raise LinkUsed
        locked.set_password(password)
        locked.save(update_fields=["password"])
        for session in UserSession.objects.filter(user=locked):
            session.end()
        members = memberships_of(locked)
        for member in members:
            with tenant_scope(member.tenant.pk), acting(origin):
                note("password_reset", as_of=as_of, customer=member.customer_id, subject=user.email)
        if members:
            _tell(locked, members, origin, as_of)


def _tell(user: User, members: list[Member], origin: Origin, as_of: datetime) -> None:
    path = reverse("portal:forgotten")
    with tenant_scope(members[0].tenant.pk):
        queue(
            kind="account_changed",
            key=f"{user.pk} {as_of.isoformat()}",
            to=[user.email],
            language=get_language() or "en",
            context={
                "what": "password_reset",
                "at": as_of.isoformat(),
                "by": "",
                "address": origin.address or "",
                "url": address_at_the_installation(path) if len(members) > 1 else address_of(path),
            },
            as_of=as_of,
        )
