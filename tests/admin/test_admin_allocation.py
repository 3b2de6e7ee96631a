"""Staff state how hosts' idle usage is spread, and see what came of it."""

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from metering.allocating import allocate_tenant
from metering.core.hours import HOUR, hour_of
from metering.models import Application, Assignment, Host
from metering.rollups import roll_up
from metering.stated_models import AllocationFailure, AllocationRule
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.metering.test_allocating import shared_host

ADD = reverse("admin:metering_allocationrule_add")
# Rules begin at most 92 days ago by the clock.
YESTERDAY = hour_of(timezone.now()).replace(hour=9) - timedelta(days=1)
DAY = {"meter": "cpu.time", "first": f"{YESTERDAY:%Y-%m-%d}", "last": f"{YESTERDAY:%Y-%m-%d}"}
BEFORE = {"meter": "cpu.time", "first": "2026-01-01", "last": "2026-01-02"}


def page_of(host: Host) -> str:
    return reverse("admin:metering_host_allocation", args=[host.pk])


def told(**changes: str) -> dict[str, str]:
    start = hour_of(timezone.now()) - HOUR
    return {
        "meter": "cpu.time",
        "spread": "evenly",
        "starts_at_0": f"{start:%Y-%m-%d}",
        "starts_at_1": f"{start:%H:%M}",
    } | changes


def text(content: bytes) -> str:
    """What a page says, with single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", content.decode())).split())


class TestStatingARule:
    def test_names_who_stated_it(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        assert client.get(ADD).status_code == 200
        answer = client.post(ADD, told(host_class="large"), follow=True)
        assert "hosts of the class large" in answer.content.decode()
        with tenant_scope(tenant.pk):
            rule = AllocationRule.objects.get()
        assert (rule.spread, rule.author) == ("evenly", "owner0@demo.example")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"starts_at_1": "10:30"}, "It starts at a full hour of UTC"),
            ({"starts_at_0": "2020-01-01"}, "It starts over 92 days ago"),
            ({"meter": "memory.used.max"}, "memory.used.max is not one of the available choices"),
        ],
    )
    def test_says_why_it_cannot_be(
        self, tenant: Tenant, changes: dict[str, str], words: str
    ) -> None:
        answer = signed_in(tenant).post(ADD, told(**changes))
        assert words in answer.content.decode()
        with tenant_scope(tenant.pk):
            assert not AllocationRule.objects.exists()

    def test_is_not_for_who_only_looks(self, tenant: Tenant) -> None:
        assert signed_in(tenant, "viewer").post(ADD, told()).status_code == 403


class TestAHostsPage:
    def test_says_who_was_given_what(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host(hour=YESTERDAY)
            Assignment.objects.create(
                application=Application.objects.get(name="shop"),
                customer=Customer.objects.create(name="Shop Ltd", reference="shop"),
                starts_at=timezone.now() - timedelta(days=90),
            )
        client = signed_in(tenant)
        said = text(client.get(page_of(host), DAY).content)
        assert "Spread over applications 0.000 0.0% 0" in said
        client.post(ADD, told(starts_at_0=DAY["first"], starts_at_1="09:00"))
        allocate_tenant(tenant.pk, as_of=timezone.now())
        roll_up(tenant.pk)
        content = client.get(page_of(host), DAY).content
        assert b"<rect" in content
        assert b"&lt;" not in content
        said = text(content)
        assert "Used by customers' applications 0.002 0.0% 6,000,002" in said
        assert "Unattributed, and the system's own 0.000 0.0% 1,014" in said
        assert "Spread over applications 3.998 4.2% 14,391,999,998" in said
        assert "shop Shop Ltd 0.002 1.999 2.001" in said
        with tenant_scope(tenant.pk):
            Host.objects.update(cpu_count=0)
        assert "Idle 3.998 99.9%" in text(client.get(page_of(host), DAY).content)

    def test_says_so_where_nothing_was_measured(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host(hour=YESTERDAY)
            Host.objects.update(cpu_count=None)
        client = signed_in(tenant)
        assert "Nothing was measured" in client.get(page_of(host), BEFORE).content.decode()
        assert "its capacity is not stated" in client.get(page_of(host), DAY).content.decode()
        wrong = DAY | {"last": f"{YESTERDAY - timedelta(days=1):%Y-%m-%d}"}
        assert "Choose 1 to 92 days" in client.get(page_of(host), wrong).content.decode()

    def test_names_the_hours_that_could_not_be_spread(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host, other = shared_host(hour=YESTERDAY), shared_host("web-2", hour=YESTERDAY)
            for which, meter, reason in (
                (host, "cpu.time", "too much"),
                (other, "cpu.time", "another's"),
                (host, "memory.used", "another meter's"),
            ):
                AllocationFailure.objects.create(
                    hour=YESTERDAY, host=which, meter=meter, reason=reason, failed_at=YESTERDAY
                )
        client = signed_in(tenant)
        said = text(client.get(page_of(host), DAY).content)
        assert f"{YESTERDAY:%Y-%m-%d} 09:00 too much" in said
        assert "another" not in said
        listed = text(client.get(reverse("admin:metering_allocationrule_changelist")).content)
        assert "Not spread, for a failure: 3." in listed
        assert f"{YESTERDAY:%Y-%m-%d}T09:00Z, cpu.time of web-1: too much" in listed

    def test_takes_no_day_that_no_clock_reaches(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            host = shared_host(hour=YESTERDAY)
        last = {"meter": "cpu.time", "first": "9999-12-31", "last": "9999-12-31"}
        page = signed_in(tenant).get(page_of(host), last)
        assert "less than or equal to" in page.content.decode()

    def test_of_another_tenant_is_a_missing_one(self, tenant: Tenant, other_tenant: Tenant) -> None:
        with tenant_scope(other_tenant.pk):
            theirs = shared_host("theirs")
        client = signed_in(tenant)
        missing = reverse("admin:metering_host_allocation", args=[uuid4()])
        for url in (page_of(theirs), missing):
            assert client.get(url).status_code == 404
