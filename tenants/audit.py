"""The audit log: who did what, when, and from where. It is written in the transaction of what it
tells of, so neither exists without the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from uuid import UUID

from django.http import HttpRequest

from tenants.access_models import AuditEntry
from tenants.models import Customer, User

# What can be noted. The portal has its own words for each (portal.words.ACTIONS).
ACTIONS: Final[dict[str, str]] = {
    "sign_in": "Signed in",
    "sign_in_failed": "Failed to sign in",
    "password_changed": "Changed the password",
    "password_reset_asked": "Asked for a link to a new password",
    "password_reset": "Chose a new password by a link",
    "second_factor_added": "Added a second factor",
    "second_factor_removed": "Removed a second factor",
    "recovery_codes_made": "Made new recovery codes",
    "second_factor_required": "Changed who needs a second factor",
    "second_factors_reset": "Removed someone's second factors",
    "sign_in_provider_changed": "Changed the sign-in provider",
    "sign_in_provider_unlinked": "Unlinked someone from the sign-in provider",
    "sessions_ended": "Ended sessions",
    "member_invited": "Invited someone",
    "member_invited_again": "Invited someone again",
    "member_joined": "Accepted an invitation",
    "member_role_changed": "Changed a role",
    "member_removed": "Removed a member",
    "api_key_issued": "Made an API key",
    "api_key_revoked": "Revoked an API key",
    "export_downloaded": "Downloaded an export",
    "budget_changed": "Changed a budget",
    "billing_details_changed": "Changed billing details",
    "payment_method_changed": "Changed payment methods",
    "impersonation_started": "Began to look as the customer",
    "impersonation_ended": "Stopped looking as the customer",
}


class UnknownAction(ValueError):
    """Only what ACTIONS names can be noted: readers filter by it, in their language."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and from where. Nobody and nowhere for tasks and commands."""

    actor: str = ""
    address: str | None = None
    user_agent: str = ""
    impersonation_id: UUID | None = None


_NOBODY: Final = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOBODY)


@contextmanager
def acting(origin: Origin) -> Iterator[None]:
    """What is noted inside was done by `origin`."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def origin_of(
    request: HttpRequest, user: User | None = None, impersonation_id: UUID | None = None
) -> Origin:
    """Who makes a request; `user` where they are only signing in with it."""
    actor = user or request.user
    return Origin(
        actor=actor.email if isinstance(actor, User) else "",
        address=address_of(request),
        user_agent=_printable(request.headers.get("User-Agent", ""))[:200],
        impersonation_id=impersonation_id,
    )


def origin_of_program(request: HttpRequest, name: str) -> Origin:
    """Of a request with a key, whoever is signed in in the same browser."""
    agent = _printable(request.headers.get("User-Agent", ""))[:200]
    return Origin(_printable(name)[:254], address_of(request), agent)


def address_of(request: HttpRequest) -> str | None:
    """The other end's IP address; None on a Unix socket."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


def note(
    action: str,
    *,
    as_of: datetime,
    customer: Customer | UUID | None = None,
    subject: str = "",
    reason: str = "",
    **details: str | int | bool | list[str] | None,
) -> AuditEntry:
    """Add to the log of the current tenant; with a `customer`, that customer reads it too.

    Call it inside the tenant's scope and the transaction of what was done. Never give it a secret.
    Raises UnknownAction.
    """
    if action not in ACTIONS:
        raise UnknownAction(f"no action {action!r}; add it to tenants.audit.ACTIONS")
    origin = _origin.get()
    return AuditEntry.objects.create(
        occurred_at=as_of,
        action=action,
        actor=origin.actor,
        customer_id=customer.pk if isinstance(customer, Customer) else customer,
        subject=_printable(subject)[:200],
        reason=_printable(reason)[:300],
        details=details,
        address=origin.address,
        user_agent=origin.user_agent,
        impersonation_id=origin.impersonation_id,
    )


def _printable(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and a log is read line by line.
    return "".join(each if each.isprintable() else " " for each in text)
