"""What operators do with an issued invoice, and what they are told where it cannot be."""

from datetime import date
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from billing.models import BillingDetails, BillingSettings, Invoice, LateUsage, TaxRate
from billing.operations import close_due, finalize_invoice, restate_invoice
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.late import note_at
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use

LIST = "/admin/billing/invoice/"
LATE = "/admin/billing/lateusage/"
ONE = ("record_payment_of_one", "void_one", "write_off_one", "mark_one_sent", "restate_one")


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 5), cpu_us=10_000 * HOUR_US)
        return story


@pytest.fixture
def draft(tenant: Tenant, story: Story) -> Invoice:
    with tenant_scope(tenant.pk):
        (invoice,) = close_due(as_of=NOVEMBER)
        return invoice


@pytest.fixture
def issued(tenant: Tenant, draft: Invoice) -> Invoice:
    with tenant_scope(tenant.pk):
        return finalize_invoice(draft, as_of=NOVEMBER)


def page(name: str, invoice: Invoice) -> str:
    return reverse(f"admin:billing_invoice_{name}", args=[invoice.pk])


def stored(tenant: Tenant, invoice: Invoice) -> Invoice:
    with tenant_scope(tenant.pk):
        return Invoice.objects.get(pk=invoice.pk)


class TestPayments:
    form = {"amount": "30", "received_on": "2026-11-05", "reference": "bank 1"}

    def test_are_recorded_once(self, tenant: Tenant, owner: Client, issued: Invoice) -> None:
        for _ in range(2):
            said = owner.post(page("record_payment_of_one", issued), self.form, follow=True)
            assert "Payment bank 1: 30.00 EUR." in said.content.decode()
        invoice = stored(tenant, issued)
        assert (invoice.status, invoice.amount_paid) == ("partly_paid", Decimal(30))
        assert "bank 1" in owner.get(page("change", issued)).content.decode()

    def test_of_too_much_say_what_is_open(self, owner: Client, issued: Invoice) -> None:
        form = self.form | {"amount": "130"}
        said = owner.post(page("record_payment_of_one", issued), form).content.decode()
        assert "100 EUR is open" in said

    def test_without_a_day_or_with_words_for_an_amount_are_asked_for_again(
        self, owner: Client, issued: Invoice
    ) -> None:
        form = {"amount": "much", "received_on": "", "reference": "x"}
        said = owner.post(page("record_payment_of_one", issued), form).content.decode()
        assert "Enter a number." in said
        assert "This field is required." in said


