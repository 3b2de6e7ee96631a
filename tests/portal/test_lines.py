"""A line opens down to its samples, and each step says how it sums to the one above."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing.models import Price
from billing.operations import Offer, publish_plan_version
from billing.operations.plans import Counting
from metering.core.buckets import BUCKET, bucket_of
from metering.models import Instance, SampleBatch
from metering.rollup_models import Rollup
from portal.formatting import raw_quantity
from tenants.scope import tenant_scope
from tests.metering.test_rollups import usage_of
from tests.portal.test_pages import words
from tests.portal.world import World, use_buckets


@pytest.fixture(params=["stored", "upcoming"])
def line_url(request: pytest.FixtureRequest, world: World) -> str:
    """CPU time of postgres: on last month's invoice, and on the next one."""
    if request.param == "stored":
        return reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
    return reverse("portal:upcoming-line", args=[world.cpu.pk, world.application.pk])


def first_link(client: Client, url: str, below: str) -> str:
    page = client.get(url).content.decode()
    found = re.search(rf'href="([^"]*/{below}/[^"]+)"', page)
    assert found is not None, f"{url} links to no {below}"
    return found[1]


class TestALine:
    def test_shows_its_rate_and_the_steps_to_its_amount(
        self, reader: Client, line_url: str
    ) -> None:
        page = words(reader, line_url)
        assert "€0.0125 per CPU-second" in page
        assert "10 CPU-seconds" in page
        assert "Measured" in page
        assert "Rounded" in page

    def test_states_that_its_buckets_sum_to_it(
        self, reader: Client, line_url: str, world: World
    ) -> None:
        page = words(reader, line_url)
        assert "= the quantity of this line" in page
        if "upcoming" not in line_url:
            raw = raw_quantity("cpu.time", world.line().raw_quantity).replace("\u00a0", " ")
            assert f": {raw} = the quantity of this line" in page

    def test_with_tiers_shows_them(self, reader: Client, world: World) -> None:
        url = reverse("portal:upcoming-line", args=[world.memory.pk, world.application.pk])
        page = words(reader, url)
        assert re.search(r"1, up to 0.1 GB-hours (this line )?€0.50 €0.00", page)
        assert re.search(r"2, no limit (this line )?€0.25 €1.00", page)

    def test_speaks_of_sharing_only_where_something_is_shared(
        self, reader: Client, world: World
    ) -> None:
        shared = reverse("portal:upcoming-line", args=[world.memory.pk, world.application.pk])
        own = reverse("portal:upcoming-line", args=[world.peak.pk, world.application.pk])
        assert "counted once a period over all applications" in words(reader, shared)
        assert "counted once a period over all applications" not in words(reader, own)
        assert "Used before this line" not in words(reader, own)

    def test_opens_to_days_buckets_and_samples_that_sum_up(
        self, reader: Client, line_url: str
    ) -> None:
        day = first_link(reader, line_url, "days")
        assert "Sum of 1 bucket that day" in words(reader, day)
        bucket = first_link(reader, day, "buckets")
        page = words(reader, bucket)
        assert "Sum of 30 samples" in page
        assert "= the bucket's quantity" in page

    def test_names_the_signed_batch_of_each_sample(
        self, reader: Client, world: World, line_url: str
    ) -> None:
        bucket = first_link(reader, first_link(reader, line_url, "days"), "buckets")
        page = words(reader, bucket)
        with tenant_scope(world.tenant.pk):
            prefixes = {bytes(batch.digest).hex()[:12] for batch in SampleBatch.objects.all()}
        shown = re.findall(r"#\d+ ([0-9a-f]{12})…", page)
        assert len(shown) == 30
        assert set(shown) <= prefixes

    def test_says_when_late_usage_came_after_the_invoice(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            instance = Instance.objects.get(application=world.application)
            start = world.invoice.period_start + timedelta(days=20)
            use_buckets(instance, {start: 1_000})
        url = reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
        page = words(reader, url)
        assert "What arrived or changed after it was made: 30,435 µs" in page

    def test_of_a_maximum_takes_the_largest_and_not_the_sum(
        self, reader: Client, world: World
    ) -> None:
        page = words(
            reader, reverse("portal:upcoming-line", args=[world.peak.pk, world.application.pk])
        )
        assert re.search(r"Largest of \d+ buckets? on", page)
        assert "512,000,000 bytes = the quantity of this line" in page

    def test_of_a_price_that_the_application_never_used_does_not_exist(
        self, reader: Client, world: World
    ) -> None:
        url = reverse("portal:upcoming-line", args=[world.unused.pk, world.application.pk])
        assert reader.get(url).status_code == 404


class TestADay:
    @pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2020-02-02", "2026-02-31", "x"])
    def test_outside_the_line_does_not_exist(self, reader: Client, line_url: str, day: str) -> None:
        assert reader.get(f"{line_url}days/{day}/").status_code == 404

    def test_has_pages(self, reader: Client, world: World) -> None:
        start = world.invoice.period_start + timedelta(days=10)
        with tenant_scope(world.tenant.pk):
            instance = Instance.objects.get(application=world.application)
            Rollup.objects.bulk_create(
                Rollup(
                    tenant=world.tenant, application=world.application, instance=instance,
                    role="primary", bucket_start=start + number * BUCKET, samples=0,
                    window_us=0, covered_us=0, cpu_time=number,
                )
                for number in range(100)
            )  # fmt: skip
        line = reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
        url = f"{line}days/{start + timedelta(hours=6):%Y-%m-%d}/"
        assert "Sum of 100 buckets that day: 4,950 µs" in words(reader, url)
        assert "1 to 96 of 100" in words(reader, url)
        assert "97 to 100 of 100" in words(reader, f"{url}?page=2")
        assert words(reader, f"{url}?page=2").count("web-1, postgres") == 4


class TestABucket:
    @pytest.mark.parametrize("start", ["20200101T0000Z", "20261023T1403Z", "20261399T9999Z",
                                       "00010101T0000Z", "99991231T2355Z"])  # fmt: skip
    def test_outside_the_line_does_not_exist(
        self, reader: Client, line_url: str, start: str
    ) -> None:
        assert reader.get(f"{line_url}buckets/{start}/").status_code == 404

    def test_says_when_its_samples_are_gone(self, reader: Client, world: World) -> None:
        start = world.invoice.period_start + timedelta(days=15)
        line = reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
        assert "No samples" in words(reader, f"{line}buckets/{start:%Y%m%dT%H%MZ}/")

    def test_can_be_read_for_one_instance_alone(self, reader: Client, world: World) -> None:
        start = bucket_of(world.invoice.period_start + timedelta(hours=9))
        with tenant_scope(world.tenant.pk):
            first = Instance.objects.get(application=world.application)
            second = Instance.objects.create(
                application=world.application, host=first.host, name="postgres@2.service"
            )
            use_buckets(second, {start: 5})
        url = reverse("portal:invoice-line", args=[world.invoice.pk, world.line().pk])
        url = f"{url}buckets/{start:%Y%m%dT%H%MZ}/"
        assert "Sum of 60 samples" in words(reader, url)
        alone = words(reader, f"{url}?instance={second.pk}")
        assert "Sum of 30 samples: 585 µs" in alone
        assert "Sum of 60 samples" in words(reader, f"{url}?instance=nonsense")


def test_the_pages_of_a_line_ask_a_bounded_number_of_queries(
    reader: Client, line_url: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    url = line_url
    for below in ("days", "buckets", None):
        with django_assert_max_num_queries(55):
            assert reader.get(url).status_code == 200
        if below is not None:
            url = first_link(reader, url, below)


class TestALineOfAVersionThatTookEffectAtOnce:
    def test_says_that_its_buckets_are_weighed_where_a_role_is_billed_in_part(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            first = Rollup.objects.filter(
                application=world.application, bucket_start__gte=world.invoice.period_end
            ).earliest("bucket_start")
            price = Price(
                label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-second",
                unit_price=Decimal("0.5"),
            )  # fmt: skip
            half = Counting(primary_factor=Decimal("0.5"))
            offer = Offer([price], first.bucket_start + BUCKET, half, "at_once")
            found = publish_plan_version(world.cpu.plan_version.plan, offer).prices.get()
        url = reverse("portal:upcoming-line", args=[found.pk, world.application.pk])
        page = words(reader, url)
        assert "follows from them by the steps above" in page
        assert "Reload" not in page

    def test_opens_with_the_usage_since_then(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            first = Rollup.objects.filter(
                application=world.application, bucket_start__gte=world.invoice.period_end
            ).earliest("bucket_start")
            price = Price(
                label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-second",
                unit_price=Decimal("0.5"),
            )  # fmt: skip
            offer = Offer([price], first.bucket_start + BUCKET, takes_effect="at_once")
            version = publish_plan_version(world.cpu.plan_version.plan, offer)
            after = Rollup.objects.filter(
                application=world.application, bucket_start__gte=first.bucket_start + BUCKET
            )
            used = sum(usage_of(each).get("cpu.time", 0) for each in after)
            found = version.prices.get()
        assert used
        url = reverse("portal:upcoming-line", args=[found.pk, world.application.pk])
        page = words(reader, url)
        assert "€0.50 per CPU-second" in page
        assert f"{raw_quantity('cpu.time', used)}".replace("\u00a0", " ") in page
        assert "= the quantity of this line" in page
