"""Finding an invoice among many, and how it is paid by bank transfer."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import BillingSettings, Invoice
from billing.operations import record_payment
from tenants.models import Member
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person

PAGE = "/invoices/"


def more_invoices(world: World, count: int) -> None:
    """As many before the first, a month apart, each issued with nothing on it."""
    with tenant_scope(world.tenant.pk):
        first = Invoice.objects.filter(customer=world.customer).earliest("period_start")
        last = Invoice.objects.filter(number__isnull=False).count()
        for number in range(1, count + 1):
            start = first.period_start - number * timedelta(days=31)
            made = Invoice.objects.create(
                customer=world.customer, subscription=first.subscription,
                plan_version=first.plan_version, period_start=start,
                period_end=start + timedelta(days=31), currency="EUR", total=Decimal(0),
                billed_to="Pine Mail", customer_reference="pine", time_zone="UTC",
                seller="First-Host", plan_label="Fair use",
            )  # fmt: skip
            made.status, made.number = Invoice.Status.FINALIZED, last + number
            made.finalized_at = made.period_end
            made.save(update_fields=["status", "number", "finalized_at"])


def asked(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


class TestTheList:
    def test_costs_the_same_for_many(self, world: World, reader: Client) -> None:
        more_invoices(world, 2)
        few = asked(reader, PAGE)
        more_invoices(world, 27)
        assert asked(reader, PAGE) == few

    def test_is_narrowed_to_a_year_and_a_state(self, world: World, reader: Client) -> None:
        more_invoices(world, 30)
        with tenant_scope(world.tenant.pk):
            paid = Invoice.objects.get(pk=world.invoice.pk)
            record_payment(
                paid, paid.open_amount, received_on=world.as_of.date(), reference="bank 1",
                as_of=world.as_of,
            )  # fmt: skip
        link = reverse("portal:invoice", args=[world.invoice.pk])
        assert link in reader.get(PAGE, {"state": "paid"}).content.decode()
        assert link not in reader.get(PAGE, {"state": "unpaid"}).content.decode()
        old = world.as_of.year - 2
        page = reader.get(PAGE, {"year": str(old)}).content.decode()
        assert f'<option value="{old}" selected>' in page
        assert link not in page

    def test_says_that_none_is_like_that(self, reader: Client) -> None:
        page = reader.get(PAGE, {"kind": "debit_note"}).content.decode()
        assert "No invoice is like that." in page

    @pytest.mark.parametrize("query", [{"state": "x' OR 1"}, {"year": "99999"}, {"page": "-3"}])
    def test_shows_all_for_what_is_no_choice(self, reader: Client, query: dict[str, str]) -> None:
        assert reader.get(PAGE, query).status_code == 200


class TestPayingByTransfer:
    def test_is_explained_where_the_provider_has_an_account(
        self, world: World, reader: Client
    ) -> None:
        page = reverse("portal:invoice", args=[world.invoice.pk])
        assert "Pay by bank transfer" not in reader.get(page).content.decode()
        with tenant_scope(world.tenant.pk):
            BillingSettings.objects.create(
                legal_name="First Host GmbH", country="DE", iban="DE89370400440532013000"
            )
        shown = reader.get(page).content.decode()
        assert "DE89 3704 0044 0532 0130 00" in shown
        assert "RF741" in shown
        assert 'role="img"' in shown


def test_a_viewer_is_not_asked_to_pay(world: World, reader: Client) -> None:
    page = reverse("portal:invoice", args=[world.invoice.pk])
    payer = Client()
    payer.force_login(
        make_person("b@first.example", world.tenant, Member.Role.BILLING, world.customer)
    )
    assert "Pay now" not in reader.get(page).content.decode()
    assert "Pay now" in payer.get(page).content.decode()


def test_a_state_is_said_in_german(world: World, reader: Client) -> None:
    page = reader.get(PAGE, headers={"Accept-Language": "de"}).content.decode()
    assert ">festgeschrieben<" in page
