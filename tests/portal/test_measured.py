"""Pages say how usage was measured, what of it is not billed and why, and what is not known."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from billing.models import Invoice
from metering.core.buckets import BUCKET
from metering.models import UNATTRIBUTED, Application, Assignment, Instance, Measurement, Sample
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.portal.test_pages import words
from tests.portal.world import ZONE, World, use_buckets

EXACT = {"meters": {"cpu.time": ["exact", "cgroup/2"], "network.sent": ["unavailable", "ebpf/1"]}}
BOUND = {
    "meters": {"cpu.time": ["lower_bound", "ticks/1"]},
    "marks": ["clock-step", "counter-reset"],
}
STOPPED = {"gap": "agent-stopped"}


def profile(body: Mapping[str, object]) -> UUID:
    return Measurement.objects.create(digest=sha256(str(body).encode()).digest(), body=body).pk


def mark(instance: Instance, start: datetime, *ids: UUID) -> None:
    """Say of a bucket's samples and rollup that they were measured so, by turns."""
    own = Rollup.objects.filter(instance=instance, bucket_start=start)
    assert own.update(measurements=list(ids)) == 1
    samples = Sample.objects.filter(
        instance=instance, window_start__gte=start, window_start__lt=start + BUCKET
    )
    for index in range(30):
        samples.filter(batch_index=index).update(measurement=ids[index % len(ids)])


@dataclass(frozen=True)
class Story:
    world: World
    day: datetime
    line: str


@pytest.fixture
def story(world: World, reader: Client) -> Story:
    """On the first day of this month postgres has a bucket of each kind: measured exactly, in part
    as a lower bound, and in part not at all because the agent stood still."""
    return measured_story(world)


def measured_story(world: World) -> Story:
    with tenant_scope(world.tenant.pk):
        instance = Instance.objects.get(application=world.application)
        Rollup.objects.filter(instance=instance, bucket_start__gte=month(world)).delete()
        Sample.objects.filter(instance=instance, window_start__gte=month(world)).delete()
        first = month(world) + timedelta(hours=3)
        use_buckets(instance, {first + number * BUCKET: 1_000_000 for number in range(4)})
        exact, bound, stopped = profile(EXACT), profile(BOUND), profile(STOPPED)
        mark(instance, first, exact)
        mark(instance, first + BUCKET, exact, bound)
        mark(instance, first + 2 * BUCKET, stopped, exact)
        mark(instance, first + 3 * BUCKET, stopped, exact)
        Rollup.objects.filter(bucket_start__in=[first + 2 * BUCKET, first + 3 * BUCKET]).update(
            covered_us=150_000_000
        )
    line = reverse("portal:upcoming-line", args=[world.cpu.pk, world.application.pk])
    return Story(world, first, line)


def month(world: World) -> datetime:
    return world.invoice.period_end


class TestALine:
    def test_says_how_it_was_measured_and_what_is_not_billed(
        self, reader: Client, story: Story
    ) -> None:
        page = words(reader, story.line)
        assert "Measured exact, cgroup/2; lower bound, ticks/1" in page
        assert "Accepted exact, sampled" in page
        assert "25.0% not billed: lower bound. 30,000,435 µs lie in buckets" in page
        assert "Sum of 3 buckets on 1 day: 90,001,305 µs = the quantity of this line" in page
        assert "Not billed: 30" in page

    def test_opens_to_the_bucket_that_is_not_billed(self, reader: Client, story: Story) -> None:
        local = story.day.astimezone(ZoneInfo(ZONE))
        day = words(reader, f"{story.line}days/{local:%Y-%m-%d}/")
        assert "Sum of 3 buckets that day: 90,001,305 µs" in day
        assert "Not billed that day: 30,000,435 µs" in day
        assert len(re.findall(r"30\S* CPU-seconds not billed", day)) == 1, day
        start = story.day + BUCKET
        bucket = words(reader, f"{story.line}buckets/{start:%Y%m%dT%H%MZ}/")
        assert bucket.count("not billed exact, cgroup/2 100%") == 15
        assert bucket.count("not billed lower bound, ticks/1 clock step, counter reset 100%") == 15
        assert "Sum of 0 billed samples: 0 µs = what is billed of the bucket" in bucket

    def test_tells_of_gaps_with_their_cause(self, reader: Client, story: Story) -> None:
        local = story.day.astimezone(ZoneInfo(ZONE)) + 2 * BUCKET
        page = words(reader, story.line)
        gap = f"{local.day} {local:%b} {local.year}, {local:%H:%M} to {local + 2 * BUCKET:%H:%M}"
        assert f"{gap} agent stopped on web-1, 50% measured" in page
        bucket = words(reader, f"{story.line}buckets/{story.day + 2 * BUCKET:%Y%m%dT%H%MZ}/")
        assert bucket.count("gap: agent stopped 100%") == 15

    def test_says_of_each_bucket_how_it_was_measured(self, reader: Client, story: Story) -> None:
        local = story.day.astimezone(ZoneInfo(ZONE))
        day = words(reader, f"{story.line}days/{local:%Y-%m-%d}/")
        rows = re.findall(r"µs ([a-z_, ;/0-9]+?) (\d+%) 30 web-1", day)
        mixed = "exact, cgroup/2; lower bound, ticks/1"
        exact = "exact, cgroup/2"
        assert rows == [(exact, "100%"), (mixed, "100%"), (exact, "50%"), (exact, "50%")], day

    def test_of_nothing_but_refused_usage_is_there(self, reader: Client, story: Story) -> None:
        with tenant_scope(story.world.tenant.pk):
            bound = Measurement.objects.get(body__has_key="marks").pk
            Rollup.objects.filter(application=story.world.application).update(measurements=[bound])
        page = words(reader, story.line)
        assert "100.0% not billed: lower bound" in page
        assert "€0.00" in page
        upcoming = words(reader, reverse("portal:upcoming-invoice"))
        assert "100.0% not billed: lower bound" in upcoming


