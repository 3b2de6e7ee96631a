"""A tenant with a month of usage: customers with five applications each, hour by hour."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

import psycopg
from django.db import connection

from billing.core.periods import Period
from billing.models import Plan, Price, Subscription
from billing.operations import Offer, publish_plan_version
from metering.models import Application, Assignment, Host, Instance, Measurement
from tenants.models import Customer, Environment, Tenant
from tenants.scope import installation_scope, tenant_scope

START: Final = datetime(2026, 10, 1, tzinfo=UTC)
END: Final = datetime(2026, 10, 31, tzinfo=UTC)
APPLICATIONS_PER_CUSTOMER: Final = 5
_CUSTOMERS_AT_ONCE: Final = 250
_USED: Final = Period(START, END)

# Meter, aggregation, unit, price: twelve of what hosting bills.
_PRICES: Final = (
    ("cpu.time", "sum", "CPU-hour", "0.04"),
    ("memory.used", "integral", "GB-hour", "0.005"),
    ("memory.used.max", "maximum", "GB", "0.1"),
    ("processes", "integral", "process-hour", "0.0001"),
    ("threads", "integral", "thread-hour", "0.00001"),
    ("files.open", "integral", "file-hour", "0.000001"),
    ("file.read", "sum", "GB", "0.001"),
    ("file.written", "sum", "GB", "0.002"),
    ("network.received", "sum", "GB", "0.01"),
    ("network.sent", "sum", "GB", "0.05"),
    ("transactions", "sum", "thousand", "0.003"),
    ("users.concurrent", "integral", "user-hour", "0.002"),
)


@dataclass(frozen=True, slots=True)
class Month:
    """What was made."""

    tenant_id: UUID
    customers: int
    hours: int


def make_month(
    customers: int,
    progress: Callable[[str], None],
    *,
    applications: int = APPLICATIONS_PER_CUSTOMER,
    begun: datetime = START,
    used: Period = _USED,
) -> Month:
    """Customers on one plan, subscribed since `begun`, each with so many applications and their
    usage over `used`."""
    with installation_scope():
        tenant = Tenant.objects.create(slug="bench", name="Bench")
    with tenant_scope(tenant.pk):
        plan = _plan(begun)
        environment = Environment.objects.create(name="bench")
        host = Host.objects.create(name="bench", environment=environment, last_window_end=used.end)
        measurement = Measurement.objects.create(digest=bytes(32), body=_exactly())
    hours = 0
    for first in range(0, customers, _CUSTOMERS_AT_ONCE):
        numbers = range(first, min(first + _CUSTOMERS_AT_ONCE, customers))
        with tenant_scope(tenant.pk):
            made = _customers(numbers, plan, host, applications, begun)
            hours += usage_of(made, measurement, used)
        progress(f"made {numbers[-1] + 1} of {customers} customers")
    settle()
    return Month(tenant.pk, customers, hours)


def _plan(begun: datetime) -> Plan:
    plan = Plan.objects.create(name="Bench", currency="EUR")
    prices = [
        Price(
            label=meter, meter=meter, aggregation=aggregation, unit=unit, unit_price=Decimal(price)
        )
        for meter, aggregation, unit, price in _PRICES
    ]
    publish_plan_version(plan, Offer(prices, begun))
    return plan


def _exactly() -> dict[str, object]:
    return {"meters": {meter: ["exact", "bench/1"] for meter, *_ in _PRICES}}


def _customers(numbers: range, plan: Plan, host: Host, each: int, begun: datetime) -> list[UUID]:
    customers = Customer.objects.bulk_create(
        Customer(name=f"Customer {number}", reference=f"c{number}") for number in numbers
    )
    Subscription.objects.bulk_create(
        Subscription(customer=customer, plan=plan, starts_at=begun, cycle="calendar")
        for customer in customers
    )
    owned = list(_applications(customers, host.environment_id, each))
    applications = Application.objects.bulk_create(application for application, _ in owned)
    Instance.objects.bulk_create(
        Instance(application=application, host=host, name="1") for application in applications
    )
    Assignment.objects.bulk_create(
        Assignment(application=application, customer=customer, starts_at=begun)
        for application, customer in owned
    )
    return [application.pk for application in applications]


def _applications(
    customers: list[Customer], environment_id: UUID, each: int
) -> Iterator[tuple[Application, Customer]]:
    for customer in customers:
        for number in range(each):
            name = f"{customer.reference}-{number}"
            yield (
                Application(pk=uuid4(), environment_id=environment_id, name=name),
                customer,
            )


# Quantities differ by application and hour, and are the same in every run.
_HOURS = """
INSERT INTO metering_hourrollup (
    tenant_id, application_id, bucket_start, role, measurements, window_us, covered_us,
    cpu_time, memory_used, memory_used_max, processes, threads, files_open, file_read,
    file_written, network_received, network_sent, transactions, users_concurrent
)
SELECT
    (SELECT hostmeter_tenant()), application, hour, 'primary', ARRAY[%(measurement)s::uuid],
    3600000000, 3600000000,
    noise * 1009, noise * 1000003, noise * 977, noise %% 50 * 3600, noise %% 400 * 3600,
    noise %% 900 * 3600, noise * 8191, noise * 4093, noise * 2039, noise * 6151, noise %% 90000,
    noise %% 300 * 3600
FROM unnest(%(applications)s::uuid[]) WITH ORDINALITY AS owned (application, number),
    generate_series(%(start)s, %(end)s - interval '1 hour', interval '1 hour') AS hour,
    LATERAL (SELECT abs(hashint8(number * 100003 + extract(epoch FROM hour)::bigint / 3600)::bigint)
        %% 1000000 AS noise) AS made
"""


def usage_of(applications: list[UUID], measurement: Measurement, used: Period) -> int:
    """Give each application an hour of usage in every hour; how many were made."""
    with connection.cursor() as cursor:
        cursor.execute(
            _HOURS,
            {
                "applications": applications,
                "measurement": measurement.pk,
                "start": used.start,
                "end": used.end,
            },
        )
        return int(cursor.rowcount)


def settle() -> None:
    """What the database does by itself sooner or later, so that it does not while it is measured;
    only the tables' owner may ask for it."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as owner:
        owner.execute("VACUUM (ANALYZE)")
