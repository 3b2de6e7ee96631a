"""A customer keeps how it is billed."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import BillingDetails
from billing.queries.parties import recipients_of
from tenants.models import Customer, Member, Tenant
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person

FORM = {
    "legal_name": "Pine Mail GmbH", "street": "Am Weg 1", "postcode": "10115", "city": "Berlin",
    "region": "", "country": "de", "vat_id": "DE136695976", "email": "ap@pine.example",
    "purchase_order": "PO 7", "buyer_reference": "", "language": "de",
    "recipients": "boss@pine.example\nap@pine.example, boss@pine.example", "currency": "",
    "time_zone": "Europe/Berlin",
}  # fmt: skip
PAGE = "/billing/"


@pytest.fixture
def payer(world: World) -> Client:
    client = Client()
    client.force_login(
        make_person("ada@first.example", world.tenant, Member.Role.OWNER, world.customer)
    )
    return client


def details(world: World) -> BillingDetails:
    with tenant_scope(world.tenant.pk):
        return BillingDetails.objects.get(customer=world.customer)


class TestTheCustomer:
    def test_saves_its_address_and_recipients(self, world: World, payer: Client) -> None:
        shown = payer.post(PAGE, FORM, follow=True).content.decode()
        assert "Saved." in shown
        kept = details(world)
        assert (kept.legal_name, kept.country, kept.language) == ("Pine Mail GmbH", "DE", "de")
        with tenant_scope(world.tenant.pk):
            assert recipients_of(world.customer) == ["ap@pine.example", "boss@pine.example"]

    def test_is_told_what_of_it_is_wrong(self, world: World, payer: Client) -> None:
        wrong = {"vat_id": "DE136695977", "recipients": "nobody", "email": "nobody"}
        shown = payer.post(PAGE, FORM | wrong).content.decode()
        assert shown.count('aria-invalid="true"') == 3
        assert "nobody is no e-mail address." in shown
        with tenant_scope(world.tenant.pk):
            assert not BillingDetails.objects.exists()

    def test_names_ten_recipients_at_most(self, world: World, payer: Client) -> None:
        many = "\n".join(f"p{number}@pine.example" for number in range(11))
        assert "at most" in payer.post(PAGE, FORM | {"recipients": many}).content.decode()

    def test_keeps_currency_and_zone_that_are_billed_in(self, world: World, payer: Client) -> None:
        payer.post(PAGE, FORM | {"currency": "USD", "time_zone": "Asia/Tokyo"})
        assert details(world).currency == ""
        with tenant_scope(world.tenant.pk):
            assert Customer.objects.get(pk=world.customer.pk).time_zone == "Europe/Berlin"
        assert "Ask First-Host to change the currency" in payer.get(PAGE).content.decode()

    def test_chooses_them_before_anything_is_billed(self, tenant: Tenant, client: Client) -> None:
        with tenant_scope(tenant.pk):
            new = Customer.objects.create(name="New", reference="new")
        client.force_login(make_person("n@first.example", tenant, Member.Role.BILLING, new))
        client.post(PAGE, FORM | {"currency": "usd", "time_zone": "Asia/Tokyo"})
        with tenant_scope(tenant.pk):
            assert Customer.objects.get(pk=new.pk).time_zone == "Asia/Tokyo"
            assert BillingDetails.objects.get(customer=new).currency == "USD"

    def test_reads_what_is_known_of_its_vat_id(self, world: World, payer: Client) -> None:
        payer.post(PAGE, FORM)
        assert "has not confirmed it yet" in payer.get(PAGE).content.decode()
        with tenant_scope(world.tenant.pk):
            BillingDetails.objects.update(
                vat_checked_id="DE136695976", vat_checked_at=timezone.now(), vat_confirmed=True
            )
        assert "was confirmed by VIES on" in payer.get(PAGE).content.decode()


class TestWhoOnlyLooks:
    def test_reads_and_changes_nothing(self, reader: Client, staff: Client, world: World) -> None:
        for client in (reader, staff):
            assert "<textarea" not in client.get(PAGE).content.decode()
            assert client.post(PAGE, FORM).status_code == 403
        with tenant_scope(world.tenant.pk):
            assert not BillingDetails.objects.exists()


def test_the_head_leads_there(reader: Client) -> None:
    assert f'href="{reverse("portal:billing")}"' in reader.get("/invoices/").content.decode()
