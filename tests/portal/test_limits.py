"""A customer reads on an application's page which limits it was over, of their own time only."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from metering.breach_models import PolicyBreach
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
    PolicyBreach.objects.create(
        **{"limit": Decimal(500), "measured": Decimal(1_500)} | more,
        version=version, term=term, day=NOW.date(), application=story.shop,
        environment=Environment.objects.get(), first_over_at=NOW - hours_ago * HOUR,
        last_over_at=NOW - hours_ago * HOUR + HOUR / 2, standing=False, noticed_at=NOW,
    )  # fmt: skip


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
