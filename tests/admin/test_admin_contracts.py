"""Writing what is agreed: what no invoice could have is refused, in words."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Discount, PriceOverride, Subscription
from billing.operations import close_due, finalize_invoice, grant_discount
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.agreements import begin_contract, rebate
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, use


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        return begin_contract()


def send(client: Client, model: str, form: dict[str, str], *page: Any) -> str:
    """What the form answers; nothing when it took it."""
    name = "change" if page else "add"
    answer = client.post(reverse(f"admin:billing_{model}_{name}", args=page), form)
    return answer.content.decode()


def dated(**instants: str) -> dict[str, str]:
    halves: dict[str, str] = {}
    for name, written in instants.items():
        day, _, clock = written.partition(" ")
        halves |= {f"{name}_0": day, f"{name}_1": clock}
    return halves


class TestASubscription:
    def form(self, story: Story, **changes: str) -> dict[str, str]:
        return {
            "customer": str(story.customer.pk), "plan": str(story.plan.pk), "cycle": "calendar",
            "interval": "monthly", "proration": "days", "commitment_interval": "yearly",
            **dated(starts_at="2027-01-01 00:00", ends_at="", trial_ends_at="2027-01-15 00:02"),
            **changes,
        }  # fmt: skip

    def test_is_taken_with_what_is_agreed(
        self, tenant: Tenant, owner: Client, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            Subscription.objects.update(ends_at=at(12, 1))
        form = self.form(story, interval="quarterly", commitment="500", currency="USD")

        assert send(owner, "subscription", form) == ""
        with tenant_scope(tenant.pk):
            made = Subscription.objects.get(interval="quarterly")
            assert (made.proration, made.paid_in, made.commitment) == ("days", "USD", Decimal(500))
            assert made.trial_ends_at is not None
            assert made.trial_ends_at.minute == 0

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"currency": "XXQ"}, "XXQ"),
            (
                {"interval": "yearly", "commitment": "5", "commitment_interval": "monthly"},
                "It is billed yearly and committed monthly.",
            ),
            ({"commitment": "0"}, "A commitment is an amount above zero"),
        ],
    )
    def test_that_cannot_be_billed_is_refused(
        self, tenant: Tenant, owner: Client, story: Story, changes: dict[str, str], reason: str
    ) -> None:
        with tenant_scope(tenant.pk):
            Subscription.objects.update(ends_at=at(12, 1))

        assert reason in send(owner, "subscription", self.form(story, **changes))


class TestACustomersOwnPrice:
    def form(self, story: Story, **changes: str) -> dict[str, str]:
        return {
            "customer": str(story.customer.pk), "code": "cpu", "currency": "EUR",
            "definition": '{"unit_price": "0.5"}', "reason": "offer 7",
            **dated(starts_at="2026-10-01 00:00", ends_at=""), **changes,
        }  # fmt: skip

    def test_is_taken(self, tenant: Tenant, owner: Client, story: Story) -> None:
        assert send(owner, "priceoverride", self.form(story)) == ""
        with tenant_scope(tenant.pk):
            assert PriceOverride.objects.get().definition == {"unit_price": "0.5"}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"code": "gpu"}, "No price has the code &#x27;gpu&#x27; in EUR; there are cpu."),
            ({"definition": '{"unit_price": 0.5}'}, "Write numbers as text"),
            ({"definition": '{"meter": "x"}'}, "is the plan&#x27;s"),
            ({"currency": "XXQ"}, "XXQ"),
            ({"definition": '{"tiers": [{"up_to": null, "unit_price": "1"}]}'}, "has no tiers"),
        ],
    )
    def test_that_no_price_can_be_is_refused(
        self, owner: Client, story: Story, changes: dict[str, str], reason: str
    ) -> None:
        assert reason in send(owner, "priceoverride", self.form(story, **changes))

    def test_leaves_what_is_finalized_alone(
        self, tenant: Tenant, owner: Client, story: Story
    ) -> None:
        assert send(owner, "priceoverride", self.form(story)) == ""
        with tenant_scope(tenant.pk):
            for draft in close_due(as_of=NOVEMBER):
                finalize_invoice(draft, as_of=NOVEMBER)
            own = PriceOverride.objects.get()
        refusal = "The customer is invoiced up to 2026-11-01 00:00"

        assert refusal in send(owner, "priceoverride", self.form(story))
        ended = dated(ends_at="2026-10-15 00:00")
        assert refusal in send(owner, "priceoverride", ended, own.pk)
        assert send(owner, "priceoverride", dated(ends_at="2026-11-15 00:00"), own.pk) == ""


class TestADiscount:
    def form(self, story: Story, **changes: str) -> dict[str, str]:
        return {
            "name": "Welcome", "customer": str(story.customer.pk), "percent": "10",
            "position": "1", "duration": "once", "price_codes": "cpu",
            **dated(starts_at="2026-10-01 00:00", ends_at=""), **changes,
        }  # fmt: skip

    def test_is_taken(self, tenant: Tenant, owner: Client, story: Story) -> None:
        assert send(owner, "discount", self.form(story)) == ""
        with tenant_scope(tenant.pk):
            assert Discount.objects.get().price_codes == ["cpu"]

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"percent": ""}, "A discount is a percentage above 0 and up to 100"),
            ({"amount": "5", "currency": "EUR"}, "A discount is a percentage above 0"),
            ({"customer": ""}, "A discount is of a customer, a subscription or a plan."),
            ({"price_codes": "cpu, gpu"}, "No price has the code &#x27;gpu&#x27;; there are cpu."),
            ({"duration": "periods"}, "Say for how many periods"),
        ],
    )
    def test_that_no_invoice_could_have_is_refused(
        self, owner: Client, story: Story, changes: dict[str, str], reason: str
    ) -> None:
        assert reason in send(owner, "discount", self.form(story, **changes))

    def test_that_was_invoiced_is_ended_after_that_alone(
        self, tenant: Tenant, owner: Client, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            discount = grant_discount(story.customer, rebate())
            use(story.shop, at(10, 3), cpu_us=HOUR_US)
            for draft in close_due(as_of=NOVEMBER):
                finalize_invoice(draft, as_of=NOVEMBER)
        refusal = "Periods between the old end and the new one are invoiced and finalized."

        for end, refused in (("2026-10-01 00:00", True), ("2026-11-01 00:00", False)):
            answer = send(owner, "discount", dated(ends_at=end), discount.pk)
            assert (refusal in answer) == refused

        with tenant_scope(tenant.pk):
            assert Discount.objects.get().ends_at == NOVEMBER
