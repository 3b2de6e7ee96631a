"""What running periods have come to, counted customer by customer ahead of whoever looks: rating a
month of a thousand applications takes longer than a page may."""

import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, OuterRef, Subquery

from billing.core.exact import ZERO
from billing.core.money import sum_amounts
from billing.models import AccruedRevenue
from billing.operations.spend_limits import watch_spend
from billing.queries import MonthToDate, month_to_date
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope

_log = logging.getLogger(__name__)


def count_accrued(tenant_id: UUID, *, as_of: datetime, counted_before: datetime) -> int:
    """Count the customer whose figure is the oldest, and older than `counted_before`; how many
    were counted, 1 or 0. Each in a transaction of its own, so that a task may stop between two."""
    with tenant_scope(tenant_id):
        customer = _oldest(counted_before)
        if customer is None:
            return 0
        tenant = Tenant.objects.get(pk=tenant_id)
        zone = ZoneInfo(tenant.time_zone)
        try:
            with transaction.atomic():
                figures = _figures(month_to_date(customer, as_of=as_of), as_of, zone)
        except Exception as error:  # noqa: BLE001 it stands with the figure
            # One that cannot be rated does not hold the others up.
            _log.exception("tenant %s: %s could not be counted", tenant_id, customer.reference)
            figures = _Figures(failure=str(error)[:200] or type(error).__name__)
        AccruedRevenue.objects.update_or_create(
            customer=customer,
            defaults={
                "currency": figures.currency,
                "day": as_of.astimezone(zone).date(),
                "today": figures.today,
                "month": figures.month,
                "failure": figures.failure,
                "counted_at": as_of,
            },
        )
        _watch_spend(customer, as_of)
    return 1


def _watch_spend(customer: Customer, as_of: datetime) -> None:
    """The same customers in the same order are held against the limits of policies."""
    try:
        with transaction.atomic():
            watch_spend(customer, as_of=as_of)
    except Exception:  # noqa: BLE001 it is logged
        # Its figures are counted all the same, and others follow.
        _log.exception("%s: its limits of spend are not watched", customer.reference)


def _oldest(counted_before: datetime) -> Customer | None:
    """Those who were never counted come first."""
    counted = AccruedRevenue.objects.filter(counted_at__gte=counted_before).values("customer")
    last = AccruedRevenue.objects.filter(customer=OuterRef("pk"))
    return (
        Customer.objects.exclude(pk__in=counted)
        .annotate(counted_at=Subquery(last.values("counted_at")))
        .order_by(F("counted_at").asc(nulls_first=True), "created_at", "pk")
        .first()
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    currency: str = ""
    today: Decimal = ZERO
    month: Decimal = ZERO
    failure: str = ""


def _figures(running: MonthToDate | None, as_of: datetime, zone: ZoneInfo) -> _Figures:
    """A customer's days are its own time zone's; those of the tenant's date are taken."""
    if running is None:
        return _Figures()
    day = as_of.astimezone(zone).date()
    first = day.replace(day=1)
    return _Figures(
        running.upcoming.currency.code,
        sum_amounts([each.amount for each in running.days if each.day == day]),
        sum_amounts([each.amount for each in running.days if first <= each.day <= day]),
    )
