"""Totals over periods and days equal the pure combination of the rollups that start in them."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.text import slugify

from metering.core.aggregation import combined_quantities
from metering.core.buckets import BUCKET
from metering.core.hours import day_of, hour_of
from metering.local_days import keep_local_days
from metering.models import Application, Host, Instance
from metering.rollup_models import DayRollup, HourRollup, LocalDay, Rollup
from metering.usage import usage_by_application, usage_by_day, usage_series
from metering.usage_rows import UsagePeriod
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.conftest import Keep, make_tenant
from tests.rows import insert_rows

METERS = ["cpu.time", "memory.used", "memory.used.max", "gpu.time", "gpu.used.max", "launches"]
# The clocks change in the first and, at another hour, the second; the others are not on the hour.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
]
# Berlin changes on 25 October, New York on 1 November, Lord Howe on 4 October 2026.
FIRST = datetime(2026, 9, 28, tzinfo=UTC)
BUCKETS = 40 * 288

Key = TypeVar("Key", bound=Hashable)
Rows = TypeVar("Rows", Rollup, HourRollup, DayRollup, LocalDay)

SEEDS = [1, 2, 3]
# Of these seeds the tenant keeps days of some zones, from before its usage on or from after it.
KEPT = ("Europe/Berlin", "America/New_York")
KEPT_BEFORE, KEPT_SINCE = 2, 3


@pytest.fixture(params=SEEDS)
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)  # noqa: S311


@pytest.fixture
def applications(inside: UUID) -> list[Application]:
    return make_applications()


def make_applications() -> list[Application]:
    environment = Environment.objects.get()
    host = Host.objects.create(name="web-1", environment=environment)
    made = [Application.objects.create(name=name, environment=environment) for name in "abc"]
    for application in made:
        for number in range(2):
            Instance.objects.create(application=application, host=host, name=str(number))
    return made


def rollup(chance: random.Random, instance: Instance, number: int) -> Rollup:
    """With some meters, known and unknown, and values beyond 64 bits."""
    known = {
        column: chance.choice([None, 0, chance.randrange(2**66)])
        for column in ("cpu_time", "memory_used", "memory_used_max")
    }
    unknown = {
        meter: chance.randrange(2**66)
        for meter in ("gpu.time", "gpu.used.max")
        if chance.random() < 0.5
    }
    return Rollup(
        tenant=instance.tenant, application=instance.application, instance=instance,
        role=chance.choice(["primary", "replica", "standby"]),
        bucket_start=FIRST + number * BUCKET, samples=1, window_us=1, covered_us=1,
        more=unknown or None, **known,
    )  # fmt: skip


def make_rollups(chance: random.Random) -> list[Rollup]:
    rollups = [
        rollup(chance, instance, number)
        for instance in Instance.objects.select_related("application", "tenant")
        for number in {*chance.sample(range(BUCKETS), 300), *range(7_500, 7_800, 3)}
    ]
    return insert_rows(rollups)


def quantities_of(row: Rollup | HourRollup | DayRollup | LocalDay) -> dict[str, int]:
    known = {
        "cpu.time": row.cpu_time,  # type: ignore[union-attr]
        "memory.used": row.memory_used,  # type: ignore[union-attr]
        "memory.used.max": row.memory_used_max,  # type: ignore[union-attr]
    }
    measured = {meter: int(value) for meter, value in known.items() if value is not None}
    return measured | (row.more or {})


def combined(rows: Iterable[Rows], key: Callable[[Rows], Key]) -> dict[Key, dict[str, int]]:
    groups: defaultdict[Key, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for meter, quantity in quantities_of(row).items():
            groups[key(row)][meter].append(quantity)
    return {
        group: {meter: combined_quantities(meter, every) for meter, every in by_meter.items()}
        for group, by_meter in groups.items()
    }


def random_periods(chance: random.Random, applications: list[Application]) -> list[UsagePeriod]:
    """Up to four of each application, not on the hour, some touching, some across months."""
    periods = []
    for application in applications:
        bounds = sorted(chance.sample(range(BUCKETS + 1), chance.choice([2, 4, 5])))
        for start, end in pairwise(bounds):
            if chance.random() < 0.8:
                moment = timedelta(seconds=chance.choice([0, 0, 1, 299]))
                starts, ends = FIRST + start * BUCKET + moment, FIRST + end * BUCKET + moment
                periods.append(UsagePeriod(application.pk, starts, ends))
    return periods


def rows_in(rows: Iterable[Rollup], periods: list[UsagePeriod]) -> list[Rollup]:
    return [
        row
        for row in rows
        if any(
            row.application_id == each.application_id and each.start <= row.bucket_start < each.end
            for each in periods
        )
    ]


def without_empty(totals: dict[Key, dict[str, int]]) -> dict[Key, dict[str, int]]:
    return {key: by_meter for key, by_meter in totals.items() if by_meter}


def _is_read(asked: CaptureQueriesContext, table: str) -> bool:
    return any(f'FROM "metering_{table}"' in each["sql"] for each in asked)


def keep_days_of(tenant_id: UUID, *zones: str) -> None:
    """Have a customer in each zone, and its days kept beside UTC's."""
    with tenant_scope(tenant_id):
        for zone in zones:
            Customer.objects.create(name=zone, reference=slugify(zone), time_zone=zone)
    keep_local_days(tenant_id, as_of=FIRST)


