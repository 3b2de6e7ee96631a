"""What happens to an invoice: review, sending, payment, and being taken back or given up."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from billing.closing import advance_drafts
from billing.models import BillingDetails, BillingSettings, Invoice, Payment, TaxRate
from billing.operations import (
    DocumentNotIssued,
    InvoiceNotPayable,
    NewGrant,
    PaymentDiffers,
    PaymentExceedsOpen,
    PaymentNotUsable,
    TransitionNotAllowed,
    begin_review,
    close_due,
    finalize_invoice,
    grant_credit,
    mark_overdue,
    mark_sent,
    record_payment,
    void_invoice,
    write_off,
)
from billing.queries.credit import credit_left
from billing.queries.reconciliation import Reconciliation
from metering.models import Host
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.at_once import at_once
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use

DAY = date(2026, 11, 10)
LATER = at(11, 10)


def drafted(cpu_hours: int = 10_000) -> tuple[Story, Invoice]:
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=cpu_hours * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    return story, draft


def issued(cpu_hours: int = 10_000) -> Invoice:
    return finalize_invoice(drafted(cpu_hours)[1], as_of=NOVEMBER)


def taxed(percent: str = "19") -> None:
    BillingSettings.objects.create(legal_name="First Host GmbH", country="DE")
    TaxRate.objects.create(
        name=f"VAT {percent}%", country="DE", percent=Decimal(percent), valid_from=date(2020, 1, 1)
    )


def pay(invoice: Invoice, amount: str, reference: str = "a", **options: bool) -> Payment:
    return record_payment(
        invoice,
        Decimal(amount),
        received_on=DAY,
        reference=reference,
        as_of=LATER,
        **options,
    )


def reconciled() -> bool:
    return list(Reconciliation.begin().differences()) == []


@pytest.mark.usefixtures("inside")
class TestReview:
    def test_lasts_as_long_as_the_tenant_chose_and_then_finalizes(self, tenant: Tenant) -> None:
        _, draft = drafted()
        Host.objects.update(last_seen_at=at(11, 9), last_window_end=at(11, 9))
        BillingSettings.objects.create(review_days=5)
        assert advance_drafts(tenant.pk, as_of=NOVEMBER).invoices == []
        draft.refresh_from_db()
        assert (draft.status, draft.review_until) == ("in_review", at(11, 6))
        assert advance_drafts(tenant.pk, as_of=at(11, 5, 23)).invoices == []
        (invoice,) = advance_drafts(tenant.pk, as_of=at(11, 6)).invoices
        assert (invoice.status, invoice.reference) == ("finalized", "1")

    def test_goes_on_while_usage_is_missing(self, tenant: Tenant) -> None:
        _, draft = drafted()
        BillingSettings.objects.create(review_days=0)
        Host.objects.update(last_seen_at=at(10, 20), last_window_end=at(10, 20))
        assert advance_drafts(tenant.pk, as_of=NOVEMBER).incomplete == [draft]
        draft.refresh_from_db()
        assert draft.status == "in_review"

    def test_does_not_begin_by_itself_without_billing_settings(self, tenant: Tenant) -> None:
        _, draft = drafted()
        advance_drafts(tenant.pk, as_of=NOVEMBER)
        draft.refresh_from_db()
        assert draft.status == "draft"

    def test_begins_once(self) -> None:
        _, draft = drafted()
        first = begin_review(draft, as_of=NOVEMBER)
        assert begin_review(draft, as_of=at(11, 3)).review_until == first.review_until
        finalize_invoice(draft, as_of=at(11, 3))
        with pytest.raises(TransitionNotAllowed, match="not reviewed any more"):
            begin_review(draft, as_of=at(11, 4))


@pytest.mark.usefixtures("inside")
class TestFinalizing:
    def test_freezes_who_bills_and_who_is_billed(self) -> None:
        story, draft = drafted()
        details = BillingDetails.objects.create(
            customer=story.customer,
            legal_name="Shop Ltd",
            country="DE",
            purchase_order="PO 7",
            peppol_id="0204:991-1-1",
        )
        settings = BillingSettings.objects.create(
            legal_name="First Host GmbH", vat_id="DE136695976", payment_term_days=30
        )
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        for row in (details, settings):
            row.legal_name = "Renamed"
            row.save()
        invoice.refresh_from_db()
        assert invoice.seller_details["legal_name"] == "First Host GmbH"
        assert invoice.seller_details["vat_id"] == "DE136695976"
        assert invoice.buyer_details["legal_name"] == "Shop Ltd"
        assert invoice.buyer_details["purchase_order"] == "PO 7"
        assert invoice.buyer_details["peppol_id"] == "0204:991-1-1"
        assert invoice.due_at == NOVEMBER + timedelta(days=30)

    def test_numbers_each_series_on_its_own(self) -> None:
        BillingSettings.objects.create(invoice_series="INV-", credit_note_series="CR-")
        first = issued()
        note = void_invoice(first, "wrong plan", as_of=NOVEMBER)
        other = begin_story("other", "Other")
        (draft,) = [each for each in close_due(as_of=NOVEMBER) if each.customer == other.customer]
        second = finalize_invoice(draft, as_of=NOVEMBER)
        assert [each.reference for each in (first, note, second)] == ["INV-1", "CR-1", "INV-2"]

    def test_of_nothing_is_paid_at_once(self) -> None:
        assert issued(0).status == "paid"

    def test_spends_the_customers_credit_first(self) -> None:
        story, draft = drafted()
        grant_credit(NewGrant(story.customer, "promotional", "EUR", Decimal(30)), as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert (invoice.credit_applied, invoice.open_amount) == (Decimal(30), Decimal(70))
        pay(invoice, "70")
        invoice.refresh_from_db()
        assert invoice.status == "paid"
        assert reconciled()


@pytest.mark.usefixtures("inside")
class TestPayments:
    def test_in_parts_pay_the_invoice(self) -> None:
        invoice = issued()
        for amount, reference, status, left in (
            ("30", "a", "partly_paid", Decimal(70)),
            ("30", "b", "partly_paid", Decimal(40)),
            ("40", "c", "paid", Decimal(0)),
        ):
            pay(invoice, amount, reference)
            invoice.refresh_from_db()
            assert (invoice.status, invoice.open_amount) == (status, left)
        assert reconciled()

    def test_of_one_reference_count_once(self) -> None:
        invoice = issued()
        assert pay(invoice, "30") == pay(invoice, "30")
        invoice.refresh_from_db()
        assert invoice.amount_paid == 30
        with pytest.raises(PaymentDiffers, match="a is recorded with 30 on 2026-11-10"):
            pay(invoice, "31")

    def test_of_more_than_is_open_become_credit_only_if_wanted(self) -> None:
        invoice = issued()
        with pytest.raises(PaymentExceedsOpen, match="100 EUR is open"):
            pay(invoice, "120")
        payment = pay(invoice, "120", excess_to_credit=True)
        invoice.refresh_from_db()
        assert (payment.applied, payment.to_credit, invoice.amount_paid) == (
            Decimal(100),
            Decimal(20),
            Decimal(100),
        )
        assert [left.total for left in credit_left(invoice.customer, as_of=LATER)] == [20]
        assert reconciled()

    @pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
    def test_are_amounts_of_the_currency(self, amount: str) -> None:
        with pytest.raises(PaymentNotUsable, match=f"{amount} EUR is no amount"):
            pay(issued(), amount)

    def test_have_a_reference(self) -> None:
        with pytest.raises(PaymentNotUsable, match="needs a reference"):
            pay(issued(), "1", " ")

    def test_are_not_taken_for_drafts_and_credit_notes(self) -> None:
        _, draft = drafted()
        with pytest.raises(DocumentNotIssued):
            pay(draft, "1")
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        note = void_invoice(invoice, "wrong", as_of=NOVEMBER)
        for each in (note, invoice):
            with pytest.raises(InvoiceNotPayable):
                pay(each, "1")


@pytest.mark.usefixtures("inside")
class TestSending:
    def test_counts_the_first_time_and_leaves_what_is_paid(self) -> None:
        invoice = issued()
        assert mark_sent(invoice, as_of=at(11, 2)).status == "sent"
        assert mark_sent(invoice, as_of=at(11, 3)).sent_at == at(11, 2)
        other = begin_story("other", "Other")
        (draft,) = [each for each in close_due(as_of=NOVEMBER) if each.customer == other.customer]
        with pytest.raises(DocumentNotIssued):
            mark_sent(draft, as_of=NOVEMBER)
        free = finalize_invoice(draft, as_of=NOVEMBER)
        assert mark_sent(free, as_of=NOVEMBER).status == "paid"


@pytest.mark.usefixtures("inside")
class TestOverdue:
    def test_is_what_is_due_and_open_until_all_of_it_is_paid(self) -> None:
        invoice = issued()
        pay(invoice, "30")
        assert mark_overdue(as_of=at(11, 15)) == []
        assert mark_overdue(as_of=at(11, 16)) == [invoice]
        assert mark_overdue(as_of=at(11, 17)) == []
        pay(invoice, "30", "b")
        invoice.refresh_from_db()
        assert invoice.status == "overdue"
        pay(invoice, "40", "c")
        invoice.refresh_from_db()
        assert invoice.status == "paid"

    def test_is_never_a_credit_note_or_what_is_paid(self) -> None:
        invoice = issued()
        void_invoice(invoice, "wrong", as_of=NOVEMBER)
        assert mark_overdue(as_of=at(12, 31)) == []


@pytest.mark.usefixtures("inside")
class TestWritingOff:
    def test_gives_up_what_is_open_and_takes_money_that_comes_after_all(self) -> None:
        invoice = issued()
        pay(invoice, "30")
        assert write_off(invoice, as_of=LATER).status == "uncollectible"
        assert write_off(invoice, as_of=at(11, 20)).status == "uncollectible"
        pay(invoice, "70", "b")
        invoice.refresh_from_db()
        assert (invoice.status, invoice.open_amount) == ("paid", Decimal(0))
        assert reconciled()

    def test_needs_something_open(self) -> None:
        invoice = issued()
        pay(invoice, "100")
        with pytest.raises(TransitionNotAllowed, match="is paid"):
            write_off(invoice, as_of=LATER)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_payment_recorded_twice_counts_once(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = issued()
        first, second = at_once(
            tenant.pk, lambda: pay(invoice, "60").pk, lambda: pay(invoice, "60").pk
        )
        assert first == second
        with tenant_scope(tenant.pk):
            assert Invoice.objects.get().amount_paid == 60

    def test_two_payments_never_pay_more_than_is_open(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = issued()

        def paying(reference: str) -> str:
            try:
                return str(pay(invoice, "60", reference).applied)
            except PaymentExceedsOpen:
                return "refused"

        assert sorted(at_once(tenant.pk, lambda: paying("a"), lambda: paying("b"))) == [
            "60",
            "refused",
        ]

    def test_voiding_twice_makes_one_credit_note(self, tenant: Tenant) -> None:
        with tenant_scope(tenant.pk):
            invoice = issued()

        def void() -> str:
            return void_invoice(invoice, "wrong", as_of=LATER).reference

        assert at_once(tenant.pk, void, void) == ["CN-1", "CN-1"]
