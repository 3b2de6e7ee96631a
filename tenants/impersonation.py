"""Looking through another's eyes: with a reason, for an hour at most, and told to whom it concerns.

Staff read a customer's pages so; the installation's owner reads a tenant's admin so. It only reads,
unless staff say that they mean to change things; then their role says what.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tenants.access_models import Impersonation
from tenants.audit import note
from tenants.models import Customer, Member, User

LASTS: Final = timedelta(minutes=60)
REASON_MAX: Final = 300


class ReasonMissing(ValueError):
    """Nobody looks through a customer's eyes without saying why."""


class ChangesNotAllowed(ValueError):
    """Who only reads in the admin only reads here too."""


def begin(
    user: User, customer: Customer | None, reason: str, *, may_change: bool = False, as_of: datetime
) -> Impersonation:
    """Begin, inside the tenant's scope. Raises ReasonMissing and ChangesNotAllowed."""
    reason = " ".join(reason.split())[:REASON_MAX]
    if not reason:
        raise ReasonMissing
    if may_change and not (customer and may_allow_changes(user)):
        raise ChangesNotAllowed
    impersonation = Impersonation.objects.create(
        user=user,
        customer=customer,
        reason=reason,
        may_change=may_change,
        started_at=as_of,
        ends_at=as_of + LASTS,
    )
    _note("impersonation_started", impersonation, as_of)
    return impersonation


def may_allow_changes(user: User) -> bool:
    member = user.membership
    return (
        member is not None
        and not member.is_visiting
        and member.customer_id is None
        and member.role != Member.Role.VIEWER
    )


def running(
    impersonation_id: UUID, user: User, *, of_a_customer: bool, as_of: datetime
) -> Impersonation | None:
    """The impersonation, if it is this person's and has not ended."""
    found = (
        Impersonation.objects.filter(
            pk=impersonation_id, user=user, customer__isnull=not of_a_customer
        )
        .select_related("customer")
        .first()
    )
    return found if found is not None and found.is_running(as_of) else None


def end(impersonation: Impersonation, *, as_of: datetime) -> None:
    """End it now. One that has ended stays as it is."""
    ended = Impersonation.objects.filter(pk=impersonation.pk, ended_at__isnull=True)
    if ended.update(ended_at=as_of):
        _note("impersonation_ended", impersonation, as_of)


def _note(action: str, impersonation: Impersonation, as_of: datetime) -> None:
    note(
        action,
        as_of=as_of,
        customer=impersonation.customer_id,
        subject=impersonation.customer.name if impersonation.customer else "",
        reason=impersonation.reason,
        may_change=impersonation.may_change,
    )
