"""Usage that some qualities leave out equals the pure definition: of one instance's 5 minutes
either all counts or nothing."""

import random
from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from metering.core.gaps import Gap
from metering.core.hours import hour_of
from metering.core.quality import NOT_STATED, Measured, profile_of, refused_qualities
from metering.gaps import gaps_in
from metering.measured_time import profiles_behind
from metering.measurements import Wanted, measured_by, profiles, refused_profiles
from metering.models import Application, Host, Instance, Measurement
from metering.rollup_models import Rollup
from metering.usage import (
    quantity_with_by_day,
    usage_by_application,
    usage_by_day,
    usage_series,
    usage_with,
)
from metering.usage_rows import UsagePeriod
from tenants.models import Environment, Tenant
from tenants.scope import tenant_scope
from tests.metering.test_usage import (
    FIRST,
    METERS,
    applications,
    combined,
    rollup,
    rows_in,
    without_empty,
)
from tests.rows import insert_rows

__all__ = ["applications"]

BUCKET = timedelta(minutes=5)
# Two days, so that an hour has several rollups.
BUCKETS = 2 * 288
BODIES: list[dict[str, Any]] = [
    {"meters": {"cpu.time": ["exact", "cgroup/2"], "memory.used": ["sampled", "proc/1"]}},
    {"meters": {"cpu.time": ["estimated", "ticks/1"], "memory.used": ["lower_bound", "a/1"]}},
    {"meters": {"memory.used.max": ["estimated", "b/1"], "gpu.time": ["lower_bound", "c/1"]}},
    {"meters": {"cpu.time": ["unavailable", "d/1"]}, "marks": ["clock-step"]},
    {"gap": "agent-stopped"},
    {},
]
ACCEPTS = [
    frozenset({"exact", "sampled"}),
    frozenset({"exact"}),
    frozenset({"exact", "sampled", "lower_bound", "estimated"}),
    frozenset({"lower_bound"}),
]


@pytest.fixture
def chance() -> random.Random:
    return random.Random(4)  # noqa: S311


def random_periods(chance: random.Random, applications: list[Application]) -> list[UsagePeriod]:
    """One of each application, not on the hour."""
    periods = []
    for application in applications:
        start, end = sorted(chance.sample(range(BUCKETS + 1), 2))
        periods.append(UsagePeriod(application.pk, FIRST + start * BUCKET, FIRST + end * BUCKET))
    return periods


def store_profiles(bodies: Iterable[dict[str, Any]] = BODIES) -> dict[UUID, dict[str, Any]]:
    made = [
        Measurement(digest=sha256(str(number).encode()).digest(), body=body)
        for number, body in enumerate(bodies)
    ]
    return {each.pk: each.body for each in Measurement.objects.bulk_create(made)}


def rows_with_profiles(chance: random.Random, ids: list[UUID]) -> list[Rollup]:
    """Rollups, of one profile, of several or of none."""
    rows = [
        rollup(chance, instance, number)
        for instance in Instance.objects.select_related("application", "tenant")
        for number in chance.sample(range(BUCKETS), 60)
    ]
    for row in rows:
        kinds: list[list[UUID | None]] = [
            [None],
            [chance.choice(ids)],
            [None, *ids[:2]],
            [*ids[3:5]],
        ]
        row.measurements = chance.choice(kinds)
    return insert_rows(rows)


def is_refused(
    row: Rollup, meter: str, accepts: frozenset[str], bodies: dict[UUID, dict[str, Any]]
) -> bool:
    """The definition: one of its samples measured the meter in a quality that is refused."""
    return any(
        profile_of(bodies[each]).is_refused(meter, accepts)
        for each in row.measurements
        if each is not None
    )


def of(meter: str, totals: dict[UUID, dict[str, int]]) -> dict[UUID, int]:
    return {key: used[meter] for key, used in totals.items() if meter in used}


