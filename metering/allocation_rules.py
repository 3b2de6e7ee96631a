"""Which rule spreads a host's usage, and stating one. Inside a tenant's scope."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from metering.allocation import require_spreadable
from metering.core.allocation import RULES
from metering.core.cloudevents import ALLOCATED_TYPE, ALLOCATION_SOURCE
from metering.core.hours import HOUR, hour_of
from metering.core.posting import SPREADABLE, allocated_meter
from metering.models import Host
from metering.stated_models import AllocationFailure, AllocationMark, AllocationRule, Event
from tenants.scope import current_tenant_id

RULES_MAX: Final = 500
# As far as a correction reaches: 2,208 hours.
PAST_MAX: Final = timedelta(days=92)
AHEAD_MAX: Final = timedelta(days=400)


class AllocationRuleNotUsable(ValueError):
    """A rule's meter, hosts or start cannot be; the message says why."""


class TooManyAllocationRules(AllocationRuleNotUsable):
    """The tenant has as many rules as it may."""


class HoursArePosted(AllocationRuleNotUsable):
    """Hours from the rule's start on are posted by another one; the message says up to when."""


class AllocationRuleEnded(ValueError):
    """Another rule of the same hosts follows the rule before it would be ended."""


def rule_for(
    rules: Iterable[AllocationRule], host: Host, meter: str, hour: datetime
) -> AllocationRule | None:
    """The rule that spreads the host's usage of the meter in the hour: the narrowest; of several
    alike the one that starts last, then the one made last."""
    holding = [
        rule
        for rule in rules
        if rule.meter == meter and rule.starts_at <= hour and _covers(rule, host)
    ]
    return max(
        holding,
        key=lambda rule: (
            *(rule.host_id is not None, rule.host_class != ""),
            *(rule.starts_at, rule.created_at, rule.pk),
        ),
        default=None,
    )


def _covers(rule: AllocationRule, host: Host) -> bool:
    if rule.host_id is not None:
        return rule.host_id == host.pk
    return rule.host_class in ("", host.host_class)


def held_rules() -> dict[UUID, AllocationRule]:
    """The tenant's rules: nobody else holds them, or states one, until the transaction ends."""
    with connection.cursor() as cursor:
        lock = f"allocation rules of {current_tenant_id()}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [lock])
    # A statement of its own: one that waits for a lock does not see what was added meanwhile.
    return {rule.pk: rule for rule in AllocationRule.objects.order_by("pk")}


def meters_with_rules() -> list[str]:
    """The meters of which something is spread, or was."""
    found = AllocationRule.objects.order_by("meter").values_list("meter", flat=True)
    return list(found.distinct())


def is_allocated(start: datetime, end: datetime) -> bool:
    """Whether nothing of the hours of [start, end) is left to be posted."""
    if not AllocationRule.objects.filter(starts_at__lt=end).exists():
        return True
    marks = AllocationMark.objects.filter(hour__gte=hour_of(start), hour__lt=end)
    return not marks.exists() and not _failures(start, end).exists()


def first_failure(start: datetime, end: datetime) -> AllocationFailure | None:
    """The first of what could not be posted of the hours of [start, end)."""
    return _failures(start, end).select_related("host").first()


def _failures(start: datetime, end: datetime) -> "QuerySet[AllocationFailure]":
    return AllocationFailure.objects.filter(hour__gte=hour_of(start), hour__lt=end)


