"""A host's usage with what nobody used of it, by customer and application. Every query runs inside
a tenant's scope; core/allocation.py says how it is spread."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import BooleanField, Case, F, Q, QuerySet, Sum, Value, When
from django.db.models.expressions import RawSQL
from hostmeter_agent.wire import kind_of
from hostmeter_agent.wire_control import RESERVED_NAMES

from metering.core.allocation import HostAllocation, Rule, Share, allocated
from metering.core.posting import Stretch, changes_in, owner_at
from metering.models import UNATTRIBUTED, Application, Assignment, Host, Instance
from metering.rollup_models import Rollup
from metering.sql import statement
from metering.usage import quantity_of

# An application's usage from a bucket on, up to where it changes hands.
Used = tuple[UUID, datetime, int]


class MaximumNotAllocated(ValueError):
    """What is a largest value cannot be spread: maxima do not add up to a host's."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose some applications are, and which of them agents make up for what is no program's."""

    stretches: Mapping[UUID, Sequence[Stretch]]
    made_up: Mapping[UUID, str]

    def of(self, application_id: UUID, bucket: datetime) -> UUID | None:
        return owner_at(self.stretches.get(application_id, ()), bucket)

    def is_nobodys(self, application_id: UUID, bucket: datetime) -> bool:
        """Whether it is unattributed, or the system's: the kernel's, the agent's, the rest's. What
        is made up and assigned to a customer all the same is the customer's."""
        name = self.made_up.get(application_id)
        return name == UNATTRIBUTED or (
            name is not None and self.of(application_id, bucket) is None
        )


def require_spreadable(meter: str) -> None:
    """Raises MaximumNotAllocated."""
    if kind_of(meter) == "maximum":
        raise MaximumNotAllocated(
            f"{meter} is a largest value, and those do not add up to a host's; "
            f"name {meter.removesuffix('.max')}"
        )


def host_allocation(
    host: Host, meter: str, start: datetime, end: datetime, rule: Rule, capacity: int | None
) -> HostAllocation:
    """The host's usage of the meter in the buckets of [start, end), which are buckets' bounds, in
    which it could do `capacity`. What events and corrections state for whole applications is no
    host's. Raises MaximumNotAllocated."""
    require_spreadable(meter)
    owners = owners_in(start, end)
    used = used_by_hosts(start, end, [meter], owners, host).get(host.pk, {}).get(meter, ())
    return told_apart(used, owners, capacity, rule)


def used_by_hosts(
    start: datetime,
    end: datetime,
    meters: Sequence[str],
    owners: Owners,
    host: Host | None = None,
) -> dict[UUID, dict[str, list[Used]]]:
    """What each host's applications used in the buckets of [start, end), or those of one host, by
    host and meter. All is added up by the database; of applications that change hands meanwhile
    each bucket stands alone."""
    changing = [
        application_id
        for application_id, stretches in owners.stretches.items()
        if changes_in(stretches, start, end)
    ]
    since = Case(When(application_id__in=changing, then=F("bucket_start")), default=Value(start))
    quantities = {f"meter_{index}": Sum(quantity_of(each)) for index, each in enumerate(meters)}
    rows = (
        _rollups_of_hosts(host)
        .filter(bucket_start__gte=start, bucket_start__lt=end)
        .order_by()
        .annotate(since=since)
        .values_list("instance__host_id", "application_id", "since")
        .annotate(**quantities)
    )
    found: defaultdict[UUID, dict[str, list[Used]]] = defaultdict(dict)
    for host_id, application_id, bucket, *values in rows:
        for meter, used in zip(meters, values, strict=True):
            if used is not None:
                own = found[host_id].setdefault(meter, [])
                own.append((application_id, bucket, int(used)))
    return dict(found)


def _rollups_of_hosts(host: Host | None) -> "QuerySet[Rollup]":
    """Those of one host, or of all hosts. By its application's id a rollup is found by its key; by
    its bucket alone all are read."""
    instances, rollups = Instance.objects.filter(host__isnull=False), Rollup.objects.all()
    if host is not None:
        instances, rollups = instances.filter(host=host), rollups.filter(instance__host=host)
    ids = list(instances.order_by().values_list("application_id", flat=True).distinct())
    of_these = RawSQL(statement("of_applications"), [ids], BooleanField())  # noqa: S611  bound
    return rollups.filter(of_these, instance__host__isnull=False)


def told_apart(
    used: Iterable[Used], owners: Owners, capacity: int | None, rule: Rule
) -> HostAllocation:
    """A host's usage spread by the rule."""
    totals: defaultdict[tuple[UUID, UUID | None], int] = defaultdict(int)
    nobodys = 0
    for application_id, bucket, quantity in used:
        if owners.is_nobodys(application_id, bucket):
            nobodys += quantity
        else:
            totals[application_id, owners.of(application_id, bucket)] += quantity
    shares = [Share(application_id, owner, own) for (application_id, owner), own in totals.items()]
    return allocated(shares, nobodys, capacity, rule)


def capacity_of(host: Host, meter: str, length: timedelta) -> int | None:
    """What the host can do of the meter in this time, in the meter's unit; None where nobody has
    said, or the meter has no bound."""
    microseconds = length // timedelta.resolution
    if meter == "cpu.time" and host.cpu_count is not None:
        return host.cpu_count * microseconds
    if meter == "memory.used" and host.memory_bytes is not None:
        return host.memory_bytes * microseconds // 1_000_000
    return None


def owners_of(application_ids: Collection[UUID]) -> Owners:
    """Of these applications."""
    return _owners(
        Application.objects.filter(pk__in=application_ids),
        Assignment.objects.filter(application_id__in=application_ids),
    )


def owners_in(start: datetime, end: datetime) -> Owners:
    """Of all applications, as far as they are somebody's in [start, end)."""
    assigned = Assignment.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=start), starts_at__lt=end
    )
    return _owners(Application.objects.all(), assigned)


def _owners(applications: "QuerySet[Application]", assigned: "QuerySet[Assignment]") -> Owners:
    stretches: defaultdict[UUID, list[Stretch]] = defaultdict(list)
    rows = assigned.order_by("starts_at")
    for application_id, start, end, customer_id in rows.values_list(
        "application_id", "starts_at", "ends_at", "customer_id"
    ):
        stretches[application_id].append((start, end, customer_id))
    made_up = applications.filter(name__in=RESERVED_NAMES).values_list("pk", "name")
    return Owners(dict(stretches), dict(made_up))
