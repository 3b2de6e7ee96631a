"""An invoice's page leads to its files, for who may see it."""

import io
import zipfile

import pytest
from django.test import Client
from django.urls import reverse
from pypdf import PdfReader

from billing.documents.files import FORMS
from billing.models import BillingDetails, BillingSettings, Invoice
from billing.operations import close_due, finalize_invoice
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


@pytest.fixture
def draft(tenant: Tenant) -> Invoice:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 5), cpu_us=10_000 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        return draft


@pytest.fixture
def issued(tenant: Tenant, draft: Invoice) -> Invoice:
    with tenant_scope(tenant.pk):
        return finalize_invoice(draft, as_of=NOVEMBER)


def page(name: str, invoice: Invoice, *rest: str) -> str:
    return reverse(f"admin:billing_invoice_{name}", args=[invoice.pk, *rest])


def every_file(invoice: Invoice) -> list[str]:
    return [*(page("document", invoice, form) for form in FORMS), page("proof", invoice)]


class TestAnIssuedInvoice:
    def test_leads_to_all_its_files(self, owner: Client, issued: Invoice) -> None:
        shown = owner.get(page("change", issued)).content.decode()
        for file in every_file(issued):
            assert f'href="{file}"' in shown

    @pytest.mark.parametrize("form", sorted(FORMS))
    def test_gives_each_with_its_type_and_name(
        self, tenant: Tenant, owner: Client, draft: Invoice, form: str
    ) -> None:
        party = {"country": "DE", "vat_id": "DE136695976", "email": "a@b.example"}
        place = {"street": "Way 1", "postcode": "10115", "city": "Berlin"}
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(
                legal_name="First Host", phone="+49 30 1", iban="DE75512108001245126199",
                **party, **place,
            )  # fmt: skip
            BillingDetails.objects.create(
                customer=draft.customer, legal_name="Shop Ltd", **party, **place
            )
            issued = finalize_invoice(draft, as_of=NOVEMBER)
        answer = owner.get(page("document", issued, form))
        assert answer.status_code == 200
        assert answer["Content-Type"] == FORMS[form].content_type
        name = f"{issued.reference}{FORMS[form].ending}"
        assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
        assert "no-store" in answer["Cache-Control"]

    def test_gives_its_proof(self, owner: Client, issued: Invoice) -> None:
        answer = owner.get(page("proof", issued))
        assert answer["Content-Disposition"] == 'attachment; filename="proof-1.zip"'
        bundle = io.BytesIO(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
        assert zipfile.ZipFile(bundle).testzip() is None

    @pytest.mark.parametrize("form", ["cii", "ubl"])
    def test_says_what_an_electronic_invoice_lacks(
        self, owner: Client, issued: Invoice, form: str
    ) -> None:
        said = owner.get(page("document", issued, form), follow=True)
        assert said.redirect_chain[-1][0] == page("change", issued)
        assert "the seller has no country" in said.content.decode()

    def test_has_no_form_that_is_not_offered(self, owner: Client, issued: Invoice) -> None:
        assert owner.get(page("document", issued, "docx")).status_code == 404


class TestADraft:
    def test_offers_its_marked_pdf_alone(self, owner: Client, draft: Invoice) -> None:
        shown = owner.get(page("change", draft)).content.decode()
        for file in every_file(draft):
            assert (f'href="{file}"' in shown) == (file == page("document", draft, "pdf"))
        marked = PdfReader(io.BytesIO(owner.get(page("document", draft, "pdf")).content))
        assert "DRAFT" in marked.pages[0].extract_text()
        for other in every_file(draft)[1:]:
            assert owner.get(other).status_code == 404


class TestFiles:
    @pytest.mark.parametrize("role", ["owner", "operator", "billing", "viewer"])
    def test_are_for_all_who_may_see_the_invoice(
        self, tenant: Tenant, issued: Invoice, role: str
    ) -> None:
        client = signed_in(tenant, role)
        assert client.get(page("document", issued, "csv")).status_code == 200

    def test_are_not_for_customers_or_the_installations_owner(
        self, tenant: Tenant, issued: Invoice
    ) -> None:
        customers = signed_in(tenant, "viewer", customer=issued.customer)
        for file in every_file(issued):
            assert "/login/" in customers.get(file)["Location"]
            assert signed_in(None).get(file).status_code == 403

    def test_of_another_tenant_are_missing_ones(
        self, other_tenant: Tenant, issued: Invoice
    ) -> None:
        stranger = signed_in(other_tenant)
        assert issued.is_issued
        missing = str(issued.pk)[:-4] + "0000"
        for file in every_file(issued):
            answers = [stranger.get(file), stranger.get(file.replace(str(issued.pk), missing))]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
