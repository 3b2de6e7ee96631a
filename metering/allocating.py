"""Posting what is spread of hosts' hours, as usage that the ordinary roll-up takes up.

Each hour of a tenant is one transaction: its marks are taken, what its hosts used is read after
that, and the difference to what is posted already is posted. A change that it does not see is not
committed yet, and so is that one's mark. core/posting.py says what a posting is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from metering.allocated_events import (
    AllocationTooLarge,
    HourPostings,
    PostedHour,
    post,
    posted_in,
)
from metering.allocation import capacity_of, owners_in, told_apart, used_by_hosts
from metering.allocation_rules import held_rules, meters_with_rules, rule_for
from metering.core.hours import HOUR
from metering.core.posting import postings
from metering.events import mark_buckets
from metering.models import Host
from metering.stated_models import AllocationMark, AllocationRule
from tenants.scope import tenant_scope

# Agents deliver within a minute; what comes later than this is posted as a difference.
SETTLED_AFTER: Final = timedelta(minutes=30)


@dataclass(slots=True)
class AllocationOutcome:
    """How many hours were looked at, how many postings were made, and what failed."""

    hours: int = 0
    postings: int = 0
    failures: list[str] = field(default_factory=list)


def allocate_tenant(
    tenant_id: UUID,
    *,
    as_of: datetime,
    hours_max: int | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> AllocationOutcome:
    """Post what is spread of each of the tenant's hours that is marked, over and settled, or of the
    oldest few. One that fails holds no other back. Any number may do so at once."""
    outcome = AllocationOutcome()
    with tenant_scope(tenant_id):
        if not meters_with_rules():
            # Whoever states a rule leaves marks of its own.
            _due_marks(as_of).delete()
        hours = due_hours(as_of)
    for number, hour in enumerate(hours, start=1):
        if outcome.hours - len(outcome.failures) == hours_max:
            break
        try:
            with tenant_scope(tenant_id):
                outcome.postings += allocate_hour(hour, as_of=as_of)
        except AllocationTooLarge as failure:
            outcome.failures.append(f"{hour:%Y-%m-%dT%H:%MZ}: {failure}")
        outcome.hours += 1
        told(f"{number} of {len(hours)} hours, {outcome.postings} postings")
    return outcome


def due_hours(as_of: datetime) -> list[datetime]:
    """The hours to be looked at, oldest first."""
    hours = _due_marks(as_of).order_by("hour").values_list("hour", flat=True).distinct()
    return [hour.astimezone(UTC) for hour in hours]


def _due_marks(as_of: datetime) -> "QuerySet[AllocationMark]":
    return AllocationMark.objects.filter(hour__lte=as_of - SETTLED_AFTER - HOUR)


def allocate_hour(hour: datetime, *, as_of: datetime) -> int:
    """Post what the hour's allocation differs by from what is posted; how many postings that took.
    Inside a tenant's scope. Raises AllocationTooLarge."""
    marks, _ = AllocationMark.objects.filter(hour=hour).delete()
    if not marks:
        return 0
    # After the marks: whoever states a rule leaves some. Whoever allocates holds the rules, so that
    # an hour is posted by one at a time.
    rules = held_rules()
    if not rules:
        return 0
    made = post(_changes(hour, rules), as_of)
    mark_buckets(set(made), of_host=False)
    return len(made)


def _changes(hour: datetime, rules: Mapping[UUID, AllocationRule]) -> list[HourPostings]:
    meters = sorted({rule.meter for rule in rules.values()})
    owners = owners_in(hour, hour + HOUR)
    used, posted = used_by_hosts(hour, hour + HOUR, meters, owners), posted_in(hour)
    hosts = Host.objects.filter(pk__in={*used, *(host_id for host_id, _ in posted)})
    changes = []
    for host in hosts.order_by("pk"):
        for meter in meters:
            before = posted.get((host.pk, meter)) or _first_posting(rules, host, meter, hour)
            if before is None:
                continue
            rule = rules[before.rule_id]
            own = used.get(host.pk, {}).get(meter, ())
            found = told_apart(own, owners, before.capacity, rule.rule)
            made = postings(found, owners.stretches, before.places, hour, hour + HOUR)
            changes.append(
                HourPostings(
                    host, meter, hour, rule, before.capacity, found, made, before.instances
                )
            )
    return changes


def _first_posting(
    rules: Mapping[UUID, AllocationRule], host: Host, meter: str, hour: datetime
) -> PostedHour | None:
    """None where no rule holds."""
    rule = rule_for(rules.values(), host, meter, hour)
    return None if rule is None else PostedHour(rule.pk, capacity_of(host, meter, HOUR))
