"""What the pages show of customers, applications and invoices. Every query runs inside a tenant's
scope and takes the customer it may answer for."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_noop

from billing.billable import assigned_periods
from billing.core.exact import EXACT, ZERO, plain
from billing.core.money import sum_amounts
from billing.core.periods import BillingCycle, Period, billing_period_containing
from billing.core.provenance import Provenance, together
from billing.core.quantity import plus
from billing.core.rating import RatedLine
from billing.models import Invoice, InvoiceLine, Payment
from billing.queries import (
    UpcomingInvoice,
    current_period,
    subscription_of,
)
from metering.core.quality import Measured
from metering.measured_time import profiles_behind
from metering.measurements import measured_by, profiles
from metering.models import Application, Host
from metering.usage import usage_by_application, usage_by_day
from metering.usage_rows import UsagePeriod
from portal.chart import Axis, Chart, Series, Slot, bar_chart
from portal.formatting import (
    day_of_month,
    day_of_year,
    month_name,
    quantity,
    unit_name,
    usage,
    usage_unit,
)
from tenants.models import Customer, Member

HOSTS_SHOWN_MAX: Final = 20
# What stands on no application: fees, minimums, discounts.
OTHER_CHARGES: Final = gettext_noop("Other charges")


def customers_matching(member: Member, sought: str = "") -> "QuerySet[Customer]":
    """The customers whose pages a member may read, by a part of the name or reference."""
    customers = Customer.objects.order_by("generated", "name", "id")
    if member.customer_id is not None:
        customers = customers.filter(pk=member.customer_id)
    if sought:
        customers = customers.filter(Q(name__icontains=sought) | Q(reference__icontains=sought))
    return customers


def period_of(customer: Customer, *, as_of: datetime) -> Period:
    """The current billing period; the local calendar month for a customer without a plan."""
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is not None:
        return current_period(subscription, as_of=as_of)
    long_ago = as_of - timedelta(days=800)
    return billing_period_containing(
        as_of, BillingCycle(start=long_ago, time_zone=customer.time_zone, anchoring="calendar")
    )


def applications_of(customer: Customer) -> "QuerySet[Application]":
    """Every application that is, was or will be billed to the customer."""
    return (
        Application.objects.filter(assignments__customer=customer)
        .select_related("environment")
        .distinct()
        .order_by("name", "id")
    )


def applications_named(
    application_ids: Collection[UUID | None],
) -> dict[UUID | None, Application]:
    """Those that there are; charges of no application have none."""
    known = [each for each in application_ids if each is not None]
    found = Application.objects.filter(pk__in=known).select_related("environment")
    return {application.pk: application for application in found}


def hosts_of(application: Application) -> list[Host]:
    """Where it was seen running, the most recently heard-of hosts first."""
    hosts = Host.objects.filter(instance__application=application).distinct()
    return list(hosts.order_by("-last_seen_at", "name")[:HOSTS_SHOWN_MAX])


@dataclass(frozen=True, slots=True)
class MeterCharge:
    """What all applications together used of one price, and what it costs. Of a maximum each
    application's largest value is charged, so that of all it is their sum."""

    label: str
    meter: str
    unit: str
    raw_quantity: int | Decimal
    quantity: Decimal
    amount: Decimal
    provenance: Provenance


def charges_by_meter(upcoming: UpcomingInvoice) -> list[MeterCharge]:
    """The invoice's lines gathered by price, in the plan's order."""
    gathered: defaultdict[tuple[str | None, str], list[RatedLine]] = defaultdict(list)
    for line in upcoming.lines:
        gathered[line.price_id, line.label].append(line)
    return [
        MeterCharge(
            label=lines[0].label,
            meter=lines[0].meter,
            unit=lines[0].unit,
            raw_quantity=plus(*(line.raw_quantity for line in lines)),
            quantity=reduce(EXACT.add, (line.quantity for line in lines)),
            amount=sum_amounts([line.amount for line in lines]),
            provenance=together([line.provenance for line in lines]),
        )
        for lines in gathered.values()
    ]


