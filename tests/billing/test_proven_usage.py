"""What a bundle's usage is read as is what the server bills, whatever the usage and the price."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.billable import usage_of
from billing.core.periods import Period
from billing.core.proof.known import Assigned, InstanceKnown, Known, Silent
from billing.core.proof.quantities import usage_by_span
from billing.core.rating import UsageQuantity
from billing.core.readings import Reading, RoleFactors
from billing.proof.evidence import Behind, rollups_behind
from metering.core.buckets import BUCKET
from metering.core.quality import profile_of
from metering.coverage import silences_in
from metering.cuts import Cut
from metering.models import Application, Host, Instance, Measurement
from metering.rollup_models import Rollup
from metering.usage_rows import UsagePeriod
from tenants.models import Environment
from tests.billing.timeline import NOVEMBER, OCTOBER

WHOLE = Period(OCTOBER, OCTOBER + timedelta(hours=4))
HALF_TIME = OCTOBER + timedelta(hours=2)
SPANS = [WHOLE, Period(OCTOBER, HALF_TIME), Period(HALF_TIME, WHOLE.end)]
BUCKETS = (WHOLE.end - WHOLE.start) // BUCKET
BODIES: list[dict[str, Any]] = [
    {"meters": {"cpu.time": ["exact", "a/1"], "memory.used": ["exact", "a/1"]}},
    {"meters": {"cpu.time": ["lower_bound", "b/1"]}},
    {"gap": "host-down"},
]


class Used(NamedTuple):
    """A rollup, by the numbers of its application, instance, bucket and profile."""

    application: int
    instance: int
    role: str
    bucket: int
    covered_s: int
    profile: int | None
    cpu: int | None
    memory: int | None

    @property
    def key(self) -> tuple[object, ...]:
        return self.application, self.instance, self.role, self.bucket


HALF = RoleFactors(Decimal(1), Decimal("0.5"), Decimal(0))
ROLES = ["primary", "replica", "standby"]
AMOUNTS = st.none() | st.integers(0, 2**40)
USAGE = st.lists(
    st.builds(
        Used,
        st.integers(0, 1), st.integers(0, 1), st.sampled_from(ROLES), st.integers(0, BUCKETS - 1),
        st.integers(0, 300), st.none() | st.integers(0, 2), AMOUNTS, AMOUNTS,
    ),
    max_size=25,
    unique_by=lambda each: each.key,
)  # fmt: skip
# Up to which bucket each host has delivered.
HEARD = st.lists(st.integers(1, BUCKETS), min_size=2, max_size=2)
COUNTED = [
    Reading("cpu.time", "sum"),
    Reading("cpu.time", "percentile", percentile=Decimal(90)),
    Reading("cpu.time", "peak", interval_minutes=15),
    Reading("memory.used", "integral"),
    Reading("memory.used.max", "maximum"),
    Reading("cpu.time", "unique", distinct="instance"),
    Reading("cpu.time", "unique", distinct="host"),
]
READINGS = st.lists(
    st.builds(
        replace,
        st.sampled_from(COUNTED),
        factors=st.sampled_from([RoleFactors(), HALF]),
        gaps=st.sampled_from(["not_billed", "held", "interpolated"]),
        over=st.sampled_from(["application", "customer"]),
        by=st.sampled_from([(), ("role",), ("host_class", "quality"), ("environment",)]),
        accepts=st.sampled_from(
            [frozenset({"exact"}), frozenset({"exact", "lower_bound", "not_stated"})]
        ),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)  # fmt: skip


@given(USAGE, HEARD, READINGS)
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_usage_is_read_from_a_bundle_as_the_server_reads_it(
    inside: UUID, usage: list[Used], heard: list[int], readings: list[Reading]
) -> None:
    with transaction.atomic():
        periods = _store(usage, heard)
        known = _known(periods)
        rollups = list(rollups_behind(Behind(periods, Cut(NOVEMBER))))
        found = usage_by_span(dict.fromkeys(SPANS, readings), rollups, known)
        for span in SPANS:
            own = _within(periods, span)
            expected = usage_of(own, readings, span)
            assert _told(found[span].quantities) == _told(expected)
        transaction.set_rollback(True)


def _store(usage: Sequence[Used], heard: Sequence[int]) -> list[UsagePeriod]:
    environment = Environment.objects.get()
    apps = [
        Application.objects.create(name=name, environment=environment) for name in ("shop", "mail")
    ]
    hosts = [
        Host.objects.create(
            name=f"web-{number}", environment=environment, host_class=f"class-{number}",
            last_window_end=OCTOBER + last * BUCKET - timedelta(seconds=100),
        )
        for number, last in enumerate(heard)
    ]  # fmt: skip
    instances = [
        [Instance.objects.create(application=app, host=host, name=host.name) for host in hosts]
        for app in apps
    ]
    profiles = [
        Measurement.objects.create(digest=sha256(str(body).encode()).digest(), body=body).pk
        for body in BODIES
    ]
    Rollup.objects.bulk_create(
        Rollup(
            tenant=environment.tenant,
            application=apps[each.application],
            instance=instances[each.application][each.instance],
            role=each.role,
            bucket_start=OCTOBER + each.bucket * BUCKET,
            samples=1,
            window_us=300 * 10**6,
            covered_us=each.covered_s * 10**6,
            measurements=[None if each.profile is None else profiles[each.profile]],
            cpu_time=each.cpu,
            memory_used=each.memory,
            memory_used_max=each.memory,
        )
        for each in usage
    )
    # One of them has been the customer's for a part of the time only.
    return [
        UsagePeriod(apps[0].pk, WHOLE.start, WHOLE.end),
        UsagePeriod(apps[1].pk, WHOLE.start + 6 * BUCKET, WHOLE.end - 6 * BUCKET),
    ]


def _known(periods: Sequence[UsagePeriod]) -> Known:
    apps = list(Application.objects.select_related("environment"))
    return Known(
        [Assigned(str(each.application_id), each.start, each.end) for each in periods],
        {str(app.pk): app.name for app in apps},
        {str(app.pk): app.environment.name for app in apps},
        {str(each.pk): _instance(each) for each in Instance.objects.select_related("host")},
        {str(each.pk): profile_of(each.body) for each in Measurement.objects.all()},
        silences={
            WHOLE: [
                Silent(
                    str(each.application_id), str(each.instance_id), each.role, each.start, each.end
                )
                for each in silences_in(periods)
            ]
        },
    )


def _instance(row: Instance) -> InstanceKnown:
    assert row.host is not None
    return InstanceKnown(
        str(row.application_id), row.first_seen_at, str(row.host.pk), row.host.region,
        row.host.host_class,
    )  # fmt: skip


def _within(periods: Sequence[UsagePeriod], span: Period) -> list[UsagePeriod]:
    return [
        UsagePeriod(each.application_id, max(each.start, span.start), min(each.end, span.end))
        for each in periods
    ]


def _told(quantities: Sequence[UsageQuantity]) -> list[tuple[object, ...]]:
    """In one order, without the causes of gaps, which a bundle does not hold."""
    told: list[tuple[object, ...]] = [
        (
            str(each.application_id), repr(each.reading), each.attributes, each.quantity,
            each.provenance, _without_causes(each.facts),
        )
        for each in quantities
    ]  # fmt: skip
    return sorted(told, key=lambda each: str(each[:3]))


def _without_causes(facts: Mapping[str, Any]) -> dict[str, Any]:
    coverage = facts.get("coverage")
    if coverage is None:
        return dict(facts)
    bare = {key: value for key, value in coverage.items() if key != "causes"}
    return {**facts, "coverage": bare}
