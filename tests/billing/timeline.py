"""A small hosting provider with usage on a timeline, for the billing tests."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from billing.models import Plan, Price, Subscription
from billing.operations import Offer, publish_plan_version, subscribe
from metering.core.buckets import bucket_of
from metering.models import Application, Assignment, Host, Instance
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment

HOUR_US = 3_600 * 10**6


def at(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


JANUARY = at(1, 1)
OCTOBER = at(10, 1)
NOVEMBER = at(11, 1)


def cpu_price(unit_price: str = "0.01", allowance: str = "0") -> Price:
    return Price(
        label="CPU time",
        meter="cpu.time",
        aggregation="sum",
        unit="CPU-hour",
        unit_price=Decimal(unit_price),
        allowance=Decimal(allowance),
    )


def disk_price() -> Price:
    return Price(
        label="Disk writes",
        meter="disk.written",
        aggregation="sum",
        unit="GB",
        kind="graduated",
        tiers=[
            {"up_to": "10", "unit_price": "0.05"},
            {"up_to": None, "unit_price": "0.04"},
        ],
    )


def publish(plan: Plan, *prices: Price, effective_from: datetime = JANUARY) -> None:
    publish_plan_version(plan, Offer(prices or (cpu_price(), disk_price()), effective_from))


def application(name: str) -> Application:
    environment = Environment.objects.get(name="production")
    return Application.objects.create(environment=environment, name=name, first_seen_at=OCTOBER)


def assign(
    app: Application, customer: Customer, start: datetime = OCTOBER, end: datetime | None = None
) -> None:
    Assignment.objects.create(application=app, customer=customer, starts_at=start, ends_at=end)


def use(
    app: Application,
    when: datetime,
    *,
    cpu_us: int = 0,
    disk_bytes: int = 0,
    transactions: int | None = None,
) -> None:
    """Usage of one instance in the 5-minute bucket of `when`."""
    host, _ = Host.objects.get_or_create(name="web-1", environment=app.environment)
    instance, _ = Instance.objects.get_or_create(application=app, host=host, name="1")
    Rollup.objects.create(
        application=app,
        tenant=app.tenant,
        instance=instance,
        role="primary",
        bucket_start=bucket_of(when),
        samples=1,
        window_us=10**7,
        covered_us=10**7,
        cpu_time=cpu_us,
        disk_written=disk_bytes,
        transactions=transactions,
    )


@dataclass(frozen=True)
class Story:
    """A customer with two applications on a plan since October, in Berlin."""

    customer: Customer
    plan: Plan
    subscription: Subscription
    shop: Application
    mail: Application


def begin_story(reference: str = "shop-ltd", plan_name: str = "Hosting") -> Story:
    customer = Customer.objects.create(
        name=reference.title(), reference=reference, time_zone="Europe/Berlin"
    )
    plan = Plan.objects.create(name=plan_name, currency="EUR")
    publish(plan)
    shop, mail = application(f"{reference}-shop"), application(f"{reference}-mail")
    for app in (shop, mail):
        assign(app, customer)
    subscription = subscribe(customer, plan, starts_at=OCTOBER)
    return Story(customer, plan, subscription, shop, mail)
