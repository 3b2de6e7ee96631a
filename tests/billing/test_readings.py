"""What a price counts of real rollups and samples: roles, primaries, intervals, gaps, cells."""

import random
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.billable import billable_usage_by_day, usage_of
from billing.core.cells import cells_of
from billing.core.daily import combined
from billing.core.intervals import interval_count
from billing.core.periods import Period
from billing.core.prices import PerUnit
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Aggregation, Reading, RoleFactors
from metering.core.buckets import BUCKET
from metering.core.cloudevents import parse_event
from metering.core.filling import BucketUsage
from metering.events import store_events
from metering.models import Application, Assignment, Host, Instance, Measurement
from metering.rollup_models import Rollup
from metering.usage_rows import UsagePeriod
from tenants.models import Customer, Environment
from tests.billing.timeline import NOVEMBER, OCTOBER, at
from tests.metering.core.test_cloudevents import data, event

PERIOD = Period(OCTOBER, NOVEMBER)
HALF = RoleFactors(Decimal(1), Decimal("0.5"), Decimal(0))


@pytest.fixture
def shop(inside: UUID) -> Application:
    return Application.objects.create(name="shop", environment=Environment.objects.get())


def host(name: str, **fields: Any) -> Host:
    found = Host.objects.filter(name=name).first()
    return found or Host.objects.create(name=name, environment=Environment.objects.get(), **fields)


def use(
    app: Application,
    when: datetime,
    on: str = "web-1",
    *,
    role: str = "primary",
    covered_s: int = 300,
    ids: tuple[UUID | None, ...] = (None,),
    **columns: Any,
) -> Instance:
    instance, _ = Instance.objects.get_or_create(application=app, host=host(on), name=on)
    Rollup.objects.create(
        tenant=app.tenant, application=app, instance=instance, role=role, bucket_start=when,
        samples=1, window_us=300 * 10**6, covered_us=covered_s * 10**6, measurements=list(ids),
        **columns,
    )  # fmt: skip
    return instance


def read(*readings: Reading, apps: list[Application] | None = None) -> list[UsageQuantity]:
    chosen = apps or list(Application.objects.all())
    periods = [UsagePeriod(app.pk, OCTOBER, NOVEMBER) for app in chosen]
    return usage_of(periods, readings, PERIOD)


def only(reading: Reading) -> UsageQuantity:
    (quantity,) = read(reading)
    return quantity


def fact(quantity: UsageQuantity, name: str) -> dict[str, Any]:
    found = quantity.facts[name]
    assert isinstance(found, dict)
    return found


class TestRoles:
    def test_count_by_their_factors(self, shop: Application) -> None:
        for on, role, used in (("a", "primary", 10), ("b", "replica", 5), ("c", "standby", 99)):
            use(shop, at(10, 3), on, role=role, cpu_time=used, memory_used_max=used)
        cpu = only(Reading("cpu.time", "sum", factors=HALF))
        assert (cpu.quantity, cpu.facts["roles"]) == (
            Decimal("12.5"),
            {"primary": 10, "replica": 5},
        )
        assert only(Reading("memory.used.max", "maximum", factors=HALF)).quantity == 10
        assert only(Reading("cpu.time", "sum")).quantity == 114

    def test_that_are_not_billed_make_no_line(self, shop: Application) -> None:
        use(shop, at(10, 3), role="standby", cpu_time=5)
        assert read(Reading("cpu.time", "sum", factors=HALF)) == []


@pytest.mark.parametrize("aggregation", ["percentile", "peak"])
@pytest.mark.parametrize("minutes", [5, 15, 1440])
@pytest.mark.parametrize("meter", ["network.sent", "users.concurrent.max"])
def test_intervals_are_what_the_definition_says(
    shop: Application, aggregation: Aggregation, minutes: int, meter: str
) -> None:
    chance = random.Random(f"{aggregation}{minutes}{meter}")  # noqa: S311
    mail = Application.objects.create(name="mail", environment=shop.environment)
    column, buckets = meter.replace(".", "_"), []
    for app in (shop, mail):
        for on in ("a", "b"):
            role = chance.choice(["primary", "replica"])
            for number in chance.sample(range(31 * 288), 120):
                used, when = chance.randrange(2**66), OCTOBER + number * BUCKET
                columns: dict[str, Any] = {column: used}
                instance = use(app, when, on, role=role, **columns)
                buckets.append(BucketUsage(app.pk, instance.pk, role, when, 0, 0, used))
    for over in ("application", "customer"):
        reading = Reading(
            meter, aggregation, factors=HALF, interval_minutes=minutes,
            percentile=Decimal(99), over=over,
        )  # fmt: skip
        count = interval_count(OCTOBER, NOVEMBER, minutes)
        expected = cells_of(reading, [(each, ()) for each in buckets], count)
        found = {
            (each.application_id and UUID(each.application_id)): each for each in read(reading)
        }
        assert {key: each.quantity for key, each in found.items()} == {
            cell[0]: each.quantity for cell, each in expected.items()
        }
        told = fact(next(iter(found.values())), aggregation)
        assert told["intervals"] == count


