"""What the explorer's bars come to: in one pass the same figures as from every rollup."""

import random
import re
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from metering.core.buckets import BUCKET
from metering.core.hours import hour_of
from metering.models import Application
from metering.rollup_models import Rollup
from metering.usage_coverage import (
    Asked,
    Covered,
    quantity_by_group,
    used,
)
from metering.usage_rows import UsagePeriod
from tests.metering.test_usage import (
    BUCKETS,
    FIRST,
    applications,
    chance,
    combined,
    keep_days_of,
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


@pytest.mark.parametrize("kept", [(), ("Europe/Berlin", "America/New_York")])
def test_bars_are_those_of_their_rollups(
    chance: random.Random, applications: list[Application], inside: UUID, kept: tuple[str, ...]
) -> None:
    rows = make_rollups(chance)
    keep_days_of(inside, *kept)
    whole = [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications]
    for periods in (whole, random_periods(chance, applications)):
        chosen = rows_in(rows, periods)
        for name, step in ASKED:
            places = [start_in(ZoneInfo(name), step, row) for row in chosen]
            expected = combined(chosen, partial(start_in, ZoneInfo(name), step))
            for meter in ("cpu.time", "memory.used.max", "gpu.time"):
                asked = Asked(periods, meter, step, name)
                found = used(asked, "application")
                assert used(asked).buckets == found.buckets
                by_bucket = {start: each.quantity for start, each in found.buckets.items()}
                assert by_bucket == {at: expected.get(at, {}).get(meter) for at in {*places}}
                in_all = combined(chosen, lambda row: row.application_id)
                shares = {key: each.quantity for key, each in found.shares.items()}
                assert shares == {key: each[meter] for key, each in in_all.items() if meter in each}
                by_group = quantity_by_group(asked, "application")
                for application in applications:
                    own = [row for row in chosen if row.application_id == application.pk]
                    alone = combined(own, partial(start_in, ZoneInfo(name), step))
                    measured = {at: each[meter] for at, each in alone.items() if meter in each}
                    assert by_group.get(application.pk, {}) == measured
            counted = Counter(places)
            assert {start: each.covered for start, each in found.buckets.items()} == {
                start: Covered(counted[start], counted[start]) for start in counted
            }


def test_days_are_read_as_such_where_the_tenant_keeps_them(
    chance: random.Random, applications: list[Application], inside: UUID
) -> None:
    make_rollups(chance)
    keep_days_of(inside, "Europe/Berlin")
    first = datetime(2026, 10, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    periods = [UsagePeriod(each.pk, first, first + timedelta(days=31)) for each in applications]
    for zone, tables in (
        ("Europe/Berlin", {"localday"}),
        ("UTC", {"dayrollup", "hourrollup"}),
        ("Asia/Tokyo", {"hourrollup"}),
    ):
        with CaptureQueriesContext(connection) as asked:
            used(Asked(periods, "memory.used.max", "day", zone))
        read = {
            table for each in asked for table in re.findall(r'FROM "metering_(\w+)"', each["sql"])
        }
        assert read - {"dayzone"} == tables