@dataclass(frozen=True)
class Measured:
    applications: list[Application]
    rows: list[Rollup]
    seed: int


@pytest.fixture(scope="module")
def kept(keep: Keep[tuple[UUID, Measured]]) -> dict[int, tuple[UUID, Measured]]:
    """A tenant of each seed, for tests that only read."""

    def make(seed: int) -> tuple[UUID, Measured]:
        tenant = make_tenant(f"seed-{seed}")
        if seed == KEPT_BEFORE:
            keep_days_of(tenant.pk, *KEPT)
        with tenant_scope(tenant.pk):
            chance = random.Random(seed)  # noqa: S311
            measured = Measured(make_applications(), make_rollups(chance), seed)
        if seed == KEPT_SINCE:
            keep_days_of(tenant.pk, *KEPT)
        return tenant.pk, measured

    return {seed: keep(partial(make, seed)) for seed in SEEDS}


@pytest.fixture(params=SEEDS)
def measured(
    kept: dict[int, tuple[UUID, Measured]], db: None, request: pytest.FixtureRequest
) -> Iterator[Measured]:
    tenant_id, made = kept[request.param]
    with tenant_scope(tenant_id):
        yield made


class TestUsage:
    def test_of_any_periods_is_that_of_their_rollups(self, measured: Measured) -> None:
        applications, rows = measured.applications, measured.rows
        chance = random.Random(measured.seed)  # noqa: S311
        for _ in range(20):
            periods = random_periods(chance, applications)
            chosen = rows_in(rows, periods)
            assert without_empty(usage_by_application(periods, METERS)) == combined(
                chosen, lambda row: row.application_id
            )

    @pytest.mark.parametrize("zone", ZONES)
    def test_by_day_falls_on_the_zones_own_days(self, measured: Measured, zone: str) -> None:
        applications, rows = measured.applications, measured.rows
        chance = random.Random(measured.seed)  # noqa: S311
        whole = [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications]
        for periods in (whole, random_periods(chance, applications)):
            days = usage_by_day(periods, METERS, zone)
            flat = {(day, key): used for day, each in days.items() for key, used in each.items()}
            assert without_empty(flat) == combined(
                rows_in(rows, periods),
                lambda row: (
                    row.bucket_start.astimezone(ZoneInfo(zone)).date(),
                    row.application_id,
                ),
            )

    @pytest.mark.parametrize("meter", METERS)
    def test_in_steps_keeps_repeated_hours_apart(self, measured: Measured, meter: str) -> None:
        applications, rows = measured.applications, measured.rows
        start, end = datetime(2026, 10, 24, 21, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)
        first = applications[0].pk
        expected = combined(
            rows_in(rows, [UsagePeriod(first, start, end)]), lambda row: hour_of(row.bucket_start)
        )
        points = usage_series([first], meter, start, end, "hour", "Europe/Berlin")
        assert {each.start: each.quantity for each in points} == {
            hour: used[meter] for hour, used in expected.items() if meter in used
        }

    def test_takes_as_many_statements_for_any_number_of_periods(self, measured: Measured) -> None:
        applications = measured.applications
        day = timedelta(days=1)
        many = [
            UsagePeriod(each.pk, FIRST + number * day, FIRST + (number + 1) * day)
            for each in applications
            for number in range(300)
        ]
        with CaptureQueriesContext(connection) as asked:
            usage_by_application(many, METERS)
            usage_by_day(many, METERS, "Europe/Berlin")
        # And which zones' days there are.
        assert len(asked) == 2 + 1
        cut = [
            replace(each, start=each.start + 7 * BUCKET, end=each.end + day) for each in many[::2]
        ]
        with CaptureQueriesContext(connection) as asked:
            usage_by_application(cut, METERS)
        assert all(_is_read(asked, each) for each in ("dayrollup", "hourrollup", "rollup"))
        assert len(asked) == 3 + 1


