"""What a document is rated on, as far as it can change meanwhile or later, in the words that its
proof has it in.

- `assignments`: whose usage is billed: each `application` with its `name`, its `environment`'s, and
  the stretch from `start` to `end` in which it is the customer's.
- `hosts`: those that the applications have run on: `id`, `name`, `region` and `host_class`.
- `silences`: by billing period the time in which nothing was heard of instances that ran before.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.core.proof.records import microseconds
from billing.models import Invoice
from billing.queries.restatement import accepted_marks
from metering.coverage import silences_in
from metering.cuts import Cut, take_cut
from metering.models import Application, Host, Instance
from metering.usage_rows import UsagePeriod

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Ground:
    """`cut` is the usage that was there, None while some of it is in no rollup yet; `marks` are
    those of late usage that a rating makes up for."""

    cut: Cut | None
    marks: frozenset[UUID]
    assignments: Records
    hosts: Records
    silences: Mapping[Period, Records]

    def has_held(self, later: "Ground", *, silences: Collection[Period]) -> bool:
        """Whether `later` is as this: what was rated in between was rated on one ground. Of
        silences those of some periods matter."""
        return (
            self.cut is not None
            and later.cut is not None
            and (self.marks, self.assignments, self.hosts)
            == (later.marks, later.assignments, later.hosts)
            and all(self.silences[each] == later.silences[each] for each in silences)
        )


def ground_of(documents: Sequence[Invoice]) -> Ground:
    """The ground of a draft, and of the invoices that are restated with it; or of these alone. All
    are of one customer."""
    usage = {
        period_of(each): billable_periods(each.customer, period_of(each)) for each in documents
    }
    every = [each for periods in usage.values() for each in periods]
    # Before the cut: what is rolled up after it has a mark that only the second look finds.
    marks = frozenset(accepted_marks(documents).values_list("pk", flat=True))
    # Before the others: whatever comes after it is found by looking again.
    return Ground(
        take_cut(every),
        marks,
        assignments_of(every),
        hosts_of(every),
        {period: _silences(periods) for period, periods in usage.items()},
    )


def period_of(document: Invoice) -> Period:
    return Period(document.period_start, document.period_end)


def assignments_of(periods: Sequence[UsagePeriod]) -> Records:
    """In the order of application and start."""
    known = Application.objects.filter(pk__in={each.application_id for each in periods})
    names = {
        pk: {"name": name, "environment": environment}
        for pk, name, environment in known.values_list("pk", "name", "environment__name")
    }
    return [
        {
            "application": str(each.application_id),
            **names[each.application_id],
            "start": microseconds(each.start),
            "end": microseconds(each.end),
        }
        for each in sorted(periods, key=lambda each: (str(each.application_id), each.start))
    ]


def hosts_of(periods: Sequence[UsagePeriod]) -> Records:
    """In the order of their ids."""
    hosts = Host.objects.filter(
        pk__in=Instance.objects.filter(
            application_id__in={each.application_id for each in periods}, host__isnull=False
        ).values("host")
    )
    return [
        {"id": str(pk), "name": name, "region": region, "host_class": host_class}
        for pk, name, region, host_class in hosts.order_by("pk").values_list(
            "pk", "name", "region", "host_class"
        )
    ]


def _silences(periods: Sequence[UsagePeriod]) -> Records:
    return [
        {
            "application": str(each.application_id),
            "instance": str(each.instance_id),
            "role": each.role,
            "host": each.host,
            "start": microseconds(each.start),
            "end": microseconds(each.end),
        }
        for each in silences_in(periods)
    ]
