"""Granting and voiding credit, wallets, and the ledger's pages."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import CreditGrant, TopUp, Wallet
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.money import draft, grant, issue, postings, subscribed, wallet_of
from tests.billing.timeline import NOVEMBER

TRIAL_BALANCE = "admin:billing_journalentry_trial_balance"
STATEMENT = "admin:billing_journalentry_statement"


@pytest.fixture
def customer(tenant: Tenant) -> Customer:
    with tenant_scope(tenant.pk):
        return subscribed().customer


@pytest.fixture
def billing(tenant: Tenant) -> Client:
    return signed_in(tenant, "billing")


def add_grant(client: Client, customer: Customer, **changes: str) -> str:
    """What the form answers; nothing when the credit was granted."""
    form = {
        "customer": str(customer.pk), "kind": "promotional", "currency": "EUR", "amount": "20",
        "priority": "50", "price_codes": "cpu-time", "note": "welcome",
    }  # fmt: skip
    page = reverse("admin:billing_creditgrant_add")
    return client.post(page, form | changes).content.decode()


class TestGrants:
    def test_are_posted_as_they_are_made(
        self, billing: Client, customer: Customer, tenant: Tenant
    ) -> None:
        assert add_grant(billing, customer) == ""
        with tenant_scope(tenant.pk):
            made = CreditGrant.objects.get()
            assert made.price_codes == ["cpu-time"]
            assert postings() == ["credit_granted: promotion 20.00, credit -20.00"]
        listed = billing.get(reverse("admin:billing_creditgrant_changelist")).content.decode()
        assert "20.00 EUR" in listed
        assert "good" in listed

    @pytest.mark.parametrize(
        ("changes", "refusal"),
        [
            ({"amount": "0"}, "Grant more than nothing."),
            ({"amount": "0.001"}, "0.001 EUR cannot be paid: EUR has 2 decimals."),
            (
                {"price_codes": "cpu-time,gpu"},
                "No price has the code &#x27;gpu&#x27;; there are cpu-time.",
            ),
            ({"currency": "EUX"}, "Not the code of a currency in use"),
            ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "would have expired already"),
        ],
    )
    def test_that_cannot_be_made_say_why(
        self,
        billing: Client,
        customer: Customer,
        tenant: Tenant,
        changes: dict[str, str],
        refusal: str,
    ) -> None:
        assert refusal in add_grant(billing, customer, **changes)
        with tenant_scope(tenant.pk):
            assert postings() == []

    def test_are_voided_with_a_reason(
        self, billing: Client, customer: Customer, tenant: Tenant
    ) -> None:
        with tenant_scope(tenant.pk):
            made = grant(customer, "20")
        page = reverse("admin:billing_creditgrant_void", args=[made.pk])
        assert "Void this grant?" in billing.get(page).content.decode()
        assert "This field is required." in billing.post(page).content.decode()
        answer = billing.post(page, {"reason": "granted twice"}, follow=True).content.decode()
        assert "Nothing more is paid from this grant." in answer
        assert "voided: granted twice" in answer
        again = billing.post(page, {"reason": "again"}, follow=True).content.decode()
        assert "It was voided on" in again

    def test_are_made_and_voided_by_billing_alone(self, customer: Customer, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            made = grant(customer, "20")
        page = reverse("admin:billing_creditgrant_void", args=[made.pk])
        for role in ("viewer", "operator"):
            client = signed_in(tenant, role)
            assert client.get(reverse("admin:billing_creditgrant_add")).status_code == 403
            assert client.post(page, {"reason": "mine"}).status_code == 403

    def test_of_another_tenant_cannot_be_voided(self, tenant: Tenant, other_tenant: Tenant) -> None:
        with tenant_scope(other_tenant.pk):
            made = grant(subscribed("theirs").customer, "20")
        page = reverse("admin:billing_creditgrant_void", args=[made.pk])
        signed_in(tenant).post(page, {"reason": "ours"}, follow=True)
        with tenant_scope(other_tenant.pk):
            assert CreditGrant.objects.get().voided_at is None


class TestWallets:
    def add(self, client: Client, customer: Customer, **changes: str) -> str:
        form = {
            "customer": str(customer.pk), "currency": "EUR", "threshold": "10",
            "top_up_amount": "50", "enabled": "on",
        }  # fmt: skip
        return client.post(reverse("admin:billing_wallet_add"), form | changes).content.decode()

    def test_ask_for_money_at_once_and_hold_what_was_paid(
        self, billing: Client, customer: Customer, tenant: Tenant
    ) -> None:
        assert self.add(billing, customer) == ""
        with tenant_scope(tenant.pk):
            wallet = Wallet.objects.get()
        page = reverse("admin:billing_wallet_top_up_paid", args=[wallet.pk])
        assert "50.00 EUR" in billing.get(page).content.decode()
        done = billing.post(page, {"confirmed": "1"}, follow=True).content.decode()
        assert "The top-up is recorded as paid." in done
        again = billing.post(page, {"confirmed": "1"}, follow=True).content.decode()
        assert "The wallet asks for no top-up." in again
        with tenant_scope(tenant.pk):
            assert postings() == ["top_up: cash 50.00, wallet -50.00"]

    def test_ask_no_more_after_one_failed(
        self, billing: Client, customer: Customer, tenant: Tenant
    ) -> None:
        self.add(billing, customer)
        with tenant_scope(tenant.pk):
            wallet = Wallet.objects.get()
        page = reverse("admin:billing_wallet_top_up_failed", args=[wallet.pk])
        billing.post(page, {"reason": "card expired"})
        with tenant_scope(tenant.pk):
            assert TopUp.objects.get().reason == "card expired"
            assert not Wallet.objects.get().enabled

    def test_that_exist_are_not_made_again(
        self, billing: Client, customer: Customer, tenant: Tenant
    ) -> None:
        self.add(billing, customer)
        assert "The customer has a wallet in this currency." in self.add(billing, customer)
        assert "cannot be paid" in self.add(billing, customer, top_up_amount="0.001")

    def test_are_settled_by_billing_alone(self, customer: Customer, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            wallet = wallet_of(customer, "10", threshold="50")
        viewer = signed_in(tenant, "viewer")
        for name in ("paid", "failed"):
            page = reverse(f"admin:billing_wallet_top_up_{name}", args=[wallet.pk])
            assert viewer.post(page, {"reason": "mine"}).status_code == 403


class TestLedger:
    def fill(self, tenant: Tenant, reference: str) -> None:
        with tenant_scope(tenant.pk):
            subscription = subscribed(reference)
            issue(draft(subscription, "100", tax_percent="19"), as_of=NOVEMBER)

    def shown(self, client: Client, page: str, **query: Any) -> str:
        answer = client.get(reverse(page), query)
        assert answer.status_code == 200
        return answer.content.decode()

    def test_shows_both_sides_of_each_account(self, tenant: Tenant, billing: Client) -> None:
        assert "Nothing has been posted." in self.shown(billing, TRIAL_BALANCE)
        self.fill(tenant, "shop-ltd")
        page = self.shown(billing, TRIAL_BALANCE)
        for figure in ("119.00 EUR", "-100.00 EUR", "-19.00 EUR", "2026-11"):
            assert figure in page
        before = self.shown(billing, TRIAL_BALANCE, day="2026-10-31")
        assert "119.00 EUR" not in before

    def test_shows_a_customers_statement(self, tenant: Tenant, billing: Client) -> None:
        self.fill(tenant, "shop-ltd")
        days = {"first": "2026-11-01", "last": "2026-11-30"}
        page = self.shown(billing, STATEMENT, reference="shop-ltd", **days)
        assert "Invoice 1" in page
        assert "119.00 EUR" in page
        assert "first one first" in self.shown(
            billing, STATEMENT, reference="shop-ltd", first="2026-11-30", last="2026-11-01"
        )
        assert "first one first" in self.shown(
            billing, STATEMENT, reference="shop-ltd", first="2020-11-30", last="2026-11-01"
        )

    def test_knows_nothing_of_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant, billing: Client
    ) -> None:
        self.fill(other_tenant, "theirs")
        assert "Nothing has been posted." in self.shown(billing, TRIAL_BALANCE)
        days = {"first": "2026-11-01", "last": "2026-11-30"}
        page = self.shown(billing, STATEMENT, reference="theirs", **days)
        assert "There is no customer with this reference." in page

    def test_is_closed_to_a_customers_people(self, customer: Customer, tenant: Tenant) -> None:
        client = signed_in(tenant, "viewer", customer=customer)
        for page in (TRIAL_BALANCE, STATEMENT):
            assert client.get(reverse(page)).status_code == 302