def local_days(period: Period, zone: ZoneInfo) -> list[date]:
    """Every local day that the period touches."""
    first = period.start.astimezone(zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def day_slots(period: Period, zone: ZoneInfo, *, as_of: datetime) -> list[Slot]:
    """The chart's slots for a period's days; the running day is still open."""
    today = as_of.astimezone(zone).date()
    return [
        Slot(day_of_month(day), day_of_year(day), is_open=day == today, group=month_name(day))
        for day in local_days(period, zone)
    ]


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application in the list, with how its usage was measured; None where nothing is priced or
    nothing was measured."""

    application: Application
    amount: Decimal | None
    cpu_time_us: int | None
    cpu_time_measured: tuple[Measured, ...]
    memory_byte_seconds: int | None
    memory_measured: tuple[Measured, ...]


def applications_by_charge(
    customer: Customer, charged: Mapping[UUID | None, Decimal]
) -> list[UUID]:
    """The customer's applications, dearest first. Of a thousand only a page is read in full."""
    named = applications_of(customer).values_list("pk", "name")
    ordered = sorted(named, key=lambda each: (-charged.get(each[0], ZERO), each[1]))
    return [application_id for application_id, _ in ordered]


def application_rows(
    customer: Customer,
    application_ids: Sequence[UUID],
    charged: Mapping[UUID | None, Decimal] | None,
    period: Period,
) -> list[ApplicationRow]:
    """Usage and charge of some of the customer's applications in the period, in their order;
    `charged` is None where nothing is priced."""
    wanted, meters = set(application_ids), ["cpu.time", "memory.used"]
    periods = [each for each in assigned_periods(customer, period) if each.application_id in wanted]
    used = usage_by_application(periods, meters)
    measured = measured_by_application(periods, meters)
    named = applications_named(application_ids)
    return [
        ApplicationRow(
            application=application,
            amount=None if charged is None else charged.get(application.pk, ZERO),
            cpu_time_us=used.get(application.pk, {}).get("cpu.time"),
            cpu_time_measured=measured.get(application.pk, {}).get("cpu.time", ()),
            memory_byte_seconds=used.get(application.pk, {}).get("memory.used"),
            memory_measured=measured.get(application.pk, {}).get("memory.used", ()),
        )
        for application in (named[each] for each in application_ids)
    ]


def own_periods(customer: Customer, application_id: UUID, period: Period) -> list[UsagePeriod]:
    """When, in the period, the application's usage is the customer's."""
    periods = assigned_periods(customer, period)
    return sorted(
        (each for each in periods if each.application_id == application_id),
        key=lambda each: each.start,
    )


def usage_of(periods: Sequence[UsagePeriod], meters: Sequence[str]) -> Mapping[str, int]:
    """One application's quantities over its periods, by meter."""
    totals = usage_by_application(periods, meters)
    return next(iter(totals.values()), {})


def quantities_by_day(
    periods: Sequence[UsagePeriod], meter: str, time_zone: str, *, without: Collection[UUID] = ()
) -> dict[date, int]:
    """One application's quantity of one meter for each local day with usage; that with one of the
    profiles `without` is left out."""
    days = usage_by_day(periods, [meter], time_zone, without=without)
    return {
        day: quantity
        for day, used in sorted(days.items())
        for by_meter in used.values()
        for quantity in by_meter.values()
    }


def measured_by_application(
    periods: Sequence[UsagePeriod], meters: Sequence[str]
) -> dict[UUID, dict[str, tuple[Measured, ...]]]:
    """How each application's meters were measured in its periods; nothing of one without usage."""
    behind = profiles_behind(periods)
    known = profiles(frozenset[UUID | None]().union(*behind.values()))
    return {
        application_id: {meter: measured_by(ids, known, meter) for meter in meters}
        for application_id, ids in behind.items()
    }


def measured_in(
    periods: Sequence[UsagePeriod], meters: Sequence[str]
) -> Mapping[str, tuple[Measured, ...]]:
    """How one application's meters were measured in its periods; nothing without usage."""
    return next(iter(measured_by_application(periods, meters).values()), {})


def usage_chart(
    quantities: Mapping[date, int], meter: str, period: Period, zone: ZoneInfo, *, as_of: datetime
) -> Chart:
    """One meter of one application, a bar for each day of the period."""
    values = [quantities.get(day, 0) for day in local_days(period, zone)]
    return meter_chart(day_slots(period, zone, as_of=as_of), values, meter)


def meter_chart(slots: Sequence[Slot], values: Sequence[int], meter: str) -> Chart:
    """One meter's raw quantities as bars, the axis in a unit of fitting size."""
    unit = usage_unit(meter, max(values, default=0))
    axis = Axis(quantity, unit=unit_name(unit.name, Decimal(2)), size=Decimal(unit.raw_per_unit))
    series = Series("", tuple(Decimal(value) for value in values))
    return bar_chart(slots, [series], lambda raw: usage(meter, int(raw)), axis)


def invoices_of(customer: Customer) -> "QuerySet[Invoice]":
    """Newest first."""
    return (
        Invoice.objects.filter(customer=customer)
        .select_related("plan_version__plan", "refers_to")
        .order_by("-period_start", "-created_at")
    )


def issued_invoices_of(customer: Customer) -> "QuerySet[Invoice]":
    """Those that have their number, and files; newest first."""
    return invoices_of(customer).filter(number__isnull=False)


def issued_in_month(customer: Customer, month: date) -> "QuerySet[Invoice]":
    """Invoices and notes of periods that begin in the local month of the day `month`."""
    zone = ZoneInfo(customer.time_zone)
    first = datetime(month.year, month.month, 1, tzinfo=zone)
    following = (first + timedelta(days=31)).replace(day=1)
    issued = issued_invoices_of(customer)
    return issued.filter(period_start__gte=first, period_start__lt=following).order_by(
        "finalized_at", "id"
    )


def lines_of(invoice: Invoice, application_ids: Collection[UUID | None]) -> "QuerySet[InvoiceLine]":
    """Those of some applications, and of none where None is among them; in the invoice's order,
    with what a page says of each."""
    wanted = Q(application__in=[each for each in application_ids if each is not None])
    if None in application_ids:
        wanted |= Q(application__isnull=True)
    lines = InvoiceLine.objects.filter(wanted, invoice=invoice)
    return lines.select_related("application__environment", "price").order_by("position")


def notes_on(invoice: Invoice) -> list[Invoice]:
    """The issued credit and debit notes that change it, oldest first."""
    return list(invoice.notes.filter(finalized_at__isnull=False).order_by("finalized_at", "number"))


def payments_of(invoice: Invoice) -> list[Payment]:
    """In the order in which they came in."""
    return list(invoice.payments.order_by("received_on", "recorded_at"))


@dataclass(frozen=True, slots=True)
class TaxRow:
    """A tax group as a page shows it."""

    category: str
    percent_text: str
    taxable: Decimal
    tax: Decimal
    reason: str


def taxes_of(invoice: Invoice) -> list[TaxRow]:
    """Its tax groups; that of a tenant who charges no tax says nothing, and is left out."""
    rows = [
        TaxRow(tax.category, plain(tax.percent), tax.taxable, tax.tax, tax.reason)
        for tax in invoice.taxes.order_by("category", "-percent")
    ]
    return [] if {row.category for row in rows} == {"O"} else rows
