"""Operators record bank transfers from a statement, once, after having looked at each."""

import re
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.models import CreditGrant, Invoice, Payment
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.money import draft, issue, subscribed

pytestmark = pytest.mark.django_db

PAGE = "admin:billing_invoice_bank_statement"
STATEMENT = (
    "Date;Payer;Reference;Amount;Id\n"
    "2026-11-03;Shop-Ltd;invoice 1;10,00;B-1\n"
    "2026-11-04;Nobody;?;3,00;B-2\n"
)


@pytest.fixture
def invoice(tenant: Tenant) -> Invoice:
    with tenant_scope(tenant.pk):
        return issue(draft(subscribed(), "10.00", billed_to="Shop-Ltd", time_zone="UTC"))


@pytest.fixture
def clerk(tenant: Tenant, invoice: Invoice) -> Client:
    return signed_in(tenant, "billing")


def read(clerk: Client, text: str = STATEMENT) -> str:
    file = SimpleUploadedFile("statement.csv", text.encode())
    return clerk.post(reverse(PAGE), {"file": file}).content.decode()


def confirmed(clerk: Client, page: str, **pays: str) -> str:
    found = re.search(r'name="statement" value="([^"]+)"', page)
    assert found is not None
    form = {"statement": found[1]} | {name.replace("_", "-"): said for name, said in pays.items()}
    return clerk.post(reverse(PAGE), form, follow=True).content.decode()


class TestAStatement:
    def test_is_matched_and_recorded_once(self, tenant: Tenant, clerk: Client) -> None:
        page = read(clerk)
        assert 'name="pays-0" value="1"' in page
        assert "certain: its number and amount" in page
        assert 'name="pays-1" value=""' in page
        with tenant_scope(tenant.pk):
            assert not Payment.objects.exists()
        for _ in range(2):
            confirmed(clerk, page, pays_0="1", pays_1="")
        with tenant_scope(tenant.pk):
            payment = Payment.objects.get()
            assert (payment.amount, payment.reference) == (Decimal(10), "bank B-1")
            assert Invoice.objects.get().status == "paid"
        assert "recorded: Invoice 1" in read(clerk)

    def test_of_more_than_is_open_leaves_credit(self, tenant: Tenant, clerk: Client) -> None:
        page = read(clerk, STATEMENT.replace("10,00", "12,00"))
        confirmed(clerk, page, pays_0="1")
        with tenant_scope(tenant.pk):
            assert CreditGrant.objects.get().amount == 2

    def test_that_is_not_readable_says_where(self, clerk: Client) -> None:
        assert "ow 2: " in read(clerk, "Date,Reference,Amount\nyesterday,x,1\n")
        assert "paste a statement" in clerk.post(reverse(PAGE), {"pasted": " "}).content.decode()

    def test_pays_nothing_that_is_not_open_here(
        self, tenant: Tenant, other_tenant: Tenant, clerk: Client
    ) -> None:
        with tenant_scope(other_tenant.pk):
            issue(draft(subscribed("theirs"), "10.00", series="X-", time_zone="UTC"))
        assert "no open invoice has number X-1" in confirmed(clerk, read(clerk), pays_0="X-1")
        with tenant_scope(other_tenant.pk):
            assert not Payment.objects.exists()

    def test_is_refused_to_a_viewer(self, tenant: Tenant, invoice: Invoice) -> None:
        assert signed_in(tenant, "viewer").get(reverse(PAGE)).status_code == 403
