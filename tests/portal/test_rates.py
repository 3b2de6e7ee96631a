"""A line's page says what its price is, and which of its rows the line was charged at."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.core.explanation import StepJson
from billing.core.prices import Graduated, Package, PerUnit, Volume
from billing.core.prices.matrix import Matrix, Row
from billing.core.prices.tiers import Tier
from billing.core.rating import PriceSpec
from billing.core.readings import Reading
from billing.models import Price
from billing.operations import Offer, publish_plan_version
from metering.core.buckets import BUCKET
from metering.models import Instance
from metering.rollup_models import Rollup
from portal.rates import rate_of
from tenants.scope import tenant_scope
from tests.portal.test_pages import words
from tests.portal.world import World, use_buckets

LAUNCHES = Reading(meter="launches", aggregation="sum")
TIERS = (Tier(Decimal(10), Decimal(2)), Tier(None, Decimal(1)))
MATRIX = Matrix(
    ("role", "region"), (Row(("primary", "*"), Decimal(3)), Row(("replica", "eu"), Decimal(2))),
    default=Decimal(9),
)  # fmt: skip


def in_tier(kind: str, number: int) -> StepJson:
    return {"kind": kind, "words": "", "numbers": {"tier": str(number)}}


class TestARate:
    @pytest.mark.parametrize(
        ("role", "region", "price", "name"),
        [
            ("primary", "eu", 3, "role primary, region any"),
            ("replica", "eu", 2, "role replica, region eu"),
            ("replica", "", 9, "all other usage"),
        ],
    )
    def test_of_a_matrix_marks_the_row_that_was_taken(
        self, role: str, region: str, price: int, name: str
    ) -> None:
        reading = Reading(meter="launches", aggregation="sum", by=MATRIX.by)
        spec = PriceSpec("1", reading, "one", MATRIX)
        rate = rate_of(spec, {"role": role, "region": region}, ())
        assert rate is not None
        assert rate.unit_price == price
        assert rate.per == "each"
        assert [row.name for row in rate.rows if row.is_taken] == [name]
        assert len(rate.rows) == 3

    @pytest.mark.parametrize("model", [Graduated(TIERS), Volume(TIERS)])
    def test_of_tiers_marks_those_that_were_charged(self, model: Graduated | Volume) -> None:
        kind = "tier" if isinstance(model, Graduated) else "volume"
        spec = PriceSpec("1", LAUNCHES, "thousand", model)
        rate = rate_of(spec, {}, [in_tier(kind, 2)])
        assert rate is not None
        assert rate.unit_price == 1
        assert [row.is_taken for row in rate.rows] == [False, True]
        assert rate.rows[0].name == "1, up to 10 thousand"

    def test_of_several_charged_tiers_is_no_single_price(self) -> None:
        spec = PriceSpec("1", LAUNCHES, "thousand", Graduated(TIERS))
        rate = rate_of(spec, {}, [in_tier("tier", 1), in_tier("tier", 2)])
        assert rate is not None
        assert rate.unit_price is None

    def test_of_packages_names_their_size(self) -> None:
        spec = PriceSpec("1", LAUNCHES, "one", Package(Decimal(500), Decimal(4)))
        rate = rate_of(spec, {}, ())
        assert rate is not None
        assert rate.unit_price == 4
        assert rate.per == "per package of 500, each begun one"

    def test_of_a_rate_is_not_per_per_second(self) -> None:
        reading = Reading(meter="launches", aggregation="percentile")
        rate = rate_of(PriceSpec("1", reading, "per second", PerUnit(Decimal(4))), {}, ())
        assert rate is not None
        assert rate.per == "for 1 per second"


class TestALineOfAMatrix:
    @pytest.fixture
    def url(self, world: World) -> str:
        """CPU time of postgres by role, on the next invoice: its primary and a replica."""
        with tenant_scope(world.tenant.pk):
            first = Rollup.objects.filter(
                application=world.application, bucket_start__gte=world.invoice.period_end
            ).earliest("bucket_start")
            use_buckets(
                Instance.objects.get(application=world.application),
                {first.bucket_start + timedelta(minutes=10): 50_000},
            )
            Rollup.objects.filter(
                application=world.application,
                bucket_start=first.bucket_start + timedelta(minutes=10),
            ).update(role="replica")
            price = Price(
                label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-second",
                kind="matrix",
                definition={
                    "by": ["role"],
                    "rows": [
                        {"values": ["primary"], "unit_price": "0.5"},
                        {"values": ["replica"], "unit_price": "0.25"},
                    ],
                },
            )  # fmt: skip
            offer = Offer([price], first.bucket_start + BUCKET, takes_effect="at_once")
            found = publish_plan_version(world.cpu.plan_version.plan, offer).prices.get()
        return reverse("portal:upcoming-line", args=[found.pk, world.application.pk])

    def test_shows_the_rows_and_the_one_that_was_taken(self, reader: Client, url: str) -> None:
        page = words(reader, f"{url}?role=replica")
        assert "Price €0.25 per CPU-second" in page
        assert "role primary €0.50" in page
        assert "role replica this line €0.25" in page

    def test_is_found_by_its_attributes(self, reader: Client, url: str) -> None:
        assert f"{url}?role=replica" in reader.get("/invoices/upcoming/").content.decode()
        assert "role primary this line €0.50" in words(reader, f"{url}?role=primary")
