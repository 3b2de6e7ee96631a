"""A provider whose customer has usage since October, an invoice of it and some credit."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from billing.models import CreditGrant, Invoice
from billing.operations import NewGrant, close_due, grant_credit
from tenants.models import Tenant
from tenants.rates import rates
from tenants.scope import tenant_scope
from tests.api.calling import Program, program_of
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, use


@dataclass(frozen=True)
class Provider:
    """One tenant with one of everything."""

    tenant: Tenant
    story: Story
    invoice: Invoice
    grant: CreditGrant


def provider_in(tenant: Tenant, word: str) -> Provider:
    """One of everything, with `word` in every name."""
    with tenant_scope(tenant.pk):
        story = begin_story(word, f"{word} plan")
        for day in (5, 6):
            use(story.shop, at(10, day), cpu_us=7_200_000_000, disk_bytes=3 * 10**9)
        (invoice,) = close_due(as_of=NOVEMBER)
        grant = grant_credit(
            NewGrant(story.customer, "paid", "EUR", Decimal(25), note=f"{word} credit"),
            as_of=NOVEMBER,
        )
    return Provider(tenant, story, invoice, grant)


@pytest.fixture
def provider(tenant: Tenant) -> Provider:
    return provider_in(tenant, "ours")


@pytest.fixture
def other_provider(other_tenant: Tenant) -> Provider:
    return provider_in(other_tenant, "theirs")


@pytest.fixture
def program(tenant: Tenant) -> Program:
    """With every scope."""
    return program_of(tenant)


@pytest.fixture(autouse=True)
def _fresh_rates() -> Iterator[None]:
    yield
    rates.forget()
