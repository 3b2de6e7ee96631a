"""Two customers share a host, and pay for its idle time in proportion to what they use. One of them
was cut off for an hour: when its usage comes late, the other one's share was too high."""

from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.closing import close_tenant, finalize_drafts, restate_tenant
from billing.models import BillingDetails, BillingSettings, Invoice, Price, TaxRate
from billing.operations import Offer, publish_plan_version
from billing.waiting import waiting_drafts
from metering.allocating import allocate_tenant, retry_failures
from metering.allocation_rules import mark_hours, state_rule
from metering.core.allocation import Rule
from metering.models import Host
from metering.rollups import roll_up
from metering.stated_models import AllocationFailure, Event
from metering.usage import usage_by_application
from metering.usage_rows import UsagePeriod
from portal.views import lines as lines_pages
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.late import deliver, note_at
from tests.billing.timeline import HOUR_US, NOVEMBER, OCTOBER, Story, at, begin_story, cpu_price

# Late in the month: every hour from when a rule begins is looked at.
BEGUN = at(10, 30)
NINE = at(10, 30, 9)
LAST_DAY = at(10, 31)


def idle_price() -> Price:
    return Price(
        label="Share of idle CPU time",
        meter="cpu.time.allocated",
        aggregation="sum",
        unit="CPU-hour",
        unit_price=Decimal("1"),
    )


@pytest.fixture
def stories(tenant: Tenant) -> tuple[Story, Story]:
    """A host of 4 processors. From 9 to 10 the first customer uses a CPU-hour; the second's usage,
    another one, is not there yet."""
    with tenant_scope(tenant.pk):
        first, second = begin_story("first", "One"), begin_story("second", "Two")
        for story in (first, second):
            publish_plan_version(story.plan, Offer([cpu_price("0.10"), idle_price()], OCTOBER))
        deliver(first.shop, NINE, cpu_us=HOUR_US, received_at=NINE)
        Host.objects.update(cpu_count=4, last_seen_at=NOVEMBER, last_window_end=NOVEMBER)
    return first, second


def spread(tenant: Tenant, rule: Rule = "by_share") -> int:
    with tenant_scope(tenant.pk):
        state_rule("cpu.time", rule, starts_at=BEGUN, author="owner@first.example", as_of=LAST_DAY)
    return allocate(tenant)


def allocate(tenant: Tenant) -> int:
    outcome = allocate_tenant(tenant.pk, as_of=NOVEMBER)
    assert outcome.failures == []
    roll_up(tenant.pk)
    return outcome.postings


def given(story: Story) -> Decimal:
    period = UsagePeriod(story.shop.pk, OCTOBER, NOVEMBER)
    used = usage_by_application([period], ["cpu.time.allocated"]).get(story.shop.pk, {})
    return Decimal(used.get("cpu.time.allocated", 0)) / HOUR_US


def lines(invoice: Invoice) -> dict[str, Decimal]:
    return {line.label: line.amount for line in invoice.lines.all()}


def test_is_billed_to_its_customers(tenant: Tenant, stories: tuple[Story, Story]) -> None:
    first, second = stories
    assert spread(tenant) == 1
    close_tenant(tenant.pk, as_of=NOVEMBER)
    with tenant_scope(tenant.pk):
        assert lines(Invoice.objects.get(customer=first.customer)) == {
            "CPU time": Decimal("0.10"), "Share of idle CPU time": Decimal("3.00"),
        }  # fmt: skip
        assert [given(first), given(second)] == [3, 0]


def test_late_usage_of_one_restates_the_others(
    tenant: Tenant, stories: tuple[Story, Story]
) -> None:
    first, second = stories
    spread(tenant)
    close_tenant(tenant.pk, as_of=NOVEMBER)
    issued = finalize_drafts(tenant.pk, as_of=NOVEMBER, also_incomplete=False).invoices
    assert len(issued) == 2
    with tenant_scope(tenant.pk):
        deliver(second.shop, NINE, cpu_us=HOUR_US, received_at=at(11, 8))
    assert allocate(tenant) == 2
    with tenant_scope(tenant.pk):
        assert [given(first), given(second)] == [1, 1]
        note_at(at(11, 8))
    made = restate_tenant(tenant.pk, as_of=at(11, 9)).invoices
    assert sorted((note.customer.reference, note.reference, note.total) for note in made) == [
        ("first", "CN-1", Decimal("2.00")),
        ("second", "DN-1", Decimal("1.10")),
    ]
    assert allocate(tenant) == 0
    assert restate_tenant(tenant.pk, as_of=at(11, 10)).invoices == []


