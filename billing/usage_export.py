"""Usage by customer, application, day and meter, as rows of a file. Inside a tenant's scope; reads
alone, a few applications at a time, so that however many there are little is in memory.

Usage counts inside a customer's assignments, and its days are the customer's. Quantities are exact
integers of the meter's small unit; what was not measured has no row: absent is not zero.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from billing.core.quantity import raw_unit_of
from billing.documents.tabular import Cell
from metering.models import Assignment
from metering.usage import usage_by_day
from metering.usage_rows import UsagePeriod
from tenants.models import Customer

COLUMNS: Final = (
    "day", "time_zone", "customer", "customer_name", "environment", "application",
    "application_id", "meter", "quantity", "unit",
)  # fmt: skip
ROWS_MAX: Final = 500_000
_TOGETHER_MAX: Final = 50
_DAY: Final = timedelta(days=1)


class TooManyRows(Exception):
    """The file would have more than 500,000 rows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which days, both included, of which meters and, unless it is None, of which customer."""

    first: date
    last: date
    meters: Sequence[str]
    customer: Customer | None = None


def usage_rows(wanted: Wanted) -> Iterator[tuple[Cell, ...]]:
    """In the order of COLUMNS: customers by their references, applications by name, days. Raises
    TooManyRows once there were as many as it gives."""
    count = 0
    for together in _chunks(_assignments(wanted).iterator(chunk_size=1_000)):
        for row in _rows(together, wanted):
            count += 1
            if count > ROWS_MAX:
                raise TooManyRows(f"the file would have over {ROWS_MAX} rows")
            yield row


def _assignments(wanted: Wanted) -> "QuerySet[Assignment]":
    # A day begins up to 14 hours before, and ends up to 12 hours after, that of UTC.
    start = datetime.combine(wanted.first - _DAY, time(), UTC)
    end = datetime.combine(wanted.last + 2 * _DAY, time(), UTC)
    running = Q(ends_at__isnull=True) | Q(ends_at__gt=start)
    rows = Assignment.objects.filter(running, starts_at__lt=end)
    if wanted.customer is not None:
        rows = rows.filter(customer=wanted.customer)
    return rows.select_related("customer", "application__environment").order_by(
        "customer__reference", "customer", "application__name", "application", "starts_at"
    )


def _chunks(assignments: Iterable[Assignment]) -> Iterator[list[Assignment]]:
    """Those that are read together: of one time zone, and no application of two customers."""
    together: list[Assignment] = []
    owners: dict[UUID, UUID] = {}
    for each in assignments:
        alike = not together or together[0].customer.time_zone == each.customer.time_zone
        owned = owners.get(each.application_id, each.customer_id) == each.customer_id
        if not alike or not owned or len(together) >= _TOGETHER_MAX:
            yield together
            together, owners = [], {}
        together.append(each)
        owners[each.application_id] = each.customer_id
    if together:
        yield together


def _rows(together: Sequence[Assignment], wanted: Wanted) -> Iterator[tuple[Cell, ...]]:
    zone = ZoneInfo(together[0].customer.time_zone)
    start = datetime.combine(wanted.first, time(), zone).astimezone(UTC)
    end = datetime.combine(wanted.last + _DAY, time(), zone).astimezone(UTC)
    periods = [
        UsagePeriod(each.application_id, max(each.starts_at, start), min(each.ends_at or end, end))
        for each in together
        if each.starts_at < end and (each.ends_at is None or each.ends_at > start)
    ]
    if not periods:
        return
    days = usage_by_day(periods, wanted.meters, zone.key)
    # An application that came back to its customer has two assignments, and one row a day.
    for each in {each.application_id: each for each in together}.values():
        customer, application = each.customer, each.application
        for day in sorted(days):
            used = days[day].get(application.pk, {})
            for meter, quantity in used.items():
                yield (
                    day.isoformat(), zone.key, customer.reference, customer.name,
                    application.environment.name, application.name, str(application.pk), meter,
                    quantity, raw_unit_of(meter),
                )  # fmt: skip
