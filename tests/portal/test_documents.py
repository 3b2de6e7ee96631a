"""An invoice's files are its customer's, and kept by nobody else."""

import csv
import io
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from billing.documents.files import FORMS
from billing.models import Invoice
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tests.billing.documents.focus_rules import billed_by_invoice, broken_focus_rules
from tests.portal.world import World, make_person, make_world


def address(invoice: Invoice, form: str) -> str:
    return reverse("portal:invoice-document", args=[invoice.pk, form])


def month_address(invoice: Invoice) -> str:
    month = invoice.period_start.astimezone(ZoneInfo(invoice.time_zone)).date().replace(day=15)
    return reverse("portal:focus-month", args=[month])


class TestFile:
    @pytest.mark.parametrize("form", ["pdf", "csv", "json", "focus", "focus-1.4"])
    def test_is_of_its_type_and_has_a_name(self, reader: Client, world: World, form: str) -> None:
        response = reader.get(address(world.invoice, form))
        assert response.status_code == 200
        assert response["Content-Type"] == FORMS[form].content_type
        assert response["Content-Disposition"] == (
            f'attachment; filename="{world.invoice.reference}{FORMS[form].ending}"'
        )

    def test_is_kept_by_its_reader_alone(self, reader: Client, world: World) -> None:
        first = reader.get(address(world.invoice, "pdf"))
        assert first["Cache-Control"] == "private, no-cache"
        again = reader.get(address(world.invoice, "pdf"), headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]

    def test_other_pages_are_kept_by_nobody(self, reader: Client, world: World) -> None:
        page = reader.get(reverse("portal:invoice", args=[world.invoice.pk]))
        assert "no-store" in page["Cache-Control"]

    def test_of_a_draft_is_not_there(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            draft = Invoice.objects.create(
                customer=world.customer, subscription=world.invoice.subscription,
                plan_version=world.invoice.plan_version, period_start=world.invoice.period_end,
                period_end=world.as_of, currency="EUR", total=Decimal(0), billed_to="Pine Mail",
                customer_reference="pine", time_zone="Europe/Berlin", seller="First-Host",
                plan_label="Fair use v1",
            )  # fmt: skip
        for form in FORMS:
            assert reader.get(address(draft, form)).status_code == 404

    @pytest.mark.parametrize("form", ["cii", "ubl"])
    def test_that_cannot_be_made_says_why(self, reader: Client, world: World, form: str) -> None:
        response = reader.get(address(world.invoice, form))
        assert response.status_code == 409
        assert "the seller has no country" in response.content.decode()
        assert "no-store" in response["Cache-Control"]

    def test_is_linked_on_the_invoices_page(self, reader: Client, world: World) -> None:
        page = reader.get(reverse("portal:invoice", args=[world.invoice.pk])).content.decode()
        for form in FORMS:
            assert address(world.invoice, form) in page

    def test_of_an_unknown_form_is_not_there(self, reader: Client, world: World) -> None:
        assert reader.get(address(world.invoice, "csv").replace("csv", "exe")).status_code == 404


def sent(client: Client, path: str) -> str:
    """The file that the path answers with, to its end."""
    return client.get(path).getvalue().decode()


class TestMonth:
    def test_holds_the_months_invoices_and_sums_to_them(self, reader: Client, world: World) -> None:
        page = reader.get(reverse("portal:invoice", args=[world.invoice.pk])).content.decode()
        link = page.partition("/invoices/focus/")[2].partition('"')[0]
        rows = list(
            csv.DictReader(io.StringIO(sent(reader, f"/invoices/focus/{link}"), newline=""))
        )
        assert broken_focus_rules(rows) == []
        assert billed_by_invoice(rows) == {world.invoice.reference: world.invoice.payable}

    def test_names_nothing_of_another_customer(
        self, reader: Client, world: World, other_tenant: Tenant
    ) -> None:
        second = make_world(other_tenant)
        theirs = Client()
        theirs.force_login(
            make_person("o@second.example", second.tenant, Member.Role.VIEWER, second.customer)
        )
        month = month_address(world.invoice)
        own, others = (sent(client, month) for client in (reader, theirs))
        assert "Reed Shop" not in own + others
        assert "First-Host" not in others

    def test_is_of_the_version_asked_for(self, reader: Client, world: World) -> None:
        month = month_address(world.invoice)
        rows = list(csv.DictReader(io.StringIO(sent(reader, f"{month}?version=1.4"), newline="")))
        assert broken_focus_rules(rows, "1.4") == []
        assert billed_by_invoice(rows) == {world.invoice.reference: world.invoice.payable}
        assert reader.get(f"{month}?version=0.5").status_code == 404

    def test_without_invoices_is_a_header(self, reader: Client, world: World) -> None:
        assert sent(reader, "/invoices/focus/2001-01/").count("\r\n") == 1

    @pytest.mark.parametrize("month", ["2026-13", "2026-1", "0000-01"])
    def test_that_is_none_is_not_there(self, reader: Client, world: World, month: str) -> None:
        assert reader.get(f"/invoices/focus/{month}/").status_code == 404

    def test_asks_a_stranger_to_sign_in(self, client: Client, world: World) -> None:
        assert "/sign-in/" in client.get(month_address(world.invoice))["Location"]
