"""A provider whose customer has usage since October, an invoice of it and some credit."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from billing.models import (
    Budget,
    CreditGrant,
    Discount,
    Invoice,
    PlanVersion,
    Price,
    PriceOverride,
    TopUp,
)
from billing.operations import (
    NewGrant,
    OwnPrice,
    Rebate,
    close_due,
    draft_next_version,
    grant_credit,
    grant_discount,
    grant_price,
    open_wallet,
)
from billing.operations.budgets import BudgetTerms, add_budget
from metering.allocation_rules import state_rule
from metering.corrections import delete_usage
from metering.stated_models import AllocationRule, Correction
from tenants.buckets import buckets
from tenants.models import Policy, Tenant
from tenants.policies import draft_of
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tenants.webhook_endpoints import add_endpoint, send_test
from tenants.webhook_models import WebhookDelivery
from tests.api.calling import Program, program_of
from tests.billing.timeline import NOVEMBER, Story, at, begin_story, use


@dataclass(frozen=True)
class Provider:
    """One tenant with one of everything."""

    tenant: Tenant
    story: Story
    invoice: Invoice
    draft: PlanVersion
    price: Price
    grant: CreditGrant
    top_up: TopUp
    own_price: PriceOverride
    discount: Discount
    correction: Correction
    rule: AllocationRule
    delivery: WebhookDelivery
    budget: Budget
    policy_draft: PolicyVersion

    @property
    def ids(self) -> dict[str, UUID | str]:
        """What the paths of the document ask for, by the parameters' names."""
        return {
            "application_id": self.story.shop.pk,
            "customer_id": self.story.customer.pk,
            "plan_id": self.story.plan.pk,
            "subscription_id": self.story.subscription.pk,
            "version_id": self.draft.pk,
            "price_id": self.price.pk,
            "invoice_id": self.invoice.pk,
            "grant_id": self.grant.pk,
            "wallet_id": self.top_up.wallet_id,
            "top_up_id": self.top_up.pk,
            "own_price_id": self.own_price.pk,
            "discount_id": self.discount.pk,
            "correction_id": self.correction.pk,
            "rule_id": self.rule.pk,
            "endpoint_id": self.delivery.endpoint_id,
            "delivery_id": self.delivery.pk,
            "budget_id": self.budget.pk,
            "environment_id": self.story.shop.environment_id,
            "policy_id": self.policy_draft.policy_id,
            "policy_version_id": self.policy_draft.pk,
            "form": "json",
        }


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
        wallet = open_wallet(
            story.customer,
            "EUR",
            threshold=Decimal(5),
            top_up_amount=Decimal(20),
            enabled=True,
            as_of=NOVEMBER,
        )
        price = Price.objects.filter(plan_version=invoice.plan_version_id).first()
        assert price is not None
        own = OwnPrice(price.code, "EUR", {"unit_price": "0.01"}, at(12, 1), reason=word)
        own_price = grant_price(story.customer, own)
        draft = draft_next_version(story.plan, effective_from=at(12, 1))
        drafted = draft.prices.earliest("position")
        rebate = Rebate(f"{word} offer", at(12, 1), percent=Decimal(10))
        discount = grant_discount(story.customer, rebate)
        top_up = wallet.top_ups.get()
        correction = delete_usage(
            story.shop,
            (at(9, 1), at(9, 2)),
            reason=word,
            author=word,
            as_of=NOVEMBER,
        )
        rule = state_rule(
            "cpu.time", "evenly", starts_at=at(12, 1), author=word, as_of=NOVEMBER, host_class=word
        )
        endpoint, _ = add_endpoint(f"https://{word}.example/", as_of=NOVEMBER)
        delivery = send_test(endpoint, as_of=NOVEMBER)
        terms = BudgetTerms(f"{word} budget", Decimal(1), "EUR")
        budget = add_budget(story.customer, terms, as_of=NOVEMBER)
        policy_draft = draft_of(Policy.objects.create(name=f"{word} policy"))
    return Provider(
        *(tenant, story, invoice, draft, drafted, grant, top_up, own_price, discount),
        *(correction, rule, delivery, budget, policy_draft),
    )


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
def _fresh_buckets() -> Iterator[None]:
    yield
    buckets.forget_own()
