"""A customer's own people and keys, kept by the customer's owners. Everything is asked for inside
one customer: what is another's is missing."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from tenants.audit import note
from tenants.invitations import invite, invite_again, require_another_owner
from tenants.models import ApiKey, Customer, Member
from tenants.operations import issue_api_key

MEMBERS_MAX: Final = 200
KEYS_MAX: Final = 50
# Operators run hosts; a customer's people do not.
ROLES: Final = (Member.Role.OWNER, Member.Role.BILLING, Member.Role.VIEWER)


class AlreadyMember(ValueError):
    """The person is a member of this customer, or invited to be."""


class TooMany(ValueError):
    """The customer has as many as it may have."""


class NotInvited(ValueError):
    """The person has accepted; they choose a new password by themselves."""


def invite_colleague(customer: Customer, email: str, role: str, *, as_of: datetime) -> str:
    """The invitation, shown once. Raises AlreadyMember and TooMany."""
    # Two at once wait for each other, so that the limit and the address hold.
    Customer.objects.select_for_update().get(pk=customer.pk)
    team = Member.objects.filter(customer=customer)
    if team.filter(user__email=email.lower()).exists():
        raise AlreadyMember
    if team.count() >= MEMBERS_MAX:
        raise TooMany
    invitation = invite(Member(role=role, customer=customer), email, as_of=as_of)
    note("member_invited", as_of=as_of, customer=customer, subject=email.lower(), role=role)
    return invitation


def invite_colleague_again(customer: Customer, member_id: UUID, *, as_of: datetime) -> str:
    """A fresh invitation in place of one that nobody accepted. Raises Member.DoesNotExist and
    NotInvited."""
    member = _locked(customer, member_id)
    if not member.is_invited:
        raise NotInvited
    invitation = invite_again(member, as_of=as_of)
    note("member_invited_again", as_of=as_of, customer=customer, subject=member.user.email)
    return invitation


def change_role(customer: Customer, member_id: UUID, role: str, *, as_of: datetime) -> None:
    """Raises Member.DoesNotExist, and LastOwner where nobody could change it back."""
    member = _locked(customer, member_id)
    if member.role == role:
        return
    require_another_owner(member)
    before, member.role = member.role, role
    member.save(update_fields=["role"])
    note(
        "member_role_changed",
        as_of=as_of,
        customer=customer,
        subject=member.user.email,
        role=role,
        before=before,
    )


def remove_member(customer: Customer, member_id: UUID, *, as_of: datetime) -> None:
    """They read nothing of the customer from their next request on. Raises Member.DoesNotExist and
    LastOwner."""
    member = _locked(customer, member_id)
    require_another_owner(member)
    member.delete()
    note("member_removed", as_of=as_of, customer=customer, subject=member.user.email)


def issue_customer_key(
    customer: Customer,
    name: str,
    scopes: Collection[str],
    *,
    expires_at: datetime | None,
    as_of: datetime,
) -> str:
    """A key of the customer's, shown once. Raises TooMany, and what issue_api_key raises."""
    Customer.objects.select_for_update().get(pk=customer.pk)
    if ApiKey.objects.filter(customer=customer, revoked_at__isnull=True).count() >= KEYS_MAX:
        raise TooMany
    key = issue_api_key(name, scopes, customer=customer, expires_at=expires_at, as_of=as_of)
    note("api_key_issued", as_of=as_of, customer=customer, subject=name, scopes=sorted(scopes))
    return key


def revoke_customer_key(customer: Customer, key_id: UUID, *, as_of: datetime) -> None:
    """It opens nothing from now on. Once revoked it stays so. Raises ApiKey.DoesNotExist."""
    key = ApiKey.objects.select_for_update().get(pk=key_id, customer=customer)
    if key.revoked_at is not None:
        return
    key.revoked_at = as_of
    key.save(update_fields=["revoked_at"])
    note("api_key_revoked", as_of=as_of, customer=customer, subject=key.name)


def _locked(customer: Customer, member_id: UUID) -> Member:
    # All owners are locked, in one order: of two who each remove the other, one stays.
    owners = Member.objects.filter(customer=customer, role=Member.Role.OWNER).order_by("id")
    list(owners.select_for_update().values_list("pk"))
    found = Member.objects.select_for_update(of=("self",)).select_related("user")
    return found.get(pk=member_id, customer=customer)
