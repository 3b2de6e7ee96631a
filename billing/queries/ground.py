"""What a document is rated on, as far as it can change meanwhile or later, in the words that its
proof has it in.

- `assignments`: whose usage is billed: each `application` with its `name`, its `environment`'s, and
  the stretch from `start` to `end` in which it is the customer's.
- `hosts`: those that the applications have run on: `id`, `name`, `region` and `host_class`.
- `silences`: by billing period the time in which nothing was heard of instances that ran before;
  empty where no version of the documents' plans has a policy for gaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from billing.billable import billable_periods
from billing.core.periods import Period
from billing.core.proof.records import instant, microseconds
from billing.models import Invoice, LateUsage, PlanVersion, Subscription
from billing.queries.periods import period_of
from metering.coverage import silences_in
from metering.cuts import Cut, take_cut
from metering.models import Application, Host, Instance
from metering.usage_rows import UsagePeriod

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Ground:
    """`cut` is the usage that was there, None while some of it is in no rollup yet; `marks` are
    those of late usage, each with its invoice: rating that one's period makes up for them."""

    cut: Cut | None
    marks: Mapping[UUID, UUID]
    assignments: Records
    hosts: Records
    silences: Mapping[Period, Records]

    def has_held(self, later: "Ground") -> bool:
        """Whether `later` is as this: what was rated in between was rated on one ground."""
        return (
            self.cut is not None
            and later.cut is not None
            and (self.marks, self.assignments, self.hosts, self.silences)
            == (later.marks, later.assignments, later.hosts, later.silences)
        )

    def marks_of(self, rated: Iterable[Invoice]) -> list[UUID]:
        """The marks that rating these invoices' periods makes up for, those too of usage that was
        refused: what is in the rollups is rated."""
        ids = {each.pk for each in rated}
        return [mark for mark, invoice in self.marks.items() if invoice in ids]


def ground_of(documents: Sequence[Invoice]) -> Ground:
    """The ground of a draft, and of the invoices that are restated with it; or of these alone. All
    are of one customer."""
    usage = {
        period_of(each): billable_periods(each.customer, period_of(each)) for each in documents
    }
    every = [each for periods in usage.values() for each in periods]
    # Before the cut: what is rolled up after it has a mark that only the second look finds.
    marks = dict(LateUsage.objects.filter(invoice__in=documents).values_list("pk", "invoice"))
    # Before the others: whatever comes after it is found by looking again.
    return Ground(
        take_cut(every),
        marks,
        assignments_of(every),
        hosts_of(every),
        _silences_by_period(documents, usage),
    )


def kept_cut(kept: Mapping[str, Any] | None, finalized_at: datetime) -> Cut:
    """The usage that an issued document was rated by, as it is kept with it; of one that did not
    keep it, what had been received when it got its number."""
    if kept is None:
        return Cut(finalized_at)
    return Cut(instant(kept["at"]), kept["snapshot"], kept["own"])


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


def _silences_by_period(
    documents: Sequence[Invoice], usage: Mapping[Period, Sequence[UsagePeriod]]
) -> dict[Period, Records]:
    """Looked for only where a price may depend on them; that an earlier or a later version of the
    plan has such prices is enough."""
    plans = Subscription.objects.filter(pk__in={each.subscription_id for each in documents})
    looking = PlanVersion.objects.filter(plan__in=plans.values("plan")).exclude(
        gaps=PlanVersion.Gaps.NOT_BILLED
    )
    if not looking.exists():
        return {}
    return {period: _silences(periods) for period, periods in usage.items()}


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