@transaction.atomic
def state_rule(
    meter: str,
    spread: str,
    *,
    starts_at: datetime,
    author: str,
    as_of: datetime,
    host: Host | None = None,
    host_class: str = "",
) -> AllocationRule:
    """Have idle and unattributed usage of the meter spread so from an hour on: of one host, of the
    hosts of a class, or of all. Hours that are over are posted by the next run.

    Raises AllocationRuleNotUsable and MaximumNotAllocated.
    """
    require_spreadable(meter)
    _require_usable(meter, spread, starts_at, as_of)
    if host is not None and host_class:
        raise AllocationRuleNotUsable("name one host or a class of hosts, not both")
    # Whoever is posting an hour ends first.
    if len(held_rules()) >= RULES_MAX:
        raise TooManyAllocationRules(f"there are {RULES_MAX} rules, which is the most")
    rule = AllocationRule(
        meter=meter, spread=spread, host=host, host_class=host_class, starts_at=starts_at,
        author=author, created_at=as_of,
    )  # fmt: skip
    _require_nothing_posted(rule)
    rule.save(force_insert=True)
    mark_hours(starts_at, as_of)
    return rule


@transaction.atomic
def end_rule(
    rule: AllocationRule, *, ends_at: datetime, author: str, as_of: datetime
) -> AllocationRule:
    """Spread nothing of the rule's hosts from an hour on: the rule of none that says so. It holds
    in place of rules of more hosts as well, until another one is stated.

    Raises AllocationRuleNotUsable and AllocationRuleEnded.
    """
    if ends_at < rule.starts_at:
        raise AllocationRuleNotUsable(f"the rule begins at {rule.starts_at:%Y-%m-%d %H:%M} UTC")
    alike = [
        each
        for each in held_rules().values()
        if (each.meter, each.host_id, each.host_class)
        == (rule.meter, rule.host_id, rule.host_class)
        and (each.starts_at, each.created_at) > (rule.starts_at, rule.created_at)
    ]
    following = min((each.starts_at for each in alike), default=None)
    if following is not None and following <= ends_at:
        raise AllocationRuleEnded(f"another rule follows it at {following:%Y-%m-%d %H:%M} UTC")
    return state_rule(
        rule.meter, "none", starts_at=ends_at, author=author, as_of=as_of,
        host=rule.host, host_class=rule.host_class,
    )  # fmt: skip


def _require_usable(meter: str, spread: str, starts_at: datetime, as_of: datetime) -> None:
    if meter not in SPREADABLE:
        raise AllocationRuleNotUsable(f"no host measures a meter called {meter[:64]!r}")
    if spread not in RULES:
        raise AllocationRuleNotUsable(f"a rule is one of {', '.join(RULES)}")
    if hour_of(starts_at) != starts_at:
        raise AllocationRuleNotUsable("it starts at a full hour of UTC: hours are spread whole")
    if starts_at < as_of - PAST_MAX:
        raise AllocationRuleNotUsable(f"it starts over {PAST_MAX.days} days ago")
    if starts_at > as_of + AHEAD_MAX:
        raise AllocationRuleNotUsable(f"it starts over {AHEAD_MAX.days} days ahead")


def _require_nothing_posted(rule: AllocationRule) -> None:
    """Hours keep the rule by which they were posted, so none begins before them."""
    posted = Event.objects.filter(
        type=ALLOCATED_TYPE,
        meter=allocated_meter(rule.meter),
        bucket_start__gte=rule.starts_at,
    )
    hosts = Host.objects.filter(host_class=rule.host_class) if rule.host_class else None
    if rule.host is not None:
        hosts = Host.objects.filter(pk=rule.host.pk)
    if hosts is not None:
        ids = hosts.values_list("pk", flat=True)
        posted = posted.filter(source__in=[f"{ALLOCATION_SOURCE}{pk}" for pk in ids])
    last = posted.order_by("bucket_start").last()
    if last is not None:
        free = hour_of(last.bucket_start) + HOUR
        raise HoursArePosted(
            f"hours up to {free:%Y-%m-%d %H:%M} UTC are posted by another rule; start it there or "
            "later"
        )


def mark_hours(start: datetime, end: datetime) -> int:
    """Have the hours that begin in [start, end) looked at once more; how many these are."""
    first = hour_of(start)
    hours = [first + number * HOUR for number in range(max(-(-(end - first) // HOUR), 0))]
    AllocationMark.objects.bulk_create(
        [AllocationMark(hour=hour) for hour in hours], batch_size=2_000
    )
    return len(hours)