@pytest.mark.parametrize("accepts", ACCEPTS, ids=lambda accepts: "+".join(sorted(accepts)))
class TestAcceptedUsage:
    def test_is_that_of_the_rollups_without_a_refused_profile(
        self,
        chance: random.Random,
        applications: list[Application],
        accepts: frozenset[str],
    ) -> None:
        bodies = store_profiles()
        rows = rows_with_profiles(chance, list(bodies))
        refused = refused_profiles([Wanted(meter, accepts) for meter in METERS])
        zone = ZoneInfo("Asia/Kathmandu")
        for meter in METERS:
            without = refused.get(Wanted(meter, accepts), frozenset())
            good = [row for row in rows if not is_refused(row, meter, accepts, bodies)]
            bad = [row for row in rows if is_refused(row, meter, accepts, bodies)]
            for periods in (
                [UsagePeriod(each.pk, FIRST, FIRST + BUCKETS * BUCKET) for each in applications],
                random_periods(chance, applications),
            ):
                expected = combined(rows_in(good, periods), lambda row: row.application_id)
                assert of(meter, usage_by_application(periods, [meter], without=without)) == of(
                    meter, expected
                )
                left = combined(rows_in(bad, periods), lambda row: row.application_id)
                assert of(meter, usage_with(periods, [meter], without)) == of(meter, left)
                days = usage_by_day(periods, [meter], zone.key, without=without)
                flat = {(d, key): used for d, each in days.items() for key, used in each.items()}
                assert without_empty(flat) == {
                    key: {meter: used[meter]}
                    for key, used in combined(
                        rows_in(good, periods),
                        lambda row: (row.bucket_start.astimezone(zone).date(), row.application_id),
                    ).items()
                    if meter in used
                }

    def test_by_day_and_by_hour_leaves_out_the_same(
        self,
        chance: random.Random,
        applications: list[Application],
        accepts: frozenset[str],
    ) -> None:
        bodies = store_profiles()
        rows = rows_with_profiles(chance, list(bodies))
        meter, first = "cpu.time", applications[0].pk
        whole = [UsagePeriod(first, FIRST, FIRST + BUCKETS * BUCKET)]
        without = refused_profiles([Wanted(meter, accepts)]).get(
            Wanted(meter, accepts), frozenset()
        )
        good = [row for row in rows if not is_refused(row, meter, accepts, bodies)]
        bad = [row for row in rows if is_refused(row, meter, accepts, bodies)]
        points = usage_series(
            [first], meter, whole[0].start, whole[0].end, "hour", "UTC", without=without
        )
        by_hour = combined(rows_in(good, whole), lambda row: hour_of(row.bucket_start))
        assert {each.start: each.quantity for each in points} == {
            hour: used[meter] for hour, used in by_hour.items() if meter in used
        }
        by_day = combined(rows_in(bad, whole), lambda row: row.bucket_start.date())
        assert quantity_with_by_day(whole, meter, without, "UTC") == {
            day: used[meter] for day, used in by_day.items() if meter in used
        }


def test_refused_profiles_are_those_that_the_pure_definition_refuses(inside: UUID) -> None:
    bodies = store_profiles()
    wanted = [Wanted(meter, accepts) for meter in METERS for accepts in ACCEPTS]
    expected = {
        each: frozenset(
            pk
            for pk, body in bodies.items()
            if (how := profile_of(body).of(each.meter)) is not None
            and how.quality in refused_qualities(each.accepts)
        )
        for each in wanted
    }
    assert refused_profiles(wanted) == {each: ids for each, ids in expected.items() if ids}
    # A maximum follows its gauge unless it has a word of its own.
    strict = refused_profiles([Wanted("memory.used.max", frozenset({"exact"}))])
    assert len(*strict.values()) == 3


