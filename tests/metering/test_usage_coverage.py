"""What the explorer's bars come to: in one pass the same figures as from every rollup."""

import random
from collections import Counter
from datetime import UTC, datetime, time
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from django.db import connection
from django.test.utils import CaptureQueriesContext

from metering.core.buckets import BUCKET
from metering.core.hours import hour_of
from metering.models import Application, Instance
from metering.rollup_models import Rollup
from metering.usage_coverage import Covered, used_by_bucket, used_by_group
from metering.usage_rows import UsagePeriod
from tests.metering.test_usage import (
    BUCKETS,
    FIRST,
    applications,
    chance,
    combined,
    make_rollups,
    random_periods,
    rows_in,
)
from tests.rows import insert_rows

__all__ = ["applications", "chance"]


ASKED: list[tuple[str, Literal["hour", "day", "month"]]] = [
    ("UTC", "day"),
    ("UTC", "month"),
    ("Europe/London", "day"),
    ("Europe/Berlin", "hour"),
    ("Europe/Berlin", "day"),
    ("America/New_York", "day"),
    ("America/New_York", "month"),
    ("Pacific/Auckland", "day"),
    ("Etc/GMT+12", "day"),
    ("Europe/Berlin", "month"),
    ("Asia/Kolkata", "day"),
]


def start_in(zone: ZoneInfo, step: str, row: Rollup) -> datetime:
    moment = row.bucket_start
    local = moment.astimezone(zone)
    if step == "hour":
        return hour_of(moment)
    day = local.date() if step == "day" else local.date().replace(day=1)
    return datetime.combine(day, time(), zone).astimezone(UTC)


def test_bars_are_those_of_their_rollups(
    chance: random.Random, applications: list[Application]
) -> None:
    rows = make_rollups(chance)
    whole = [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications]
    for periods in (whole, random_periods(chance, applications)):
        chosen = rows_in(rows, periods)
        for name, step in ASKED:
            places = [start_in(ZoneInfo(name), step, row) for row in chosen]
            expected = combined(chosen, partial(start_in, ZoneInfo(name), step))
            for meter in ("cpu.time", "memory.used.max", "gpu.time"):
                found = used_by_bucket(periods, meter, bucket=step, time_zone=name)
                used = {start: each.quantity for start, each in found.items()}
                assert used == {start: expected.get(start, {}).get(meter) for start in {*places}}
                by_group = used_by_group(periods, meter, "application", bucket=step, time_zone=name)
                for application in applications:
                    own = [row for row in chosen if row.application_id == application.pk]
                    alone = combined(own, partial(start_in, ZoneInfo(name), step))
                    measured = {at: each[meter] for at, each in alone.items() if meter in each}
                    assert by_group.get(application.pk, {}) == measured
            counted = Counter(places)
            assert {start: each.covered for start, each in found.items()} == {
                start: Covered(counted[start], counted[start]) for start in counted
            }


def test_days_are_read_by_the_hour_around_midnight_alone(
    chance: random.Random, applications: list[Application]
) -> None:
    instance = Instance.objects.select_related("application", "tenant").order_by("pk")[0]
    # In each hour something, so that nothing is left of no day.
    insert_rows([used_at(instance, number) for number in range(0, BUCKETS, 12)])
    periods = [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications]
    for zone, hours_a_day in (("UTC", 0), ("Europe/Berlin", 1), ("America/New_York", 4)):
        with CaptureQueriesContext(connection) as asked:
            found = used_by_bucket(periods, "cpu.time", bucket="day", time_zone=zone)
        assert sum(each.quantity or 0 for each in found.values()) == BUCKETS // 12
        days, *others = [each["sql"] for each in asked.captured_queries]
        assert 'FROM "metering_dayrollup"' in days
        named = [sql.split(" IN (")[1].split(")")[0].count(",") + 1 for sql in others]
        assert all(40 * hours_a_day <= count <= 40 * (hours_a_day + 1) for count in named)
        assert len(named) == bool(hours_a_day)


def used_at(instance: Instance, number: int) -> Rollup:
    return Rollup(
        tenant=instance.tenant, application=instance.application, instance=instance,
        role="primary", bucket_start=FIRST + number * BUCKET, samples=1, window_us=1,
        covered_us=1, cpu_time=1,
    )  # fmt: skip