def test_drafts_wait_until_it_is_posted(tenant: Tenant, stories: tuple[Story, Story]) -> None:
    close_tenant(tenant.pk, as_of=NOVEMBER)
    with tenant_scope(tenant.pk):
        BillingSettings.objects.create(legal_name="First Host", country="DE")
        TaxRate.objects.create(name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1))
        for story in stories:
            BillingDetails.objects.create(customer=story.customer, country="DE")
        state_rule("cpu.time", "evenly", starts_at=BEGUN, author="o", as_of=LAST_DAY)
        waits = [each.waits_for for each in waiting_drafts(as_of=NOVEMBER)]
    assert all(each.endswith("hosts' idle usage is still to be spread") for each in waits)
    outcome = finalize_drafts(tenant.pk, as_of=NOVEMBER, also_incomplete=False)
    assert (len(outcome.incomplete), outcome.invoices) == (2, [])
    allocate(tenant)
    with tenant_scope(tenant.pk):
        AllocationFailure.objects.create(
            hour=NINE, host=Host.objects.get(), meter="cpu.time", reason="too much",
            failed_at=NOVEMBER,
        )  # fmt: skip
        waits = [each.waits_for for each in waiting_drafts(as_of=NOVEMBER)]
        words = f"not be spread, {NINE:%Y-%m-%dT%H:%MZ}, cpu.time of {Host.objects.get()}: too much"
        assert waits[0].endswith(words)
    outcome = finalize_drafts(tenant.pk, as_of=NOVEMBER, also_incomplete=False)
    assert outcome.invoices == []
    with tenant_scope(tenant.pk):
        retry_failures()
    allocate(tenant)
    outcome = finalize_drafts(tenant.pk, as_of=NOVEMBER, also_incomplete=False)
    assert len(outcome.invoices) == 2
    with tenant_scope(tenant.pk):
        billed = Invoice.objects.get(customer=stories[0].customer)
        assert lines(billed)["Share of idle CPU time"] == Decimal("3.00")


def test_is_posted_once_whoever_runs_it(tenant: Tenant, stories: tuple[Story, Story]) -> None:
    spread(tenant)
    for _ in range(2):
        with tenant_scope(tenant.pk):
            mark_hours(BEGUN, NOVEMBER)
        assert allocate(tenant) == 0
    with tenant_scope(tenant.pk):
        assert Event.objects.count() == 1


def test_each_posting_can_be_redone_by_hand(tenant: Tenant, stories: tuple[Story, Story]) -> None:
    _, second = stories
    spread(tenant)
    with tenant_scope(tenant.pk):
        deliver(second.shop, NINE, cpu_us=HOUR_US // 2, received_at=at(11, 1))
    allocate(tenant)
    with tenant_scope(tenant.pk):
        for event in Event.objects.all():
            said = event.data
            parts = [
                pool * (said["weight_before"] + said["weight"]) // said["host_weight"]
                - pool * said["weight_before"] // said["host_weight"]
                for pool in (said["host_idle"], said["host_unattributed"])
            ]
            assert [said["idle"], said["unattributed"]] == parts
            assert event.quantity == sum(parts) - said["posted_before"]
            assert said["capacity"] == 4 * HOUR_US
        assert Event.objects.count() == 3


def test_customers_can_follow_their_part_to_its_postings(
    tenant: Tenant, stories: tuple[Story, Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stories
    spread(tenant)
    with tenant_scope(tenant.pk):
        deliver(second.shop, NINE, cpu_us=HOUR_US, received_at=at(10, 30, 20))
    allocate(tenant)
    close_tenant(tenant.pk, as_of=NOVEMBER)
    issued = finalize_drafts(tenant.pk, as_of=NOVEMBER, also_incomplete=False).invoices
    invoice = next(each for each in issued if each.customer_id == first.customer.pk)
    with tenant_scope(tenant.pk):
        line = invoice.lines.get(label="Share of idle CPU time")
    reader = signed_in(tenant, "viewer", customer=first.customer)
    page = reverse("portal:invoice-line", args=[invoice.pk, line.pk])
    said = reader.get(page).content.decode()
    assert "share of cpu.time that nobody used" in said
    assert "days/2026-10-30/" in said
    said = reader.get(f"{page}days/2026-10-30/").content.decode()
    assert "allocated from web-1" in said
    assert "the sum of its postings" in said
    said = reader.get(f"{page}buckets/20261030T0900Z/").content.decode()
    assert "Sum of 2 postings" in said
    assert "capacity 14,400,000,000 - used 7,200,000,000 - unattributed 0" in said
    assert "posted before" in said
    monkeypatch.setattr(lines_pages, "_POSTINGS_PER_PAGE", 1)
    first_page = reader.get(f"{page}buckets/20261030T0900Z/").content.decode()
    second_page = reader.get(f"{page}buckets/20261030T0900Z/?page=2").content.decode()
    for said in (first_page, second_page):
        assert "Sum of 2 postings" in said
    assert "posted before" not in first_page
    assert "posted before" in second_page
    assert "?page=2" in first_page
    other = signed_in(tenant, "viewer", customer=second.customer)
    assert other.get(f"{page}buckets/20261030T0900Z/").status_code == 404


def test_an_applications_page_names_what_is_spread(
    tenant: Tenant, stories: tuple[Story, Story]
) -> None:
    first, _ = stories
    spread(tenant)
    reader = signed_in(tenant, "viewer", customer=first.customer)
    page = reverse("portal:application", args=[first.shop.pk])
    said = reader.get(page, {"meter": "cpu.time.allocated"}).content.decode()
    assert "share of cpu.time that nobody used" in said
