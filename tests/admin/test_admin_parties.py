"""Who bills and who is billed: what documents could not show is said when it is saved."""

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import BillingDetails, BillingSettings
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import begin_story


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


class TestBillingDetails:
    def save(self, tenant: Tenant, owner: Client, name: str) -> str:
        with tenant_scope(tenant.pk):
            customer = begin_story().customer
        form = {"customer": str(customer.pk), "legal_name": name, "language": "en"}
        page = owner.post(reverse("admin:billing_billingdetails_add"), form, follow=True)
        with tenant_scope(tenant.pk):
            assert BillingDetails.objects.get().legal_name == name
        return page.content.decode()

    def test_in_a_script_without_a_font_come_with_a_warning(
        self, tenant: Tenant, owner: Client
    ) -> None:
        page = self.save(tenant, owner, "株式会社 松 Mail 松")
        assert "No font here has 株式会社松: PDFs show" in page
        assert "DOCUMENT_FONTS" in page

    @pytest.mark.parametrize("name", ["Pine Mail Ltd", "شركة النخيل", "Ελλάδα Київ"])
    def test_that_can_be_shown_come_without(self, tenant: Tenant, owner: Client, name: str) -> None:
        assert "No font here has" not in self.save(tenant, owner, name)


class TestBillingSettings:
    def save(self, owner: Client, logo: str = "", **changes: str) -> str:
        form = {
            "legal_name": "First Host", "language": "en", "colour": "#112233", "logo_svg": logo,
            "credit_note_series": "CN-", "debit_note_series": "DN-", "review_days": "0",
            "payment_term_days": "14", "late_usage": "note", "late_usage_days": "60",
            "tax_calculator": "table", **changes,
        }  # fmt: skip
        page = owner.post(reverse("admin:billing_billingsettings_add"), form, follow=True)
        return page.content.decode()

    def test_take_a_logo_without_what_is_no_drawing(self, tenant: Tenant, owner: Client) -> None:
        script = "<script>alert(1)</script>"
        self.save(owner, f'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/>{script}</svg>')
        with tenant_scope(tenant.pk):
            logo = BillingSettings.objects.get().logo_svg
        assert "<path" in logo
        assert "script" not in logo

    @pytest.mark.parametrize("iban", ["DE00", "DE89 3704 0044 0532 0130 01"])
    def test_refuse_an_iban_that_is_none(self, tenant: Tenant, owner: Client, iban: str) -> None:
        assert "This is no IBAN" in self.save(owner, iban=iban)
        with tenant_scope(tenant.pk):
            assert not BillingSettings.objects.exists()

    def test_take_an_iban_as_people_write_it(self, tenant: Tenant, owner: Client) -> None:
        self.save(owner, iban="DE89 3704 0044 0532 0130 00")
        with tenant_scope(tenant.pk):
            assert BillingSettings.objects.get().iban == "DE89 3704 0044 0532 0130 00"

    def test_refuse_a_logo_that_is_none(self, tenant: Tenant, owner: Client) -> None:
        assert "The logo is not XML" in self.save(owner, "logo.png")
        with tenant_scope(tenant.pk):
            assert not BillingSettings.objects.exists()

    @pytest.mark.parametrize(
        ("field", "wrong", "right", "reason"),
        [
            ("iban", "DE02120300000000202052", "DE02 1203 0000 0000 2020 51", "This is no IBAN"),
            ("bic", "BYLADEM", "BYLADEM1001", "This is no BIC"),
            ("peppol_id", "first-host", "0204:991-1-1", "Write the scheme and the identifier"),
        ],
    )
    def test_refuse_a_mistyped_number(
        self, tenant: Tenant, owner: Client, field: str, wrong: str, right: str, reason: str
    ) -> None:
        assert reason in self.save(owner, **{field: wrong})
        self.save(owner, **{field: right})
        with tenant_scope(tenant.pk):
            assert getattr(BillingSettings.objects.get(), field) == right

    def test_take_a_country_in_small_letters(self, tenant: Tenant, owner: Client) -> None:
        self.save(owner, country="de", vat_id="DE136695976")
        with tenant_scope(tenant.pk):
            assert BillingSettings.objects.get().country == "DE"

    @pytest.mark.parametrize(
        ("country", "vat_id", "is_one"),
        [
            ("DE", "de 136 695 976", True),
            ("DE", "DE136695977", False),
            ("GR", "EL094259216", True),
            ("GB", "GB980780684", True),
            ("CH", "CHE-123.456.788 MWST", True),
            ("NO", "995525828MVA", False),
        ],
    )
    def test_take_a_vat_id_of_their_country(
        self, tenant: Tenant, owner: Client, country: str, vat_id: str, is_one: bool
    ) -> None:
        page = self.save(owner, country=country, vat_id=vat_id)
        assert ("This is no VAT id of" in page) is not is_one
        with tenant_scope(tenant.pk):
            assert BillingSettings.objects.filter(vat_id=vat_id).exists() is is_one
