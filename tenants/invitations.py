"""How a person becomes a member: the tenant invites, and whoever holds the invitation accepts it.

A tenant never chooses a person's password and never takes one over. An account is shared by all of
a person's tenants, so until its invitation is accepted, a membership gives nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from django.urls import reverse

from tenants.audit import note
from tenants.domains import address_of
from tenants.mail import queue
from tenants.mail_kinds import look
from tenants.models import Member, Tenant, User
from tenants.scope import current_tenant_id, tenant_scope, user_scope
from tenants.secrets import INVITATION, digest_of, make_secret, tenant_of

INVITATION_LIFETIME: Final = timedelta(days=7)


class InvitationNotUsable(Exception):
    """It is unknown, accepted already, replaced or older than a week."""


class MemberElsewhereToo(Exception):
    """The person belongs to more than this tenant, which may not lock them out of the others."""


class LastOwner(Exception):
    """A tenant keeps at least one owner, and so does a customer whose owners keep its team."""


def invite(member: Member, email: str, *, as_of: datetime) -> str:
    """Save a new membership for the person with this e-mail; the invitation, shown once, sent to
    them and stored hashed. An account is made where there is none, without a password."""
    user = User.objects.filter(email=email.lower()).first()
    member.user = user or User.objects.create_user(email)
    return _invited(member, as_of)


def invite_again(member: Member, *, as_of: datetime) -> str:
    """A fresh invitation in place of the last. A member who had accepted signs in no more, until
    they accept it with a new password: so a lost one is replaced.

    Raises MemberElsewhereToo.
    """
    user = member.user
    if not member.is_invited:
        if user.is_superuser or belongs_elsewhere(user):
            raise MemberElsewhereToo(f"{user} belongs to other tenants as well")
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return _invited(member, as_of)


def make_tenant(tenant: Tenant, owner_email: str, *, as_of: datetime) -> str:
    """Save a new tenant, from the installation's scope; its owner's invitation."""
    tenant.save()
    with tenant_scope(tenant.pk):
        return invite(Member(role=Member.Role.OWNER), owner_email, as_of=as_of)


@contextmanager
def invited_member(invitation: str, *, as_of: datetime) -> Iterator[Member]:
    """The membership that an invitation is for, inside its tenant. Raises InvitationNotUsable."""
    tenant_id = tenant_of(invitation, INVITATION)
    if tenant_id is None:
        raise InvitationNotUsable
    with tenant_scope(tenant_id):
        member = (
            Member.objects.select_for_update(of=("self",))
            .select_related("user", "tenant")
            .filter(invitation_digest=digest_of(invitation))
            .first()
        )
        if member is None or member.invited_at is None:
            raise InvitationNotUsable
        if as_of >= member.invited_at + INVITATION_LIFETIME:
            raise InvitationNotUsable
        yield member


def accept(member: Member, *, as_of: datetime) -> None:
    """The invitation is used up and the membership holds."""
    member.invitation_digest = None
    member.save(update_fields=["invitation_digest"])
    note("member_joined", as_of=as_of, customer=member.customer_id, subject=member.user.email)
    if member.customer_id is None and not member.user.is_staff:
        member.user.is_staff = True
        member.user.save(update_fields=["is_staff"])


def require_another_owner(member: Member) -> None:
    """Raises LastOwner where nobody else could undo what is done to this member."""
    owners = Member.objects.accepted().filter(role=Member.Role.OWNER, customer=member.customer_id)
    if owners.filter(pk=member.pk).exists() and not owners.exclude(pk=member.pk).exists():
        raise LastOwner


def _invited(member: Member, as_of: datetime) -> str:
    secret = make_secret(INVITATION, current_tenant_id())
    member.invitation_digest, member.invited_at = digest_of(secret), as_of
    member.save()
    queue(
        kind="invitation",
        key=f"{member.pk}:{member.invitation_digest.hex()}",
        to=[member.user.email],
        language=look().language,
        context={
            "tenant": Tenant.objects.values_list("name", flat=True).get(pk=current_tenant_id()),
            "url": address_of(reverse("portal:join", args=[secret])),
        },
        as_of=as_of,
    )
    return secret


def belongs_elsewhere(user: User) -> bool:
    """Whether a member here has another membership too, or an invitation to one."""
    with user_scope(user.pk):
        return Member.objects.filter(user=user).count() > 1
