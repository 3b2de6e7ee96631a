"""Rows from files are previewed, checked one by one and kept inside the tenant."""

import csv
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.models import Subscription, TaxRate
from metering.models import Assignment
from tenants import admin_import
from tenants.access_models import AuditEntry
from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.admin.filling import fill
from tests.admin.signing_in import signed_in

CUSTOMERS = "tenants_customer"
GOOD = "reference,name,time_zone\nshop,Shop Ltd,Europe/Berlin\nbank,Bank,UTC\n"


def send(client: Client, model: str, content: str) -> str:
    """Preview a file and, where nothing is wrong with it, import it; the last page."""
    file = SimpleUploadedFile("rows.csv", content.encode(), "text/csv")
    sent = {"import_file": file, "format": "0", "resource": "0"}
    preview = client.post(reverse(f"admin:{model}_import"), sent)
    if "confirm_form" not in preview.context:
        return preview.content.decode()
    confirmed = preview.context["confirm_form"].initial
    page = client.post(reverse(f"admin:{model}_process_import"), confirmed, follow=True)
    return page.content.decode()


def errors(client: Client, model: str, content: str) -> list[str]:
    """What the preview of a file says of its rows."""
    file = SimpleUploadedFile("rows.csv", content.encode(), "text/csv")
    sent = {"import_file": file, "format": "0", "resource": "0"}
    result = client.post(reverse(f"admin:{model}_import"), sent).context["result"]
    return [str(each.error) for _, found in result.row_errors() for each in found]


class TestImporting:
    def test_adds_and_changes_customers_and_twice_changes_nothing(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        for _ in range(2):
            send(client, CUSTOMERS, GOOD)
        send(client, CUSTOMERS, GOOD.replace("Shop Ltd", "Shop AG"))
        with tenant_scope(tenant.pk):
            found = Customer.objects.order_by("reference").values_list("reference", "name")
            assert list(found) == [("bank", "Bank"), ("shop", "Shop AG")]

    def test_says_what_is_wrong_in_which_row_and_then_adds_none(self, tenant: Tenant) -> None:
        page = send(signed_in(tenant), CUSTOMERS, GOOD.replace("UTC", "Mars/Olympus"))
        assert "Mars/Olympus" in page
        assert "is not an IANA time zone" in page
        with tenant_scope(tenant.pk):
            assert not Customer.objects.exists()

    def test_takes_tax_rates(self, tenant: Tenant) -> None:
        rows = (
            "country,region,product_class,valid_from,valid_to,name,category,percent\n"
            "DE,,,2026-01-01,,VAT 19%,S,19\n"
        )
        send(signed_in(tenant), "billing_taxrate", rows)
        with tenant_scope(tenant.pk):
            assert str(TaxRate.objects.get().percent) == "19.0000"

    def test_is_of_bounded_size(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        client = signed_in(tenant)
        monkeypatch.setattr(admin_import, "ROWS_IN_MAX", 1)
        assert "at most 1 are taken at once" in send(client, CUSTOMERS, GOOD)
        monkeypatch.setattr(admin_import, "FILE_BYTES_MAX", 10)
        assert "at most 10 are taken" in send(client, CUSTOMERS, GOOD)

    def test_is_for_who_may_add(self, tenant: Tenant) -> None:
        for role in ("viewer", "operator"):
            answer = signed_in(tenant, role).get(reverse(f"admin:{CUSTOMERS}_import"))
            assert answer.status_code == 403


class TestNamesOfAnotherTenant:
    def test_answer_as_names_that_there_are_not(self, tenant: Tenant, other_tenant: Tenant) -> None:
        fill(tenant, "ours")
        fill(other_tenant, "theirs")
        with tenant_scope(other_tenant.pk):
            theirs = Customer.objects.values_list("reference", flat=True)[0]
        client = signed_in(tenant)
        rows = "customer,plan,starts_at\n{},ours plan,2027-01-01 00:00:00\n"
        for model, content in (
            ("billing_subscription", rows),
            (
                "metering_application",
                "environment,application,customer,starts_at\n"
                "production,ours-shop,{},2026-12-01 00:00:00\n",
            ),
        ):
            for name in (theirs, "nobody"):
                assert errors(client, model, content.format(name)) == [
                    f"there is no customer {name!r}"
                ]
        with tenant_scope(tenant.pk):
            assert Subscription.objects.count() == 1
            assert Assignment.objects.count() == 2


class TestExporting:
    @pytest.mark.parametrize(
        ("model", "column"),
        [
            ("billing_invoice", "billed_to"),
            ("billing_journalentry", "account"),
            ("billing_planversion", "meter"),
            ("billing_subscription", "plan"),
            ("metering_application", "customer"),
            ("tenants_customer", "reference"),
        ],
    )
    def test_writes_the_tenants_own_alone(
        self, tenant: Tenant, other_tenant: Tenant, model: str, column: str
    ) -> None:
        fill(tenant, "ours")
        fill(other_tenant, "theirs")
        client = signed_in(tenant)
        page = reverse(f"admin:{model}_export")
        form = client.get(page).context["form"]
        others = {"format", "resource", "export_items"}
        chosen = {name: "on" for name in form.fields if name not in others}
        answer = client.post(page, {"format": "0", "resource": "0", **chosen})
        text = answer.content.decode()
        rows = list(csv.DictReader(StringIO(text)))
        assert rows
        assert column in rows[0]
        assert "theirs" not in text.lower()
        with tenant_scope(tenant.pk):
            taken = AuditEntry.objects.get(action="export_downloaded")
        assert taken.details == {"rows": len(rows)}
        assert taken.actor.startswith("owner")