class TestAMatrix:
    def test_tells_hosts_apart(self, shop: Application) -> None:
        host("a", region="eu", host_class="small")
        host("b", region="us", host_class="small")
        for on, used in (("a", 1), ("b", 2), ("c", 4)):
            use(shop, at(10, 3), on, cpu_time=used)
            use(shop, at(10, 4), on, cpu_time=10 * used)
        cells = read(Reading("cpu.time", "sum", by=("region", "host_class")))
        assert {each.attributes: each.quantity for each in cells} == {
            (("host_class", "small"), ("region", "eu")): 11,
            (("host_class", "small"), ("region", "us")): 22,
            (("host_class", ""), ("region", "")): 44,
        }

    def test_tells_roles_and_environments_apart_by_the_hour(self, shop: Application) -> None:
        use(shop, at(10, 3), "a", cpu_time=1)
        use(shop, at(10, 3), "b", role="replica", cpu_time=2)
        with CaptureQueriesContext(connection) as asked:
            cells = read(Reading("cpu.time", "sum", by=("role", "environment")))
        assert {each.attributes: each.quantity for each in cells} == {
            (("environment", "production"), ("role", "primary")): 1,
            (("environment", "production"), ("role", "replica")): 2,
        }
        assert not any('FROM "metering_rollup"' in each["sql"] for each in asked)

    def test_tells_qualities_apart_by_the_worst_of_a_bucket(self, shop: Application) -> None:
        ids = {}
        for quality in ("exact", "estimated"):
            body = {"meters": {"cpu.time": [quality, "a/1"]}}
            digest = sha256(quality.encode()).digest()
            ids[quality] = Measurement.objects.create(digest=digest, body=body).pk
        use(shop, at(10, 3), cpu_time=1, ids=(ids["exact"], None))
        use(shop, at(10, 4), cpu_time=2, ids=(ids["exact"], ids["estimated"]))
        use(shop, at(10, 5), cpu_time=4)
        accepts = frozenset({"exact", "estimated"})
        cells = read(Reading("cpu.time", "sum", accepts=accepts, by=("quality",)))
        assert {each.attributes[0][1]: each.quantity for each in cells} == {
            "exact": 1,
            "estimated": 2,
            "not_stated": 4,
        }


class TestDifferentValues:
    def test_of_instances_and_hosts_are_counted(self, shop: Application) -> None:
        for on in ("a", "b"):
            for day in (3, 4):
                use(shop, at(10, day), on, transactions=1)
        use(shop, at(10, 5), "idle", transactions=0)
        Instance.objects.filter(name="b").update(host=host("a"))
        for name, count in (("instance", 2), ("host", 1), ("environment", 1)):
            counted = only(Reading("transactions", "unique", distinct=name))
            assert counted.quantity == count

    def test_are_counted_where_applications_were_billed_for_different_times(
        self, shop: Application
    ) -> None:
        mail = Application.objects.create(name="mail", environment=shop.environment)
        for app in (shop, mail):
            use(app, at(10, 3), "a", transactions=1)
            use(app, at(10, 4), "b", transactions=1)
        periods = [
            UsagePeriod(shop.pk, OCTOBER, NOVEMBER),
            UsagePeriod(mail.pk, at(10, 4), NOVEMBER),
        ]
        reading = Reading("transactions", "unique", distinct="host", over="customer")
        (counted,) = usage_of(periods, [reading], PERIOD)
        assert counted.quantity == 2

    def test_of_events_are_counted(self, inside: UUID) -> None:
        for number, user in enumerate(["a", "b", "a", None, 7]):
            document = event(
                id=str(number),
                time=at(10, 3).isoformat(),
                data=data(meter="logins", quantity=1, user=user),
            )
            store_events([parse_event(document, as_of=NOVEMBER)], as_of=NOVEMBER)
        reading = Reading("logins", "unique", distinct="user")
        assert only(reading).quantity == 3
        assert only(reading).facts["unique"] == {"property": "user", "values": 3}


