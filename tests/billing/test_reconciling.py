"""`reconcile_ledger` says whether the ledger agrees with what it is made from."""

import io
import os
from decimal import Decimal

import psycopg
import pytest
from django.core.management import CommandError, call_command

from billing.models import CreditGrant, Invoice, Payment, TopUp
from billing.operations import expire_credit, post_write_off, void_grant
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.money import credit_note, draft, grant, issue, pay, subscribed, wallet_of
from tests.billing.timeline import NOVEMBER, at


def run(*arguments: str) -> list[str]:
    """What it prints; a failure's text comes last."""
    out = io.StringIO()
    try:
        call_command("reconcile_ledger", *arguments, stdout=out)
    except CommandError as failure:
        return [*out.getvalue().splitlines(), f"failed: {failure}"]
    return out.getvalue().splitlines()


def settle(invoice: Invoice, **fields: object) -> None:
    """What recording a payment or a note keeps on the invoice."""
    Invoice.objects.filter(pk=invoice.pk).update(**fields)


def everything() -> None:
    """One of each kind of entry."""
    subscription = subscribed()
    customer = subscription.customer
    grant(customer, "20", "promotional")
    grant(customer, "9", expires_at=at(11, 5))
    wallet_of(customer, "10", threshold="5")
    invoice = issue(draft(subscription, "100", tax_percent="19"))
    payment = pay(invoice, "90")
    assert payment.to_credit == 10
    settle(invoice, amount_paid=80, status="paid")
    note = credit_note(invoice, "10", tax_percent="19")
    assert note.payable == Decimal("11.90")
    lost = issue(draft(subscription, "40"))
    post_write_off(lost, as_of=at(12, 1))
    settle(lost, status="uncollectible")
    expire_credit(as_of=at(11, 6))
    void_grant(grant(customer, "3"), "by mistake", as_of=NOVEMBER)


@pytest.mark.django_db
class TestReconciling:
    def test_finds_nothing_where_all_was_posted(self, tenant: Tenant, other_tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            everything()
        assert run() == [
            "first-host: 3 documents, 1 payments, 4 grants, 1 wallets, 19 entries: no difference",
            "second-host: 0 documents, 0 payments, 0 grants, 0 wallets, 0 entries: no difference",
        ]
        assert run("--tenant", "second-host")[0].startswith("second-host: 0 documents")

    def test_finds_an_invoice_that_was_not_posted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = draft(subscribed(), "100", tax_percent="19", customer_reference="shop-ltd")
            settle(invoice, status="finalized", number=7, finalized_at=NOVEMBER)
        assert run("--tenant", "first-host") == [
            "first-host: Invoice 7 of shop-ltd: receivable is 0.00 EUR in the ledger, "
            "should be 119.00 EUR",
            "first-host: Invoice 7 of shop-ltd: revenue is 0.00 EUR in the ledger, "
            "should be -100.00 EUR",
            "first-host: Invoice 7 of shop-ltd: tax is 0.00 EUR in the ledger, "
            "should be -19.00 EUR",
            "first-host: Invoice 7 of shop-ltd: open is 0.00 EUR in the ledger, "
            "should be 119.00 EUR",
            "failed: 4 differences",
        ]

    def test_finds_money_that_was_not_posted(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            subscription = subscribed()
            invoice = issue(draft(subscription, "100", customer_reference="shop-ltd"))
            settle(invoice, credit_applied=0, amount_paid=60)
            Payment.objects.create(
                invoice=invoice,
                amount=Decimal(60),
                received_on=NOVEMBER.date(),
                reference="bank-9",
            )
            CreditGrant.objects.create(
                customer=subscription.customer, kind="paid", currency="EUR", amount=Decimal(5)
            )
            wallet = wallet_of(subscription.customer, "1")
            TopUp.objects.create(
                wallet=wallet,
                amount=Decimal(3),
                state="paid",
                requested_at=NOVEMBER,
                settled_at=NOVEMBER,
            )
        found = "\n".join(run())
        assert "Invoice 1 of shop-ltd: paid is 0.00 EUR in the ledger, should be 60.00" in found
        assert "Invoice 1 of shop-ltd: open is 100.00 EUR in the ledger, should be 40.00" in found
        assert "Payment bank-9: cash is 0.00 EUR in the ledger, should be 60.00 EUR" in found
        assert "Paid credit of 5 EUR of shop-ltd: credit is 0.00 EUR in the ledger" in found
        assert "Wallet of shop-ltd: topped up is 1.00 EUR in the ledger, should be 4.00" in found
        assert found.endswith("failed: 5 differences")

    def test_names_the_tenants_that_there_are(self, tenant: Tenant) -> None:
        assert run("--tenant", "nobody") == ["failed: no tenant 'nobody'; there are: first-host"]


@pytest.mark.django_db(transaction=True)
class TestALedgerThatWasTamperedWith:
    def test_is_found_out(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            issue(draft(subscribed(), "100", customer_reference="shop-ltd"))
        # As the owner of the tables, whom no trigger can stop.
        with psycopg.connect(os.environ["DATABASE_URL"]) as owner:
            owner.execute("SELECT set_config('hostmeter.tenant_id', %s, true)", [str(tenant.pk)])
            owner.execute("ALTER TABLE billing_posting DISABLE TRIGGER append_only")
            owner.execute("UPDATE billing_posting SET amount = 1 WHERE account = 'receivable'")
            owner.execute("ALTER TABLE billing_posting ENABLE TRIGGER append_only")
        found = run()
        assert found[0].endswith("receivable is 1.00 EUR in the ledger, should be 100.00 EUR")
        assert "(Invoice 1): sum is -99.00 EUR in the ledger, should be 0.00 EUR" in found[2]
        assert found[3] == "failed: 3 differences"
