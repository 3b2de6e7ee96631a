"""A price bills what was measured well enough; the rest is shown and costs nothing."""

from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from billing.core.explanation import StepJson
from billing.models import Invoice, InvoiceLine, Price
from billing.operations import close_due, finalize_invoice
from billing.queries import changes_since_finalized, month_to_date, upcoming_invoice
from metering.models import UNATTRIBUTED, Instance, Measurement
from metering.rollup_models import Rollup
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    Story,
    application,
    assign,
    at,
    begin_story,
    cpu_price,
    publish,
    use,
)

pytestmark = pytest.mark.usefixtures("inside")


def profile(quality: str, method: str = "cgroup/2", meter: str = "cpu.time") -> UUID:
    body = {"meters": {meter: [quality, method]}}
    digest = sha256(str(body).encode()).digest()
    return Measurement.objects.get_or_create(digest=digest, defaults={"body": body})[0].pk


def measured(day: int, *ids: UUID | None) -> None:
    """The rollups of a day of October were measured so."""
    Rollup.objects.filter(bucket_start__day=day).update(measurements=list(ids))


def mixed_story(**accepted: list[str]) -> Story:
    """100 CPU-hours measured exactly, 200 as a lower bound, 50 with both in one bucket, and 10 of
    which nothing is stated."""
    story = begin_story()
    price = cpu_price()
    for name, value in accepted.items():
        setattr(price, name, value)
    publish(story.plan, price, effective_from=at(9, 1))
    exact, bound = profile("exact"), profile("lower_bound", "turnaround/1")
    for day, hours, ids in (
        (3, 100, [exact]),
        (4, 200, [bound]),
        (5, 50, [exact, bound]),
        (6, 10, [None]),
    ):
        use(story.shop, at(10, day, 12), cpu_us=hours * HOUR_US)
        measured(day, *ids)
    return story


def line_of(invoice: Invoice) -> InvoiceLine:
    return invoice.lines.get()


def step(line: InvoiceLine, kind: str) -> StepJson:
    found: StepJson = next(each for each in line.steps if each["kind"] == kind)
    return found


class TestAPriceOfDefault:
    def test_bills_the_clean_buckets_and_shows_the_rest(self) -> None:
        mixed_story()
        (draft,) = close_due(as_of=NOVEMBER)
        line = line_of(draft)
        assert (int(line.raw_quantity), line.amount) == (110 * HOUR_US, Decimal("1.10"))
        assert (int(line.refused_quantity), line.refused_for) == (250 * HOUR_US, ["lower_bound"])
        assert line.measured == [
            ["exact", "cgroup/2"],
            ["lower_bound", "turnaround/1"],
            ["not_stated", ""],
        ]
        assert step(line, "refused")["words"] == (
            "Not billed: 250 CPU-hours, measured as lower bound; this price takes exact or sampled"
        )
        assert step(line, "refused")["numbers"] == {"raw": str(250 * HOUR_US), "quantity": "250"}

    def test_of_one_instance_leaves_another_alone(self) -> None:
        story = mixed_story()
        other = use_elsewhere(story, at(10, 4, 12), cpu_us=7 * HOUR_US)
        other.measurements = [profile("sampled")]
        other.save()
        (draft,) = close_due(as_of=NOVEMBER)
        assert int(line_of(draft).raw_quantity) == 117 * HOUR_US

    def test_of_another_meter_is_not_touched(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=5 * HOUR_US, disk_bytes=10**9)
        measured(3, profile("estimated", meter="disk.written"))
        (draft,) = close_due(as_of=NOVEMBER)
        lines = {line.meter: line for line in draft.lines.all()}
        assert int(lines["cpu.time"].raw_quantity) == 5 * HOUR_US
        assert lines["cpu.time"].measured == [["not_stated", ""]]
        assert not lines["disk.written"].raw_quantity + lines["disk.written"].amount
        assert lines["disk.written"].refused_quantity == 10**9

    def test_takes_what_is_sampled_or_unavailable_in_part(self) -> None:
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=5 * HOUR_US)
        measured(3, profile("sampled"), profile("unavailable"))
        (draft,) = close_due(as_of=NOVEMBER)
        assert int(line_of(draft).raw_quantity) == 5 * HOUR_US
        assert "refused" not in [each["kind"] for each in line_of(draft).steps]


def use_elsewhere(story: Story, when: datetime, *, cpu_us: int) -> Rollup:
    """Usage of a second instance of the shop in a bucket that the first has usage in."""
    first = Rollup.objects.get(bucket_start=when)
    second = Instance.objects.create(
        application=story.shop, host=first.instance.host, name="second"
    )
    return Rollup.objects.create(
        application=story.shop, tenant=first.tenant, instance=second, role="primary",
        bucket_start=first.bucket_start, samples=1, window_us=10**7, covered_us=10**7,
        cpu_time=cpu_us,
    )  # fmt: skip