class TestGaps:
    def stop(self) -> UUID:
        digest = sha256(b"stopped").digest()
        return Measurement.objects.create(digest=digest, body={"gap": "host-down"}).pk

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [("not_billed", 500), ("credited", 500), ("held", 700), ("interpolated", 1_000)],
    )
    def test_follow_the_policy(self, shop: Application, policy: Any, expected: int) -> None:
        ids = (self.stop(),)
        use(shop, at(10, 3), memory_used=100)
        for minute in (5, 10):
            use(shop, at(10, 3, 0, minute), covered_s=0, ids=ids)
        use(shop, at(10, 3, 0, 15), memory_used=400)
        found = only(Reading("memory.used", "integral", gaps=policy))
        assert found.quantity == expected
        assert fact(found, "coverage") == {
            "measured_s": 600,
            "expected_s": 1200,
            "causes": [
                {
                    "cause": "host-down",
                    "host": "web-1",
                    "from": at(10, 3, 0, 5).isoformat(),
                    "to": at(10, 3, 0, 15).isoformat(),
                }
            ],
        }
        if expected > 500:
            assert fact(found, "gaps") == {
                "policy": policy, "intervals": 2, "raw": expected - 500,
            }  # fmt: skip

    def test_name_their_hosts_where_applications_were_billed_for_different_times(
        self, shop: Application
    ) -> None:
        mail = Application.objects.create(name="mail", environment=shop.environment)
        ids = (self.stop(),)
        for app in (shop, mail):
            use(app, at(10, 3), "a", covered_s=0, cpu_time=1, ids=ids)
        periods = [
            UsagePeriod(shop.pk, OCTOBER, NOVEMBER),
            UsagePeriod(mail.pk, at(10, 2), at(10, 20)),
        ]
        for quantity in usage_of(periods, [Reading("cpu.time", "sum")], PERIOD):
            (cause,) = fact(quantity, "coverage")["causes"]
            assert (cause["cause"], cause["host"]) == ("host-down", "a")

    def test_of_silent_hosts_last_as_long_as_others_deliver(self, shop: Application) -> None:
        use(shop, at(10, 30), "a", memory_used=300)
        Host.objects.filter(name="a").update(last_window_end=at(10, 30, 0, 5))
        reading = Reading("memory.used", "integral", gaps="held")
        assert only(reading).quantity == 300
        other = host("b")
        other.last_window_end = at(10, 30, 1)
        other.save()
        assert only(reading).quantity == 12 * 300
        assert fact(only(reading), "coverage")["expected_s"] == 3600
        Host.objects.filter(name="a").update(retired_at=at(10, 30, 0, 10))
        assert only(reading).quantity == 2 * 300

    def test_are_none_where_an_application_did_not_run(self, shop: Application) -> None:
        use(shop, at(10, 3), memory_used=100)
        use(shop, at(10, 5), memory_used=100)
        found = only(Reading("memory.used", "integral", gaps="held"))
        assert (found.quantity, "gaps" in found.facts) == (200, False)

    def test_missing_from_a_percentile_are_filled_too(self, shop: Application) -> None:
        ids = (self.stop(),)
        use(shop, at(10, 3), memory_used=100)
        use(shop, at(10, 3, 0, 5), covered_s=0, ids=ids)
        reading = Reading("memory.used", "percentile", gaps="held", percentile=Decimal("99.9888"))
        assert only(reading).quantity == 100
        assert fact(only(reading), "percentile")["missing"] == 31 * 288 - 2


READINGS = [
    Reading("cpu.time", "sum", factors=HALF, primaries="one"),
    Reading("memory.used", "integral", gaps="interpolated"),
    Reading("memory.used.max", "maximum", primaries="one"),
]


def test_days_sum_to_the_period(shop: Application) -> None:
    chance = random.Random(5)  # noqa: S311
    customer = Customer.objects.create(name="A", reference="a", time_zone="Asia/Kathmandu")
    Assignment.objects.create(application=shop, customer=customer, starts_at=OCTOBER)
    for on, role in (("a", "primary"), ("b", "primary"), ("c", "replica")):
        for number in chance.sample(range(31 * 288), 60):
            used = chance.randrange(10**6)
            columns: dict[str, Any] = {
                "cpu_time": used,
                "memory_used": used,
                "memory_used_max": used,
            }
            use(shop, OCTOBER + number * BUCKET, on, role=role, **columns)
    units = ["CPU-hour", "GB-hour", "GB"]
    prices = [
        PriceSpec(str(number), each, unit, PerUnit(Decimal(1)))
        for number, (each, unit) in enumerate(zip(READINGS, units, strict=True))
    ]
    by_day, whole = billable_usage_by_day(customer, prices, PERIOD)
    assert {each.reading for each in whole} == set(READINGS)
    for each in whole:
        summed: int | Decimal = 0
        for day in by_day.values():
            for part in day:
                if part.reading == each.reading:
                    summed = combined(each.reading, summed, part.quantity)
        assert summed == each.quantity


def test_the_common_case_reads_hours_alone(shop: Application) -> None:
    use(shop, at(10, 3), cpu_time=1, disk_written=2)
    readings = [
        Reading(meter, "sum", factors=HALF, primaries="one")
        for meter in ("cpu.time", "disk.written", "network.sent", "launches")
    ]
    counts = []
    for chosen in (readings[:1], readings):
        with CaptureQueriesContext(connection) as asked:
            read(*chosen)
        assert not any('FROM "metering_rollup"' in each["sql"] for each in asked)
        assert not any("metering_sample" in each["sql"] for each in asked)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 7
