"""How django-allauth signs people in here: by invitation alone, and noted in the audit log.

The password and its limit on guessing are ours (portal.views.session). allauth takes over from
there: second factors, passkeys, signing in again for what is sensitive, and sessions.
"""

from datetime import datetime
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.usersessions.models import UserSession
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language

from portal.branding import PRODUCT
from tenants.access_models import AuditEntry
from tenants.audit import Origin, acting, note, origin_of
from tenants.domains import address_of
from tenants.mail import queue
from tenants.middleware import (
    PROVIDERS_LINK_KEY,
    PROVIDERS_TENANT_KEY,
    choose_membership,
    only_tenant,
)
from tenants.models import Member, User
from tenants.scope import tenant_scope, user_scope
from tenants.sealing import seal, unseal
from tenants.second_factor import is_only_one

_SEALED_FOR = "second factor"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody makes an account for themselves, and pages say what happened in their own words."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def add_message(self, request: HttpRequest, level: int, *args: Any, **options: Any) -> None:
        """None: the page that follows shows it."""

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        through = (options.get("signal_kwargs") or {}).get("sociallogin")
        request.session.pop(PROVIDERS_TENANT_KEY, None)
        if through is not None:
            request.session[PROVIDERS_TENANT_KEY] = through.account.provider
            request.session[PROVIDERS_LINK_KEY] = through.account.pk
        note_sign_in(request, user)
        response: HttpResponse = super().post_login(request, user, **options)
        return response


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are sealed: whoever reads the database alone has none of them."""

    def get_totp_issuer(self) -> str:
        return PRODUCT

    def encrypt(self, text: str) -> str:
        return seal(text, _SEALED_FOR)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, _SEALED_FOR)


def note_sign_in(request: HttpRequest, user: User) -> None:
    """In the log of the tenant whose pages open first."""
    member = choose_membership(user, None, only_tenant(request))
    if member is None:
        return
    origin, as_of = origin_of(request, user), timezone.now()
    with tenant_scope(member.tenant.pk), acting(origin):
        if _is_new(origin, user.email):
            _tell_of_new_sign_in(origin, member, as_of)
        note("sign_in", as_of=as_of, customer=member.customer_id, subject=user.email)


def _is_new(origin: Origin, email: str) -> bool:
    """Whether the person has signed in before, and never from such a browser. By its own word, not
    by its address: that changes with every network a phone passes."""
    before = AuditEntry.objects.filter(action="sign_in", subject=email)
    return before.exists() and not before.filter(user_agent=origin.user_agent).exists()


def _tell_of_new_sign_in(origin: Origin, member: Member, as_of: datetime) -> None:
    queue(
        kind="new_sign_in",
        key=f"{member.pk} {as_of.isoformat()}",
        to=[origin.actor],
        language=get_language() or "en",
        context={
            "at": as_of.isoformat(),
            "device": origin.user_agent or "–",  # noqa: RUF001
            "address": origin.address or "",
            "url": address_of(reverse("sessions")),
        },
        as_of=as_of,
    )


def note_failure(request: HttpRequest, email: str) -> None:
    """In the log of each tenant of the person whose e-mail was tried."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        return
    with user_scope(user.pk):
        members = list(Member.objects.accepted().filter(user=user).select_related("tenant"))
    for member in members:
        with tenant_scope(member.tenant.pk), acting(origin_of(request)):
            note(
                "sign_in_failed",
                as_of=timezone.now(),
                customer=member.customer_id,
                subject=user.email,
            )


def listen() -> None:
    """Note what people do to their second factors."""
    authenticator_added.connect(_added, dispatch_uid="hostmeter-audit")
    authenticator_removed.connect(_removed, dispatch_uid="hostmeter-audit")
    authenticator_reset.connect(_reset, dispatch_uid="hostmeter-audit")


def _added(request: HttpRequest, authenticator: Authenticator, **options: Any) -> None:
    codes = authenticator.type == Authenticator.Type.RECOVERY_CODES
    _note("recovery_codes_made" if codes else "second_factor_added", request, authenticator)
    # With the first one: whoever is signed in elsewhere did not need it.
    if not codes and is_only_one(authenticator):
        _end_others(request, authenticator)


def _removed(request: HttpRequest, authenticator: Authenticator, **options: Any) -> None:
    _note("second_factor_removed", request, authenticator)


def _reset(request: HttpRequest, authenticator: Authenticator, **options: Any) -> None:
    _note("recovery_codes_made", request, authenticator)


def other_sessions(request: HttpRequest) -> "QuerySet[UserSession]":
    """The person's own, but for the one that asks."""
    mine: QuerySet[UserSession] = UserSession.objects.filter(user=request.user)
    return mine.exclude(session_key=request.session.session_key)


def _end_others(request: HttpRequest, authenticator: Authenticator) -> None:
    ended = [each for each in other_sessions(request) if each.end() is None]
    if ended:
        _note("sessions_ended", request, authenticator, sessions=len(ended))


def _note(action: str, request: HttpRequest, authenticator: Authenticator, **details: Any) -> None:
    # The request's person has the membership that they act in; allauth reads its own afresh.
    user = request.user
    member = user.membership if isinstance(user, User) else None
    # The installation's owner belongs to no tenant, and so stands in nobody's log.
    if member is None:
        return
    # allauth tells of it once it is committed, and the tenant's scope ended with that.
    with tenant_scope(member.tenant.pk), acting(origin_of(request)):
        note(
            action,
            as_of=timezone.now(),
            customer=member.customer_id,
            subject=member.user.email,
            kind=str(authenticator.type),
            **details,
        )
