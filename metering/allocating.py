"""Posting what is spread of hosts' hours, as usage that the ordinary roll-up takes up.

Each hour of a tenant is one transaction: its marks are taken, what its hosts used is read after
that, and the difference to what is posted already is posted. A change that it does not see is not
committed yet, and so is that one's mark. core/posting.py says what a posting is."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from metering.allocated_events import (
    AllocationTooLarge,
    HourPostings,
    PostedHour,
    post,
    posted_in,
    require_postable,
)
from metering.allocation import capacity_of, owners_in, told_apart, used_by_hosts
from metering.allocation_rules import held_rules, meters_with_rules, rule_for
from metering.core.hours import HOUR
from metering.core.posting import postings
from metering.events import mark_buckets
from metering.models import Host
from metering.stated_models import AllocationFailure, AllocationMark, AllocationRule
from metering.telling import tell_faults
from tenants.scope import tenant_scope

logger = logging.getLogger(__name__)

# Agents deliver within a minute; what comes later than this is posted as a difference.
SETTLED_AFTER: Final = timedelta(minutes=30)


@dataclass(slots=True)
class AllocationOutcome:
    """How many hours were looked at, how many postings were made, and what failed."""

    hours: int = 0
    postings: int = 0
    failures: list[AllocationFailure] = field(default_factory=list)


def allocate_tenant(
    tenant_id: UUID,
    *,
    as_of: datetime,
    hours_max: int | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> AllocationOutcome:
    """Post what is spread of each of the tenant's hours that is marked, over and settled, or of the
    oldest few. What fails holds nothing else back, and is kept with its reason until it is marked
    again. Any number may do so at once."""
    outcome = AllocationOutcome()
    with tenant_scope(tenant_id):
        if not meters_with_rules():
            # Whoever states a rule leaves marks of its own.
            _due_marks(as_of).delete()
        hours = due_hours(as_of)
    for number, hour in enumerate(hours[:hours_max], start=1):
        made = _tried_hour(tenant_id, hour, as_of)
        outcome.hours += 1
        outcome.postings += made.postings
        outcome.failures += made.failures
        told(f"{number} of {len(hours)} hours, {outcome.postings} postings")
    return outcome


def _tried_hour(tenant_id: UUID, hour: datetime, as_of: datetime) -> AllocationOutcome:
    """Raises OperationalError and InterfaceError: the database is away, not the hour wrong."""
    try:
        with tenant_scope(tenant_id):
            return allocate_hour(hour, as_of=as_of)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("tenant %s: %s is not spread", tenant_id, f"{hour:%Y-%m-%dT%H:%MZ}")
        reason = f"the server failed ({type(error).__name__}); its log says where"
    with tenant_scope(tenant_id):
        failure = AllocationFailure(hour=hour, reason=reason, failed_at=as_of)
        held_rules()
        AllocationMark.objects.filter(hour=hour).delete()
        _keep_failures(hour, [failure], as_of)
    return AllocationOutcome(1, 0, [failure])


def retry_failures() -> int:
    """Have the hours that could not be posted looked at once more; how many these are. Inside a
    tenant's scope."""
    hours = set(AllocationFailure.objects.order_by().values_list("hour", flat=True))
    AllocationMark.objects.bulk_create([AllocationMark(hour=hour) for hour in sorted(hours)])
    return len(hours)


def due_hours(as_of: datetime) -> list[datetime]:
    """The hours to be looked at, oldest first."""
    hours = _due_marks(as_of).order_by("hour").values_list("hour", flat=True).distinct()
    return [hour.astimezone(UTC) for hour in hours]


def _due_marks(as_of: datetime) -> "QuerySet[AllocationMark]":
    return AllocationMark.objects.filter(hour__lte=as_of - SETTLED_AFTER - HOUR)


def allocate_hour(hour: datetime, *, as_of: datetime) -> AllocationOutcome:
    """Post what the hour's allocation differs by from what is posted, and keep what of it cannot
    be. Inside a tenant's scope."""
    marks, _ = AllocationMark.objects.filter(hour=hour).delete()
    if not marks:
        return AllocationOutcome(1)
    # After the marks: whoever states a rule leaves some. Whoever allocates holds the rules, so that
    # an hour is posted by one at a time.
    rules = held_rules()
    if not rules:
        return AllocationOutcome(1)
    changes, failures = _changes(hour, rules, as_of)
    made = post(changes, as_of)
    mark_buckets(set(made), of_host=False)
    _keep_failures(hour, failures, as_of)
    return AllocationOutcome(1, len(made), failures)


def _keep_failures(hour: datetime, failures: list[AllocationFailure], as_of: datetime) -> None:
    """In the place of those that the hour had before."""
    before = AllocationFailure.objects.filter(hour=hour)
    if failures or before.exists():
        tell_faults(list(before), failures, as_of=as_of)
    before.delete()
    AllocationFailure.objects.bulk_create(failures)


def _changes(
    hour: datetime, rules: Mapping[UUID, AllocationRule], as_of: datetime
) -> tuple[list[HourPostings], list[AllocationFailure]]:
    meters = sorted({rule.meter for rule in rules.values()})
    owners = owners_in(hour, hour + HOUR)
    used, posted = used_by_hosts(hour, hour + HOUR, meters, owners), posted_in(hour)
    hosts = Host.objects.filter(pk__in={*used, *(host_id for host_id, _ in posted)})
    changes, failures = [], []
    for host, meter in product(hosts.order_by("pk"), meters):
        before = posted.get((host.pk, meter)) or _first_posting(rules, host, meter, hour)
        if before is None:
            continue
        rule = rules[before.rule_id]
        own = used.get(host.pk, {}).get(meter, ())
        found = told_apart(own, owners, before.capacity, rule.rule)
        made = postings(found, owners.stretches, before.places, hour, hour + HOUR)
        try:
            require_postable(made)
        except AllocationTooLarge as refusal:
            failures.append(
                AllocationFailure(
                    hour=hour, host=host, meter=meter, reason=str(refusal), failed_at=as_of
                )
            )
        else:
            changes.append(
                HourPostings(
                    host, meter, hour, rule, before.capacity, found, made, before.instances
                )
            )
    return changes, failures


def _first_posting(
    rules: Mapping[UUID, AllocationRule], host: Host, meter: str, hour: datetime
) -> PostedHour | None:
    """None where no rule holds."""
    rule = rule_for(rules.values(), host, meter, hour)
    return None if rule is None else PostedHour(rule.pk, capacity_of(host, meter, HOUR))
