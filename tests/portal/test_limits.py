"""A customer reads on an application's page which limits it was over, of their own time only."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from metering.breach_models import PolicyBreach
from portal.limits import breaches_of
from tenants.models import Environment, Policy, Tenant
from tenants.policies import draft_of
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import Story, begin_story

NOW = timezone.now()
HOUR = timedelta(hours=1)


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        return begin_story()


def breach(story: Story, term: str, hours_ago: int, **more: Any) -> None:
    policy, _ = Policy.objects.get_or_create(name="calm")
    version = draft_of(policy)
    version.spend_currency = "EUR"
    version.save()
    made = PolicyBreach.objects.create(
        **{"limit": Decimal(500), "measured": Decimal(1_500), "standing": False} | more,
        version=version, term=term, day=NOW.date(), application=story.shop,
        environment=Environment.objects.get(), first_over_at=NOW - hours_ago * HOUR,
        last_over_at=NOW - hours_ago * HOUR + HOUR / 2, noticed_at=NOW,
    )  # fmt: skip
    if not made.is_of_money:
        day(made, NOW - hours_ago * HOUR, made.last_over_at, made.measured)


def day(breach: PolicyBreach, first: datetime, last: datetime, measured: Decimal | None) -> None:
    breach.days.create(
        day=first.date(), measured=measured, buckets_over=1, first_over_at=first, last_over_at=last
    )


def page(tenant: Tenant, story: Story, language: str = "en") -> str:
    client = signed_in(tenant, "viewer", customer=story.customer)
    client.cookies["django_language"] = language
    answer = client.get(reverse("portal:application", args=[story.shop.pk]))
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_the_page_says_what_was_measured_and_what_is_allowed(tenant: Tenant, story: Story) -> None:
    assert "Over its limits" not in page(tenant, story)
    with tenant_scope(tenant.pk):
        breach(story, "cpu_millicores", 2)
        breach(story, "memory_bytes", 3, limit=Decimal(2**30), measured=Decimal(3 * 2**29))
        breach(story, "rules", 4, limit=None, measured=None)
        spend = {"limit": Decimal(20), "measured": Decimal("21.5")}
        breach(story, "application_spend_max", 1, customer=story.customer, **spend)
    shown = page(tenant, story).replace("\u00a0", " ")
    assert "CPU 1.5 cores 0.5 cores" in shown
    assert "Memory 1.5 GiB 1 GiB" in shown
    assert "May not run here" in shown
    assert "€21.50 €20.00" in shown
    assert "1,5 Kerne 0,5 Kerne" in page(tenant, story, "de").replace("\u00a0", " ")


def test_what_was_another_customers_time_is_not_told(tenant: Tenant, story: Story) -> None:
    with tenant_scope(tenant.pk):
        story.shop.assignments.update(starts_at=NOW - HOUR)
        breach(story, "cpu_millicores", 2)
        spend = {"limit": Decimal(20), "measured": Decimal("21.5")}
        breach(story, "application_spend_max", 1, **spend)
    assert "Over its limits" not in page(tenant, story)


def test_of_a_breach_of_days_only_their_own_are_told(tenant: Tenant, story: Story) -> None:
    with tenant_scope(tenant.pk):
        story.shop.assignments.update(starts_at=NOW - 30 * HOUR)
        breach(story, "cpu_millicores", 2, standing=True)
        kept = PolicyBreach.objects.get()
        day(kept, NOW - 50 * HOUR, NOW - 27 * HOUR, Decimal(9_000))
        day(kept, NOW - 26 * HOUR, NOW - 3 * HOUR, Decimal(2_000))
        PolicyBreach.objects.update(first_over_at=NOW - 50 * HOUR, measured=Decimal(9_000))
        (shown,) = breaches_of(story.customer, story.shop, as_of=NOW).shown
        assert (shown.measured, shown.first_over_at) == (Decimal(2_000), NOW - 26 * HOUR)
        assert shown.standing
        story.shop.assignments.update(ends_at=NOW - 3 * HOUR)
        (shown,) = breaches_of(story.customer, story.shop, as_of=NOW).shown
        assert (shown.last_over_at, shown.standing) == (NOW - 3 * HOUR, False)
    assert "2 cores" in page(tenant, story).replace("\u00a0", " ")
