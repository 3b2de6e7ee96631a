"""A tenant's OpenID Connect provider: found, tried, kept, and whom of the tenant it names.

An account belongs to a provider's subject (`sub`), not to an e-mail: the address is looked at once,
when a person comes through the provider for the first time.
"""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from allauth.socialaccount.models import SocialAccount

from tenants.audit import note
from tenants.invitations import accept
from tenants.models import Member, User
from tenants.outward import NotReached, UrlNotUsable, ask, require_usable
from tenants.scope import current_tenant_id, tenant_scope
from tenants.sealing import seal, unseal
from tenants.sign_in_models import SignInProvider

ANSWER_BYTES_MAX: Final = 262_144
_SEALED_FOR: Final = "sign-in provider"
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


class ProviderNotUsable(Exception):
    """The provider cannot be used as it is configured; says why."""


class NotTheirs(Exception):
    """Whom the provider names may not sign in; `why` is for the page, a key of its words."""

    def __init__(self, why: str, email: str) -> None:
        super().__init__(why)
        self.why, self.email = why, email


def provider_of(tenant_id: UUID) -> SignInProvider | None:
    """The tenant's, if it may be used; from outside of any scope."""
    with tenant_scope(tenant_id):
        return SignInProvider.objects.filter(is_enabled=True).first()


def vouches_for(user: User, tenant_id: UUID, link: int | None) -> bool:
    """Whether the tenant's provider may still be used and knows the person by this link to a
    subject: it does not once it was replaced, or the person unlinked. From outside of any scope."""
    with tenant_scope(tenant_id):
        in_use = SignInProvider.objects.filter(is_enabled=True).exists()
        return in_use and bool(_links().filter(user=user, pk=link).exists())


def discover(issuer: str) -> dict[str, Any]:
    """What the provider says of itself (OpenID Connect Discovery 1.0, section 4). Raises
    ProviderNotUsable."""
    try:
        answer = ask("GET", discovery_url(issuer), None, {}, kept=ANSWER_BYTES_MAX)
    except (UrlNotUsable, NotReached) as error:
        raise ProviderNotUsable(f"it cannot be asked: {error}") from error
    if answer.status != 200:
        raise ProviderNotUsable(f"{discovery_url(issuer)} answers {answer.status}")
    try:
        said = json.loads(answer.content)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ProviderNotUsable(f"{discovery_url(issuer)} answers with no JSON object")
    if said.get("issuer") != issuer:
        # Section 4.3: or one provider could speak in the name of another.
        calls_itself = str(said.get("issuer"))[:200]
        raise ProviderNotUsable(f"the provider calls itself {calls_itself!r}; write that")
    for name in _NEEDED:
        try:
            require_usable(str(said.get(name, "")))
        except UrlNotUsable as error:
            raise ProviderNotUsable(f"its {name} cannot be used: {error}") from error
    return said


def discovery_url(issuer: str) -> str:
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def keep(provider: SignInProvider, secret: str, *, as_of: datetime) -> None:
    """Save it, with a new secret unless that is empty. With another issuer or client nobody is
    known by a subject any more."""
    before = SignInProvider.objects.filter(pk=provider.pk).first()
    if before and (before.issuer, before.client_id) != (provider.issuer, provider.client_id):
        _links().delete()
    if secret:
        provider.sealed_secret = seal(secret, _SEALED_FOR)
    provider.save()
    note("sign_in_provider_changed", as_of=as_of, subject=provider.name, issuer=provider.issuer,
         client=provider.client_id, enabled=provider.is_enabled)  # fmt: skip


def remove(provider: SignInProvider, *, as_of: datetime) -> None:
    _links().delete()
    provider.delete()
    note("sign_in_provider_changed", as_of=as_of, subject=provider.name, removed=True)


def secret_of(provider: SignInProvider) -> str:
    """Raises SealBroken."""
    return unseal(provider.sealed_secret, _SEALED_FOR)


def person_of(
    provider: SignInProvider, known: User | None, email: str, *, verified: bool, as_of: datetime
) -> User:
    """The member whom the provider names: `known` from before, else by e-mail. An open invitation
    is accepted by coming. Call it inside the provider's tenant. Raises NotTheirs."""
    email = email.strip().lower()
    user = known or User.objects.filter(email=email).first()
    members = [] if user is None else list(Member.objects.filter(user=user).select_related("user"))
    # The installation is nobody's but its owner's, whatever a tenant's provider says.
    if user is None or not members or user.is_superuser or not user.is_active:
        raise NotTheirs("unknown", email)
    if known is None:
        if not (verified or provider.proves_emails):
            raise NotTheirs("unproven", email)
        if _links().filter(user=user).exists():
            raise NotTheirs("another", email)
    for member in members:
        if member.is_invited:
            accept(member, as_of=as_of)
    return user


def unlink(member: Member, *, as_of: datetime) -> bool:
    """Whoever next comes through the provider with the member's e-mail is taken for the member;
    whether anything was there to forget."""
    gone = bool(_links().filter(user_id=member.user_id).delete()[0])
    if gone:
        note("sign_in_provider_unlinked", as_of=as_of, customer=member.customer_id,
             subject=member.user.email)  # fmt: skip
    return gone


def _links() -> Any:
    """Accounts at the tenant's provider. allauth keeps them in one table; they are told apart by
    the tenant's id."""
    return SocialAccount.objects.filter(provider=str(current_tenant_id()))
