"""Operators take usage away as a file: by customer, application, day and meter."""

import csv
from io import StringIO
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from billing import usage_export
from tenants.access_models import AuditEntry
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import Story, application, assign, at, begin_story, use

PAGE = "/admin/usage-export/"
OCTOBER_DAYS = {"first": "2026-10-01", "last": "2026-10-31"}


def rows(client: Client, **asked: str) -> list[dict[str, str]]:
    answer = client.post(reverse("admin-usage-export"), OCTOBER_DAYS | asked)
    assert answer["Content-Type"] == "text/csv; charset=utf-8", answer.content.decode()
    return list(csv.DictReader(StringIO(answer.getvalue().decode(), newline="")))


def used(tenant: Tenant, word: str) -> Story:
    with tenant_scope(tenant.pk):
        story = begin_story(word, f"{word} plan")
        use(story.shop, at(10, 3, 9), cpu_us=5, disk_bytes=7)
        use(story.shop, at(10, 3, 10), cpu_us=2**40)
        # The customer's next day: Berlin is two hours ahead.
        use(story.shop, at(10, 3, 22, 30), cpu_us=3)
        use(story.shop, at(11, 3), cpu_us=1)
    return story


def told(found: list[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(each[name] for name in names) for each in found]


def test_holds_the_tenants_own_usage_by_customer_application_day_and_meter(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    ours, theirs = used(tenant, "ours"), used(other_tenant, "theirs")
    viewer = signed_in(tenant, "viewer")
    found = rows(viewer)
    shown = ("day", "customer", "environment", "application", "meter", "quantity", "unit")
    assert [each for each in told(found, *shown) if each[4] in ("cpu.time", "disk.written")] == [
        ("2026-10-03", "ours", "production", "ours-shop", "cpu.time", str(2**40 + 5), "µs"),
        ("2026-10-03", "ours", "production", "ours-shop", "disk.written", "7", "byte"),
        ("2026-10-04", "ours", "production", "ours-shop", "cpu.time", "3", "µs"),
        ("2026-10-04", "ours", "production", "ours-shop", "disk.written", "0", "byte"),
    ]
    assert {each["time_zone"] for each in found} == {"Europe/Berlin"}
    assert rows(viewer, customer=str(ours.customer.pk), meter="cpu.time") == [
        each for each in found if each["meter"] == "cpu.time"
    ]
    answers = [
        viewer.post(PAGE, OCTOBER_DAYS | {"customer": str(pk)}).content.decode()
        for pk in (theirs.customer.pk, uuid4())
    ]
    assert ["not one of the available choices" in each for each in answers] == [True, True]
    assert "theirs" not in answers[0]
    with tenant_scope(tenant.pk):
        entries = AuditEntry.objects.filter(action="export_downloaded").order_by("occurred_at")
        assert [(each.subject, each.customer_id) for each in entries] == [
            ("usage-2026-10-01-2026-10-31.csv", None),
            ("usage-ours-cpu.time-2026-10-01-2026-10-31.csv", ours.customer.pk),
        ]


def test_gives_each_customer_the_time_in_which_an_application_was_theirs(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story("first", "plan")
        second = Customer.objects.create(name="=Second", reference="second", time_zone="UTC")
        moved = application("moved")
        assign(moved, story.customer, at(10, 1), at(10, 5))
        assign(moved, second, at(10, 5), at(10, 8))
        assign(moved, story.customer, at(10, 8))
        for day in (4, 5, 8, 9):
            use(moved, at(10, day, 12), cpu_us=day)
    found = rows(signed_in(tenant), meter="cpu.time")
    assert told(found, "customer", "day", "quantity", "time_zone") == [
        ("first", "2026-10-04", "4", "Europe/Berlin"),
        ("first", "2026-10-08", "8", "Europe/Berlin"),
        ("first", "2026-10-09", "9", "Europe/Berlin"),
        ("second", "2026-10-05", "5", "UTC"),
    ]
    # A spreadsheet runs no name.
    assert found[-1]["customer_name"] == "'=Second"


def test_is_bounded_and_for_staff_alone(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    story = used(tenant, "ours")
    owner = signed_in(tenant)
    assert "Usage as a file" in owner.get(PAGE).content.decode()
    page = owner.post(PAGE, {"first": "2026-07-01", "last": "2026-10-31"}).content.decode()
    assert "Choose 1 to 92 days" in page
    monkeypatch.setattr(usage_export, "ROWS_MAX", 1)
    page = owner.post(PAGE, OCTOBER_DAYS).content.decode()
    assert "choose fewer days, one meter or one customer" in page
    with tenant_scope(tenant.pk):
        assert not AuditEntry.objects.filter(action="export_downloaded").exists()
    reader = signed_in(tenant, "owner", customer=story.customer)
    assert reader.post(PAGE, OCTOBER_DAYS).status_code in (302, 403)
    assert signed_in(None).get(PAGE)["Location"] == reverse("admin:index")
