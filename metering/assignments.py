"""Whom usage is billed to: what an issued invoice allows, and who pays for a new application."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from metering.models import Application, Assignment
from tenants.refusals import constraint_of, detail_of

# The constraints of billing's trigger on assignments.
_REFUSALS = {
    "usage_is_invoiced": "its usage up to {} is on an issued invoice, which never changes",
    "usage_is_past_invoicing": "the customer's invoice up to {} is issued, so usage from before "
    "would never be billed; assign it from then on",
}


class PeriodAlreadyInvoiced(Exception):
    """The change would move usage out of, or into, a period whose invoice is issued. From `until`
    on it is possible."""

    def __init__(self, words: str, until: datetime) -> None:
        super().__init__(words.format(f"{until:%Y-%m-%d %H:%M} UTC"))
        self.until = until


def running(as_of: datetime) -> Q:
    """Assignments that are in force."""
    return Q(starts_at__lte=as_of) & (Q(ends_at__isnull=True) | Q(ends_at__gt=as_of))


@contextmanager
def invoiced_usage_kept() -> Iterator[None]:
    """Assignments are changed inside, all or none. Raises PeriodAlreadyInvoiced."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        words = _REFUSALS.get(constraint_of(error) or "")
        if words is None:
            raise
        raise PeriodAlreadyInvoiced(words, datetime.fromisoformat(detail_of(error))) from error


def assign_new_applications(application_ids: Collection[UUID], *, starts_at: datetime) -> None:
    """Bill applications that were just registered to their environment's default customer, from
    the bucket `starts_at` on. Where the environment names none they stay unassigned.

    What was used in a period whose invoice is issued stays without a customer: the batch that
    brings it is stored all the same.
    """
    new = Application.objects.filter(
        pk__in=application_ids, environment__default_customer__isnull=False
    ).values_list("pk", "environment__default_customer")
    assignments = [
        Assignment(application_id=application_id, customer_id=customer_id, starts_at=starts_at)
        for application_id, customer_id in new
    ]
    try:
        with invoiced_usage_kept():
            Assignment.objects.bulk_create(assignments)
    except PeriodAlreadyInvoiced:
        for assignment in assignments:
            _assign_after_invoices(assignment)


def _assign_after_invoices(assignment: Assignment) -> None:
    while True:
        try:
            with invoiced_usage_kept():
                assignment.save(force_insert=True)
        except PeriodAlreadyInvoiced as invoiced:
            assignment.starts_at = invoiced.until
        else:
            return
