"""What programs ask about usage."""

from datetime import timedelta
from typing import Any

import pytest

from tenants.models import Customer
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, program_of
from tests.api.conftest import Provider
from tests.billing.timeline import at, use

pytestmark = pytest.mark.django_db

OCTOBER: dict[str, Any] = {
    "meter": "cpu.time",
    "from": "2026-10-01T00:00:00Z",
    "to": "2026-11-01T00:00:00Z",
}


def points(program: Program, **query: Any) -> list[tuple[str, str]]:
    answer = done(program.get("/usage", **{**OCTOBER, **query}))
    return [(point["start"], point["quantity"]) for point in answer["points"]]


@pytest.mark.parametrize(
    ("bucket", "zone", "expected"),
    [
        ("none", "UTC", [("2026-10-01T00:00:00Z", "14400000000")]),
        ("month", "Europe/Berlin", [("2026-09-30T22:00:00Z", "14400000000")]),
        (
            "day",
            "Asia/Kolkata",
            [("2026-10-04T18:30:00Z", "7200000000"), ("2026-10-05T18:30:00Z", "7200000000")],
        ),
        (
            "hour",
            "UTC",
            [("2026-10-05T00:00:00Z", "7200000000"), ("2026-10-06T00:00:00Z", "7200000000")],
        ),
    ],
)
def test_comes_in_buckets_of_a_time_zone(
    provider: Provider, program: Program, bucket: str, zone: str, expected: list[tuple[str, str]]
) -> None:
    assert points(program, bucket=bucket, time_zone=zone) == expected


def test_names_what_it_is_grouped_by_and_how_it_was_measured(
    provider: Provider, program: Program
) -> None:
    query = {
        **OCTOBER,
        "meter": "cpu.time,disk.written",
        "group_by": "application,environment,instance,meter",
    }
    cpu, disk = done(program.get("/usage", **query))["points"]
    assert (cpu["meter"], disk["meter"]) == ("cpu.time", "disk.written")
    assert cpu["application_id"] == str(provider.story.shop.pk)
    assert cpu["environment_id"]
    assert cpu["instance_id"]
    assert cpu["qualities"] == ["not_stated"]


def test_is_that_of_the_callers_own_alone(
    provider: Provider, other_provider: Provider, program: Program
) -> None:
    total = "14400000000"
    own = program_of(provider.tenant, customer=provider.story.customer)
    assert [quantity for _, quantity in points(program)] == [total]
    assert [quantity for _, quantity in points(own)] == [total]
    theirs = str(other_provider.story.shop.pk)
    assert points(program, application=theirs) == []
    with tenant_scope(provider.tenant.pk):
        other = Customer.objects.create(name="Other", reference="other")
    assert points(program_of(provider.tenant, customer=other)) == []
    assert points(own, customer=str(other.pk)) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"to": OCTOBER["from"]}, "to"),
        ({"bucket": "5m"}, "to"),
        ({"bucket": "week"}, "bucket"),
        ({"group_by": "host"}, "group_by"),
        ({"meter": "CPU"}, "meter"),
        ({"time_zone": "Mars"}, "time_zone"),
        ({"from": "yesterday"}, "from"),
    ],
)
def test_refuses_what_it_cannot_answer(
    provider: Provider, program: Program, change: dict[str, str], wrong: str
) -> None:
    assert fields(program.get("/usage", **{**OCTOBER, **change})) == {wrong}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("bucket", ["day", "month", "none"])
def test_is_the_same_by_hours_and_by_instances(
    provider: Provider, program: Program, bucket: str, zone: str
) -> None:
    with tenant_scope(provider.tenant.pk):
        for number in range(30):
            moment = at(10, 8) + timedelta(minutes=35 * number)
            use(provider.story.mail, moment, cpu_us=10**9 + number)
    cut = {"from": "2026-10-08T01:25:00Z", "to": "2026-10-08T14:50:00Z", "time_zone": zone}
    by_hours = points(program, bucket=bucket, **cut)
    by_instances = points(program, bucket=bucket, group_by="instance", **cut)
    assert by_hours == by_instances
    assert by_hours