def test_of_another_tenant_are_neither_refused_nor_read(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    with tenant_scope(tenant.pk):
        ids = list(store_profiles())
    with tenant_scope(other_tenant.pk):
        assert refused_profiles([Wanted("cpu.time", frozenset({"exact"}))]) == {}
        assert profiles(ids) == {}


def test_profiles_behind_usage_are_those_of_its_rollups(
    chance: random.Random, applications: list[Application]
) -> None:
    rows = rows_with_profiles(chance, list(store_profiles()))
    for _ in range(5):
        periods = random_periods(chance, applications)
        expected: dict[UUID, set[UUID | None]] = {}
        for row in rows_in(rows, periods):
            expected.setdefault(row.application_id, set()).update(row.measurements)
        assert profiles_behind(periods) == expected


def test_what_is_said_of_a_meter_stands_in_order(inside: UUID) -> None:
    bodies = store_profiles()
    ids = [None, *bodies]
    known = profiles(ids)
    assert measured_by(ids, known, "cpu.time") == (
        Measured("exact", "cgroup/2"),
        Measured("estimated", "ticks/1"),
        Measured("unavailable", "d/1"),
        NOT_STATED,
    )
    assert measured_by(list(bodies), known, "launches") == (NOT_STATED,)


def test_without_refused_usage_no_bucket_is_read(
    chance: random.Random, applications: list[Application]
) -> None:
    rows_with_profiles(chance, list(store_profiles()))
    day = [UsagePeriod(applications[0].pk, FIRST, FIRST + timedelta(days=1))]
    with CaptureQueriesContext(connection) as asked:
        usage_by_application(day, METERS)
        usage_with(day, METERS, ())
    assert len(asked) == 1
    assert '"metering_rollup"' not in asked[0]["sql"]


def test_where_all_or_nothing_of_an_hour_is_refused_no_bucket_is_read(
    applications: list[Application],
) -> None:
    good, bad = list(store_profiles())[:2]
    instance = Instance.objects.filter(application=applications[0]).first()
    assert instance is not None
    rows = [
        Rollup(
            tenant=instance.tenant, application=applications[0], instance=instance, role="primary",
            bucket_start=FIRST + number * BUCKET, samples=1, window_us=1, covered_us=1,
            measurements=[good] if number < 12 else [bad, good] if number < 24 else [bad],
            cpu_time=number,
        )
        for number in range(36)
    ]  # fmt: skip
    # Every bucket of the second hour is refused, but for one of two profiles: that shows only in
    # the buckets.
    whole = [UsagePeriod(applications[0].pk, FIRST, FIRST + timedelta(hours=3))]
    ends = [
        UsagePeriod(applications[0].pk, FIRST, FIRST + timedelta(hours=1)),
        UsagePeriod(applications[0].pk, FIRST + timedelta(hours=2), FIRST + timedelta(hours=3)),
    ]
    insert_rows(rows)
    for periods, refused, reads in ((whole, sum(range(12, 36)), True), (ends, 354, False)):
        with CaptureQueriesContext(connection) as asked:
            billed = usage_by_application(periods, ["cpu.time"], without=[bad])
            unbilled = usage_with(periods, ["cpu.time"], [bad])
        assert of("cpu.time", billed) == {applications[0].pk: 66}
        assert of("cpu.time", unbilled) == {applications[0].pk: refused}
        assert any('FROM "metering_rollup"' in each["sql"] for each in asked) is reads
        assert len(asked) <= 6


class TestGaps:
    def test_are_joined_by_host_and_cause(self, inside: UUID) -> None:
        stopped, down, fine = store_profiles(
            [{"gap": "agent-stopped"}, {"gap": "host-down"}, {"meters": {}}]
        )
        environment = Environment.objects.get()
        application = Application.objects.create(name="a", environment=environment)
        hosts = [Host.objects.create(name=name, environment=environment) for name in ("h1", "h2")]
        one, two, three = (
            Instance.objects.create(application=application, host=host, name=name)
            for host, name in ((hosts[0], "1"), (hosts[0], "2"), (hosts[1], "3"))
        )

        def lack(instance: Instance, number: int, covered_s: int, *ids: UUID) -> None:
            Rollup.objects.create(
                tenant=instance.tenant, application=application, instance=instance,
                role="primary", bucket_start=FIRST + number * BUCKET, samples=1,
                window_us=300 * 10**6, covered_us=covered_s * 10**6, measurements=list(ids),
            )  # fmt: skip

        for number in range(11, 15):
            lack(one, number, 0, stopped)
        lack(one, 15, 100, stopped, fine)
        lack(two, 13, 0, stopped)
        lack(one, 17, 0, stopped)
        lack(one, 18, 0, down)
        lack(three, 12, 30, down)
        lack(one, 19, 300, fine)

        def gap(host: str, cause: str, start: int, end: int, windows: int, covered_s: int) -> Gap:
            return Gap(
                host, cause, FIRST + start * BUCKET, FIRST + end * BUCKET,
                windows * 300 * 10**6, covered_s * 10**6,
            )  # fmt: skip

        whole = UsagePeriod(application.pk, FIRST, FIRST + timedelta(days=1))
        assert gaps_in([whole]) == [
            gap("h1", "host-down", 18, 19, 1, 0),
            gap("h1", "agent-stopped", 17, 18, 1, 0),
            gap("h2", "host-down", 12, 13, 1, 30),
            gap("h1", "agent-stopped", 11, 16, 6, 100),
        ]
        part = UsagePeriod(application.pk, FIRST + 14 * BUCKET, FIRST + 16 * BUCKET)
        assert gaps_in([part]) == [gap("h1", "agent-stopped", 14, 16, 2, 100)]

    def test_are_none_without_a_word_of_one(
        self, chance: random.Random, applications: list[Application]
    ) -> None:
        rows_with_profiles(chance, list(store_profiles([{}] * 5)))
        assert gaps_in([UsagePeriod(applications[0].pk, FIRST, FIRST + BUCKETS * BUCKET)]) == []
