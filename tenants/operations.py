"""What changes tenants, their people and their credentials."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenants.models import ApiKey, EnrolmentToken, Environment, Member, Tenant, User
from tenants.scope import current_tenant_id, tenant_scope
from tenants.secrets import API_KEY, ENROLMENT_TOKEN, digest_of, make_secret

ENROLMENT_TOKEN_LIFETIME = timedelta(hours=1)


def issue_enrolment_token(environment: Environment, *, as_of: datetime) -> str:
    """A fresh single-use token for a host of `environment`; it is shown once and stored hashed."""
    secret = make_secret(ENROLMENT_TOKEN, current_tenant_id())
    EnrolmentToken.objects.create(
        environment=environment,
        digest=digest_of(secret),
        created_at=as_of,
        expires_at=as_of + ENROLMENT_TOKEN_LIFETIME,
    )
    return secret


def issue_api_key(name: str, *, as_of: datetime) -> str:
    """A fresh key for a program; it is shown once and stored hashed."""
    secret = make_secret(API_KEY, current_tenant_id())
    ApiKey.objects.create(name=name, digest=digest_of(secret), created_at=as_of)
    return secret


@dataclass(frozen=True, slots=True)
class AddedMember:
    """A membership and its person; `password` is a new person's first one, else None."""

    member: Member
    user: User
    password: str | None


def add_member(member: Member, email: str) -> AddedMember:
    """Save a new membership for the person with this e-mail, who is created where needed.

    An existing person keeps their password: a tenant never changes how someone signs in.
    """
    user = User.objects.filter(email=email.lower()).first()
    password = None
    if user is None:
        password = secrets.token_urlsafe(12)
        user = User.objects.create_user(email, password)
    if member.customer_id is None and not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    member.user = user
    member.save()
    return AddedMember(member, user, password)


def make_tenant(tenant: Tenant, owner_email: str) -> AddedMember:
    """Save a new tenant with its owner, from the installation's scope."""
    tenant.save()
    with tenant_scope(tenant.pk):
        return add_member(Member(role=Member.Role.OWNER), owner_email)