class TestHours:
    def stored(self) -> dict[tuple[UUID, datetime, str], dict[str, int]]:
        return {
            (row.application_id, row.bucket_start, row.role): quantities_of(row)
            for row in HourRollup.objects.all()
        }

    def expected(self) -> dict[tuple[UUID, datetime, str], dict[str, int]]:
        return combined(
            Rollup.objects.all(),
            lambda row: (row.application_id, hour_of(row.bucket_start), row.role),
        )

    def test_follow_whatever_happens_to_rollups(
        self, chance: random.Random, applications: list[Application]
    ) -> None:
        make_rollups(chance)
        assert without_empty(self.stored()) == self.expected()
        Rollup.objects.filter(role="primary").update(cpu_time=7)
        assert without_empty(self.stored()) == self.expected()
        Rollup.objects.filter(bucket_start__minute__lt=40).delete()
        assert without_empty(self.stored()) == self.expected()


DayKey = tuple[UUID, date, str, frozenset[UUID | None]]


@pytest.fixture(params=["UTC", *KEPT])
def days(request: pytest.FixtureRequest, inside: UUID) -> "Days":
    """Those of a zone that the tenant keeps."""
    if request.param != "UTC":
        keep_days_of(inside, request.param)
    return Days(ZoneInfo(request.param))


@dataclass(frozen=True)
class Days:
    zone: ZoneInfo

    def stored(self) -> dict[DayKey, tuple[int, int, dict[str, int]]]:
        rows = DayRollup.objects.all() if self.zone.key == "UTC" else LocalDay.objects.all()
        found = {}
        for row in rows:
            assert row.bucket_start == day_of(row.bucket_start, self.zone)
            usage = quantities_of(row)
            found[self.key(row)] = int(row.window_us), int(row.covered_us), usage
        return found

    def expected(self) -> dict[DayKey, tuple[int, int, dict[str, int]]]:
        hours = list(HourRollup.objects.all())
        usage, times = combined(hours, self.key), defaultdict[DayKey, Counter[str]](Counter)
        for row in hours:
            own = {"window": int(row.window_us), "covered": int(row.covered_us)}
            times[self.key(row)].update(own)
        return {
            key: (time["window"], time["covered"], usage.get(key, {}))
            for key, time in times.items()
        }

    def key(self, row: HourRollup | DayRollup | LocalDay | Rollup) -> DayKey:
        day = row.bucket_start.astimezone(self.zone).date()
        return row.application_id, day, row.role, frozenset(row.measurements)


class TestDays:
    def test_follow_whatever_happens_to_rollups(
        self, days: Days, chance: random.Random, applications: list[Application]
    ) -> None:
        make_rollups(chance)
        assert days.stored() == days.expected()
        Rollup.objects.filter(role="primary").update(cpu_time=7)
        assert days.stored() == days.expected()
        Rollup.objects.filter(bucket_start__minute__lt=40).delete()
        assert days.stored() == days.expected()

    def test_are_apart_where_their_hours_were_measured_otherwise(
        self, days: Days, chance: random.Random, applications: list[Application]
    ) -> None:
        make_rollups(chance)
        one, two = uuid4(), uuid4()
        Rollup.objects.update(measurements=[one])
        Rollup.objects.filter(bucket_start__hour__gte=12).update(measurements=[two])
        # Mornings begin with both.
        Rollup.objects.filter(bucket_start__hour__lt=6, bucket_start__minute__lt=30).update(
            measurements=[two]
        )
        assert days.stored() == days.expected()
        assert {key[3] for key in days.stored()} == {
            frozenset({one}),
            frozenset({two}),
            frozenset({one, two}),
        }
        # What was the day's of [one] is of no day any more.
        Rollup.objects.update(measurements=[two])
        assert days.stored() == days.expected()
        assert {key[3] for key in days.stored()} == {frozenset({two})}

    def test_are_the_zones_whatever_the_sessions_clock_says(
        self, days: Days, chance: random.Random, applications: list[Application]
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL TimeZone TO 'Australia/Lord_Howe'")
            make_rollups(chance)
            cursor.execute("SET LOCAL TimeZone TO 'UTC'")
        assert days.stored() == days.expected()


class TestHoursAndDays:
    def test_are_closed_to_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant, chance: random.Random
    ) -> None:
        with tenant_scope(tenant.pk):
            environment = Environment.objects.get()
            host = Host.objects.create(name="web-1", environment=environment)
            application = Application.objects.create(name="a", environment=environment)
            Instance.objects.create(application=application, host=host, name="1")
            make_rollups(chance)
            assert HourRollup.objects.exists()
            assert DayRollup.objects.exists()
        period = UsagePeriod(application.pk, FIRST, FIRST + timedelta(days=40))
        with tenant_scope(other_tenant.pk):
            assert not HourRollup.objects.exists()
            assert not DayRollup.objects.exists()
            assert usage_by_application([period], METERS) == {}
