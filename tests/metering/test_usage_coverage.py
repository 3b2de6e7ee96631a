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
from metering.models import Application
from metering.rollup_models import Rollup
from metering.usage_coverage import Covered, used_by_bucket
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

__all__ = ["applications", "chance"]


ASKED: list[tuple[str, Literal["hour", "day", "month"]]] = [
    ("UTC", "day"),
    ("UTC", "month"),
    ("Europe/London", "day"),
    ("Europe/Berlin", "hour"),
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
            counted = Counter(places)
            assert {start: each.covered for start, each in found.items()} == {
                start: Covered(counted[start], counted[start]) for start in counted
            }


def test_days_of_utc_are_not_read_by_the_hour(
    chance: random.Random, applications: list[Application]
) -> None:
    make_rollups(chance)
    periods = [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications]
    for zone, table in (("UTC", "metering_dayrollup"), ("Europe/Berlin", "metering_hourrollup")):
        with CaptureQueriesContext(connection) as asked:
            used_by_bucket(periods, "cpu.time", bucket="day", time_zone=zone)
        (only,) = asked.captured_queries
        assert f'FROM "{table}"' in only["sql"]
