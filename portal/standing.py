"""How the running period stands beside a forecast, the last one and the customer's budget, and what
changed most. Every query runs inside a tenant's scope."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from billing.core.changes import Change
from billing.core.exact import EXACT
from billing.core.forecast import Forecast
from billing.models import Budget
from billing.queries import MonthToDate
from billing.queries.comparison import Comparison, comparison_with_last
from billing.queries.foreseen import foreseen_total
from tenants.models import Customer

CHANGES_SHOWN_MAX: Final = 8
# So long, at most, the explorer tells instances apart.
_FINE_DAYS: Final = 31
_TICK: Final = timedelta.resolution


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change with where it is opened; nothing of what no usage stands behind."""

    change: Change
    url: str


@dataclass(frozen=True, slots=True)
class Standing:
    """`forecast` is None in the first days, `comparison` where there is nothing to compare with."""

    forecast: Forecast | None
    comparison: Comparison | None
    changes: tuple[ChangeRow, ...]
    changes_left: int

    @property
    def difference(self) -> Decimal | None:
        if self.comparison is None:
            return None
        return EXACT.subtract(self.comparison.now, self.comparison.before)


def standing_of(customer: Customer, month: MonthToDate, *, as_of: datetime) -> Standing:
    upcoming = month.upcoming
    comparison = comparison_with_last(upcoming.subscription, upcoming.period, as_of=as_of)
    changes = () if comparison is None else comparison.changes
    zone = ZoneInfo(customer.time_zone)
    shown = changes[:CHANGES_SHOWN_MAX]
    return Standing(
        foreseen_total(month),
        # Thousands of changes are not handed around for the few that are shown.
        None if comparison is None else replace(comparison, changes=()),
        tuple(_rows(shown, comparison, zone)),
        len(changes) - len(shown),
    )


def _rows(
    changes: Iterable[Change], comparison: Comparison | None, zone: ZoneInfo
) -> Iterable[ChangeRow]:
    if comparison is None:
        return
    first = comparison.span.start.astimezone(zone).date()
    last = (comparison.span.end - _TICK).astimezone(zone).date()
    before = comparison.span_before.start.astimezone(zone).date()
    for change in changes:
        yield ChangeRow(change, _explored(change, first, last, before))


def _explored(change: Change, first: date, last: date, before: date) -> str:
    if change.application_id is None or not change.meter:
        return ""
    said = {
        "meter": change.meter, "application": change.application_id, "from": first, "to": last,
        "compare": "custom", "compare_from": before, "bucket": "day",
        "group": "instance" if (last - first).days < _FINE_DAYS else "environment",
    }  # fmt: skip
    return f"{reverse('portal:usage')}?{urlencode(said)}"


def budget_of(customer: Customer, currency: str) -> Budget | None:
    """That of everything: the smallest, which is reached first."""
    everything = Budget.objects.kept().filter(
        customer=customer, scope=Budget.Scope.CUSTOMER, currency=currency
    )
    return everything.order_by("limit", "created_at").first()
