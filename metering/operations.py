"""What changes metering's own records: whom an application's usage is billed to."""

from datetime import datetime, timedelta
from typing import Final, Literal

from django.db import connection
from django.db.models import Min
from django.utils import timezone
from hostmeter_agent.wire_control import RESERVED_NAMES

from metering.allocation_rules import mark_hours
from metering.assignments import invoiced_usage_kept, running
from metering.core.buckets import bucket_of
from metering.core.hours import hour_of
from metering.models import Application, Assignment
from metering.queries import first_usage_at
from metering.stated_models import AllocationMark, AllocationRule
from tenants.models import Customer

AHEAD_MAX: Final = timedelta(days=400)


class LaterAssignmentExists(Exception):
    """The application already belongs to someone at, or after, the wanted start: an assignment is
    never put in front of another, for its usage may be invoiced."""


class AssignmentTooFarAhead(ValueError):
    """An assignment starts within AHEAD_MAX: what lies further is a slip."""


def assign_application(
    application: Application,
    customer: Customer,
    from_: Literal["now", "first seen"] | datetime,
    *,
    as_of: datetime,
) -> Assignment:
    """Bill the application to `customer` from the bucket that `from_` lies in, until further
    notice; the assignment before it ends there. Asked twice, it stays as it is; asked for an
    earlier start, the customer's own assignment is moved there.

    An assignment made in the current bucket may be corrected; an older one only be followed.
    Raises AssignmentTooFarAhead, LaterAssignmentExists and PeriodAlreadyInvoiced.
    """
    if isinstance(from_, datetime) and from_ > as_of + AHEAD_MAX:
        raise AssignmentTooFarAhead(f"it lies over {AHEAD_MAX.days} days ahead")
    _hold_customers(application, customer)
    Application.objects.select_for_update().get(pk=application.pk)
    start = bucket_of(_start_of(application, from_, as_of))
    last = Assignment.objects.filter(application=application).order_by("starts_at").last()
    _allocate_anew(application, start, as_of)
    with invoiced_usage_kept():
        if last is not None and last.ends_at is None and last.customer_id == customer.pk:
            return _started_by(last, start)
        if last is not None:
            _end_before(last, start, as_of)
        return Assignment.objects.create(
            application=application, customer=customer, starts_at=start
        )


def _hold_customers(application: Application, customer: Customer) -> None:
    """Wait for invoices of the customers concerned that are being finalized. It comes first: they
    wait for roll-ups, which wait for applications."""
    current = Assignment.objects.filter(application=application, ends_at__isnull=True)
    customers = {customer.pk, *current.values_list("customer_id", flat=True)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM tenants_customer WHERE id = ANY (%s) ORDER BY id FOR SHARE",
            [list(customers)],
        )


def _allocate_anew(application: Application, start: datetime, as_of: datetime) -> None:
    """Of an hour in which an application changes hands each customer has a part. What agents make
    up is spread while it is nobody's: whoever has it from then on changes every hour."""
    AllocationMark.objects.create(hour=hour_of(start))
    first = AllocationRule.objects.aggregate(first=Min("starts_at"))["first"]
    if application.name in RESERVED_NAMES and first is not None:
        mark_hours(max(start, first), as_of)


def _started_by(current: Assignment, start: datetime) -> Assignment:
    if current.starts_at <= start:
        return current
    others = Assignment.objects.filter(application=current.application_id).exclude(pk=current.pk)
    before = others.filter(ends_at__gt=start).order_by("starts_at").last()
    if before is not None:
        raise LaterAssignmentExists(f"{before} from {before.starts_at:%Y-%m-%d %H:%M} UTC")
    AllocationMark.objects.create(hour=hour_of(current.starts_at))
    current.starts_at = start
    current.save(update_fields=["starts_at"])
    return current


def _end_before(last: Assignment, start: datetime, as_of: datetime) -> None:
    if last.starts_at == start and start >= bucket_of(as_of):
        last.delete()
    elif last.starts_at >= start or (last.ends_at is not None and last.ends_at > start):
        raise LaterAssignmentExists(f"{last} from {_written(last.starts_at)}")
    elif last.ends_at is None:
        last.ends_at = start
        last.save(update_fields=["ends_at"])


def _start_of(
    application: Application, from_: Literal["now", "first seen"] | datetime, as_of: datetime
) -> datetime:
    if isinstance(from_, datetime):
        return from_
    if from_ == "now":
        return as_of
    # Usage may be older than the moment it arrived.
    used_at = first_usage_at(application.pk)
    return min(used_at or application.first_seen_at, application.first_seen_at)


def unassign_application(application: Application, *, as_of: datetime) -> Assignment | None:
    """Bill the application to nobody from the current bucket's start on: the assignment in force
    ends with it, and is returned; None where there is none. One that began in this very bucket is
    removed, and so are those that have not begun. Raises PeriodAlreadyInvoiced.
    """
    Application.objects.select_for_update().get(pk=application.pk)
    end = bucket_of(as_of)
    own = Assignment.objects.filter(application=application)
    with invoiced_usage_kept():
        own.filter(starts_at__gt=end).delete()
        current = own.filter(running(end)).first()
        if current is None:
            return None
        _allocate_anew(application, end, as_of)
        if current.starts_at == end:
            current.delete()
            return None
        current.ends_at = end
        current.save(update_fields=["ends_at"])
        return current


def _written(moment: datetime) -> str:
    """In the time zone of whoever asked: the tenant's in the admin, else UTC."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}"