class TestAnInvoice:
    def test_is_taken_back_with_a_reason(
        self, tenant: Tenant, owner: Client, issued: Invoice
    ) -> None:
        assert "required" in owner.post(page("void_one", issued), {}).content.decode()
        said = owner.post(page("void_one", issued), {"reason": "billed twice"}, follow=True)
        assert "Credit note CN-1 takes it back" in said.content.decode()
        assert stored(tenant, issued).status == "void"
        assert "billed twice" in said.content.decode()

    def test_is_sent_and_written_off(self, tenant: Tenant, owner: Client, issued: Invoice) -> None:
        owner.post(page("mark_one_sent", issued))
        assert stored(tenant, issued).status == "sent"
        with tenant_scope(tenant.pk):
            noted = LogEntry.objects.filter(object_id=str(issued.pk))
            assert [str(each.get_change_message()) for each in noted] == ["Marked as sent."]
        owner.post(page("write_off_one", issued))
        assert stored(tenant, issued).status == "uncollectible"

    def test_offers_what_its_status_leaves(self, owner: Client, issued: Invoice) -> None:
        shown = owner.get(page("change", issued)).content.decode()
        for name in ONE:
            assert page(name, issued) in shown
        owner.post(page("void_one", issued), {"reason": "x"})
        shown = owner.get(page("change", issued)).content.decode()
        for name in (*ONE, "recompute_one", "review_one"):
            assert page(name, issued) not in shown

    def test_shows_its_notes_and_their_windows(
        self, tenant: Tenant, owner: Client, story: Story, issued: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            use(story.shop, at(10, 6), cpu_us=100 * HOUR_US)
            note_at(at(11, 2))
            note = restate_invoice(issued, as_of=at(11, 3))
            assert note is not None
        assert "Debit note DN-1" in owner.get(page("change", issued)).content.decode()
        shown = owner.get(page("change", note)).content.decode()
        assert "2026-10-06T00:00:00Z to 2026-10-06T01:00:00Z" in shown
        assert page("change", issued) in shown

    def test_of_another_tenant_is_a_missing_one(
        self, tenant: Tenant, other_tenant: Tenant, issued: Invoice
    ) -> None:
        stranger = signed_in(other_tenant)
        for name in (*ONE, "recompute_one", "review_one"):
            answer = stranger.post(page(name, issued), TestPayments.form | {"reason": "x"})
            assert answer.status_code == 302
            assert answer["Location"] == LIST
        assert stored(tenant, issued).status == "finalized"


class TestLateUsage:
    def test_is_restated_from_the_invoices_page_once(
        self, tenant: Tenant, owner: Client, story: Story, issued: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            use(story.shop, at(10, 6), cpu_us=100 * HOUR_US)
            note_at(at(11, 2))
        assert "stays as it is" in owner.get(page("restate_one", issued)).content.decode()
        said = owner.post(page("restate_one", issued), follow=True).content.decode()
        assert "Debit note DN-1 to Invoice 1: Shop-Ltd, 1.00 EUR" in said
        again = owner.post(page("restate_one", issued), follow=True).content.decode()
        assert "Nothing to restate" in again
        with tenant_scope(tenant.pk):
            assert issued.notes.count() == 1

    def test_is_restated_for_those_chosen_in_the_list(
        self, tenant: Tenant, owner: Client, story: Story, issued: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            use(story.shop, at(10, 6), cpu_us=1)
            note_at(at(11, 2))
        form = {"action": "restate", "_selected_action": [str(issued.pk)]}
        said = owner.post(LIST, form, follow=True).content.decode()
        assert "no note, its late usage changes no amount." in said

    def test_that_was_refused_is_billed_from_its_list(
        self, tenant: Tenant, owner: Client, story: Story, issued: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(legal_name="First Host", late_usage_days=0)
            use(story.shop, at(10, 6), cpu_us=100 * HOUR_US)
            note_at(at(11, 2))
            restate_invoice(issued, as_of=at(11, 3))
            refused = LateUsage.objects.get()
        assert "billed only if you say so" in owner.get(LATE).content.decode()
        form = {"action": "accept", "_selected_action": [str(refused.pk)]}
        signed_in(tenant, "viewer").post(LATE, form | {"confirmed": "1"})
        assert "rated as a whole" in owner.post(LATE, form).content.decode()
        said = owner.post(LATE, form | {"confirmed": "1"}, follow=True).content.decode()
        assert "Debit note DN-1 to Invoice 1: Shop-Ltd, 1.00 EUR" in said
        with tenant_scope(tenant.pk):
            assert not LateUsage.objects.exists()

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_is_restated_by_billing_alone(self, tenant: Tenant, issued: Invoice, role: str) -> None:
        assert signed_in(tenant, role).post(page("restate_one", issued)).status_code == 403


class TestDrafts:
    def test_are_recomputed_and_reviewed_on_their_page(
        self, tenant: Tenant, owner: Client, story: Story, draft: Invoice
    ) -> None:
        shown = owner.get(page("change", draft)).content.decode()
        for name in ("recompute_one", "review_one", "finalize_one"):
            assert page(name, draft) in shown
        for name in ONE:
            assert page(name, draft) not in shown
        with tenant_scope(tenant.pk):
            use(story.shop, at(10, 6), cpu_us=100 * HOUR_US)
        assert "stays a draft" in owner.get(page("recompute_one", draft)).content.decode()
        said = owner.post(page("recompute_one", draft), follow=True).content.decode()
        assert "Shop-Ltd: 101.00 EUR" in said
        said = owner.post(page("review_one", draft), follow=True).content.decode()
        assert "In review until" in said
        assert page("review_one", draft) not in said
        assert stored(tenant, draft).status == "in_review"

    def test_say_what_they_wait_for(self, tenant: Tenant, owner: Client, draft: Invoice) -> None:
        assert "your billing settings" in owner.get(LIST).content.decode()
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(legal_name="First Host", country="DE", review_days=60)
            TaxRate.objects.create(
                name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1)
            )
        form = {"action": "review", "_selected_action": [str(draft.pk)]}
        said = owner.post(LIST, form, follow=True).content.decode()
        assert "Put into review: 1." in said
        assert "its review, until" in said
        assert str(draft.pk) in owner.get(LIST, {"waits": "review"}).content.decode()
        assert str(draft.pk) not in owner.get(LIST, {"waits": "more"}).content.decode()

    def test_say_why_they_are_not_finalized(
        self, tenant: Tenant, owner: Client, draft: Invoice
    ) -> None:
        with tenant_scope(tenant.pk):
            BillingSettings.objects.create(legal_name="First Host", country="DE")
            TaxRate.objects.create(
                name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1)
            )
        said = owner.post(page("finalize_one", draft), follow=True).content.decode()
        assert "country is not known" in said
        with tenant_scope(tenant.pk):
            BillingDetails.objects.create(customer=draft.customer, country="DE")
        owner.post(page("finalize_one", draft))
        assert stored(tenant, draft).tax_total == Decimal("19.00")


class TestTheParties:
    def test_have_vat_ids_of_their_country(self, owner: Client) -> None:
        form = {
            "legal_name": "First Host", "country": "DE", "vat_id": "DE136695978", "language": "en",
            "colour": "#1f6feb", "credit_note_series": "CN-", "debit_note_series": "DN-",
            "review_days": "3", "payment_term_days": "14", "late_usage": "note",
            "late_usage_days": "60", "tax_calculator": "table",
        }  # fmt: skip
        add = reverse("admin:billing_billingsettings_add")
        assert "a check digit is wrong" in owner.post(add, form).content.decode()
        assert owner.post(add, form | {"vat_id": "DE136695976"}).status_code == 302
        assert owner.get(add).status_code == 403