class TestAPriceThatAcceptsMore:
    def test_bills_it_all(self) -> None:
        mixed_story(accepted_qualities=["exact", "lower_bound"])
        (draft,) = close_due(as_of=NOVEMBER)
        line = line_of(draft)
        assert (int(line.raw_quantity), int(line.refused_quantity)) == (360 * HOUR_US, 0)
        assert line.refused_for == []

    def test_stands_beside_one_that_accepts_less(self) -> None:
        story = mixed_story()
        strict, lenient = cpu_price("0.01"), cpu_price("0.02")
        strict.accepted_qualities = ["exact"]
        lenient.accepted_qualities = ["exact", "lower_bound"]
        publish(story.plan, strict, lenient, effective_from=at(9, 2))
        (draft,) = close_due(as_of=NOVEMBER)
        assert [
            (int(line.raw_quantity), line.amount) for line in draft.lines.order_by("position")
        ] == [(110 * HOUR_US, Decimal("1.10")), (360 * HOUR_US, Decimal("7.20"))]

    @pytest.mark.parametrize("qualities", [[], ["unavailable"], ["exact", "good"]])
    def test_accepts_qualities_that_there_are(self, qualities: list[str]) -> None:
        story = begin_story()
        price = Price.objects.filter(plan_version__plan=story.plan).first()
        assert price is not None
        price.accepted_qualities = qualities
        with pytest.raises(IntegrityError), transaction.atomic():
            price.save()


class TestAMaximum:
    def test_is_the_largest_of_the_clean_buckets(self) -> None:
        story = begin_story()
        peak = Price(
            label="Peak", meter="memory.used.max", aggregation="maximum", unit="GB",
            unit_price=Decimal(1),
        )  # fmt: skip
        publish(story.plan, peak, effective_from=at(9, 1))
        for day, gigabytes in ((3, 2), (4, 9), (5, 1)):
            use(story.shop, at(10, day))
            Rollup.objects.filter(bucket_start__day=day).update(memory_used_max=gigabytes * 10**9)
        # It follows its gauge.
        measured(4, profile("estimated", meter="memory.used"))
        (draft,) = close_due(as_of=NOVEMBER)
        line = line_of(draft)
        assert (int(line.raw_quantity), line.amount) == (2 * 10**9, Decimal("2.00"))
        assert int(line.refused_quantity) == 9 * 10**9
        assert "a largest value of 9 GB" in step(line, "refused")["words"]


class TestAnIssuedInvoice:
    def test_stays_as_it_was(self) -> None:
        mixed_story()
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        before = InvoiceLine.objects.values().get()
        measured(3, profile("estimated"))
        assert finalize_invoice(invoice, as_of=NOVEMBER) == invoice
        assert InvoiceLine.objects.values().get() == before
        every: list[dict[str, Any]] = [{"refused_quantity": 0}, {"measured": []}]
        for changes in [*every, {"refused_for": []}]:
            with pytest.raises(IntegrityError), transaction.atomic():
                InvoiceLine.objects.update(**changes)

    def test_says_what_would_change(self) -> None:
        mixed_story()
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert changes_since_finalized(invoice) is None
        measured(3, profile("estimated"))
        changes = changes_since_finalized(invoice)
        assert changes is not None
        assert (changes.lines, changes.amount) == (1, Decimal("-1.00"))

    def test_is_not_changed_by_usage_that_costs_nothing(self) -> None:
        story = mixed_story()
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        use(story.mail, at(10, 9), cpu_us=HOUR_US)
        measured(9, profile("estimated"))
        assert changes_since_finalized(invoice) is None


class TestThePreview:
    def test_says_the_same_as_the_invoice_and_as_its_days(self) -> None:
        story = mixed_story()
        use(story.mail, at(10, 9), cpu_us=HOUR_US)
        measured(9, profile("estimated"))
        upcoming = upcoming_invoice(story.customer, as_of=at(10, 20))
        month = month_to_date(story.customer, as_of=at(10, 20))
        assert upcoming is not None
        assert month is not None
        assert month.upcoming == upcoming
        assert sum(day.amount for day in month.days) == upcoming.total == Decimal("1.10")
        (draft,) = close_due(as_of=NOVEMBER)
        assert [
            (line.application_name, line.raw_quantity, line.provenance) for line in upcoming.lines
        ] == [
            (line.application_name, int(line.raw_quantity), line.provenance)
            for line in draft.lines.order_by("position")
        ]


def test_what_belongs_to_no_program_is_never_billed() -> None:
    story = begin_story()
    nobodys = application(UNATTRIBUTED)
    assign(nobodys, story.customer)
    use(nobodys, at(10, 3), cpu_us=900 * HOUR_US)
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    assert [line.application_name for line in draft.lines.all()] == ["shop-ltd-shop"]