class TestOtherPages:
    def test_name_the_quality_beside_each_charge(self, reader: Client, story: Story) -> None:
        application = reverse("portal:application", args=[story.world.application.pk])
        for url in (application, reverse("portal:upcoming-invoice")):
            page = words(reader, url)
            assert "exact, cgroup/2; lower bound, ticks/1 25.0% not billed: lower bound" in page

    def test_show_how_each_meter_was_measured(self, reader: Client, story: Story) -> None:
        page = words(reader, reverse("portal:application", args=[story.world.application.pk]))
        assert "cpu.time Measured: exact, cgroup/2; lower bound, ticks/1 120.0" in page
        assert re.search(r"Could not be measured where it runs: network\.sent ?\.", page)
        assert "agent stopped on web-1, 50% measured" in page

    def test_list_applications_with_how_each_was_measured(
        self, reader: Client, story: Story
    ) -> None:
        page = words(reader, reverse("portal:applications"))
        postgres = re.search(r"postgres €.*? production", page)
        assert postgres is not None
        assert "120.0 CPU-seconds Measured: exact, cgroup/2; lower bound, ticks/1" in postgres[0]
        assert "GB-hours Measured: not stated" in postgres[0]
        newsletter = re.search(r"newsletter generated €.*? production", page)
        assert newsletter is not None
        assert newsletter[0].count("Measured: not stated") == 2

    def test_add_up_by_meter_what_all_applications_left_unbilled(
        self, reader: Client, story: Story
    ) -> None:
        with tenant_scope(story.world.tenant.pk):
            others = Rollup.objects.filter(
                application=story.world.generated_application, bucket_start__gte=month(story.world)
            )
            used = int(others.aggregate(used=Sum("cpu_time"))["used"])
            bound = Measurement.objects.get(body__has_key="marks").pk
            others.update(measurements=[bound])
        share = Decimal(30_000_435 + used) * 100 / (120_001_740 + used)
        by_meter = words(reader, "/").partition("By meter")[2]
        assert (
            "CPU time Measured: exact, cgroup/2; lower bound, ticks/1"
            f" {share:.1f}% not billed: lower bound 90.00 CPU-seconds" in by_meter
        ), by_meter
        assert "Memory Measured: not stated" in by_meter
        assert by_meter.count("not billed") == 1

    def test_of_usage_without_a_word_say_so(self, reader: Client, world: World) -> None:
        page = words(reader, reverse("portal:invoice", args=[world.invoice.pk]))
        assert "CPU time · postgres Measured: not stated" in page
        assert "not billed" not in page
        application = reverse("portal:application", args=[world.application.pk])
        assert "Not measured" not in words(reader, application)

    def test_of_another_customer_show_none_of_it(self, story: Story) -> None:
        other = signed_in(story.world.tenant, "viewer", customer=story.world.other_customer)
        for url in (
            reverse("portal:application", args=[story.world.other_application.pk]),
            reverse("portal:upcoming-invoice"),
            reverse("portal:applications"),
            reverse("portal:overview"),
        ):
            page = words(other, url)
            assert "agent stopped" not in page
            assert "ticks/1" not in page


def test_an_issued_line_keeps_its_words(reader: Client, world: World) -> None:
    url = reverse("portal:invoice", args=[world.invoice.pk])
    before = words(reader, url)
    with tenant_scope(world.tenant.pk):
        Rollup.objects.update(measurements=[profile(BOUND)])
    after = words(reader, url)
    assert "Usage of this period has changed since" in after
    assert before.partition("Lines")[2] == after.partition("Lines")[2]


def test_usage_of_no_program_is_shown_and_not_billed(reader: Client, world: World) -> None:
    with tenant_scope(world.tenant.pk):
        first = Instance.objects.get(application=world.application)
        nobodys = Application.objects.create(
            name=UNATTRIBUTED, environment=first.application.environment
        )
        Assignment.objects.create(
            application=nobodys, customer=world.customer, starts_at=month(world)
        )
        instance = Instance.objects.create(application=nobodys, host=first.host, name="rest")
        use_buckets(instance, {month(world) + timedelta(hours=1): 5_000_000})
    page = words(reader, reverse("portal:application", args=[nobodys.pk]))
    assert "It is shown and never billed." in page
    assert "150,000,435 µs" in page
    assert "Nothing is charged for this application" in page
    assert UNATTRIBUTED not in words(reader, reverse("portal:upcoming-invoice"))


def test_staff_read_it_in_the_admin(tenant: Tenant, story: Story) -> None:
    staff = signed_in(tenant, "owner")
    with tenant_scope(tenant.pk):
        invoice = Invoice.objects.get(pk=story.world.invoice.pk)
    page = words(staff, reverse("admin:billing_invoice_change", args=[invoice.pk]))
    assert "not stated" in page
