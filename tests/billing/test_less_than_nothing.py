"""A period that comes to less than nothing is issued as a credit note, to the minor unit."""

import re
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.core.currencies import currency_of
from billing.core.money import round_amount
from billing.documents.loading import invoice_document
from billing.models import BillingSettings, Invoice
from billing.operations import InvoiceNotVoidable, void_invoice
from billing.queries.credit import credit_left
from billing.queries.reconciliation import Reconciliation
from metering.rollup_models import Rollup
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.api.calling import done, program_of
from tests.billing.agreements import begin_contract, close_next, cpu
from tests.billing.late import note_at
from tests.billing.timeline import HOUR_US, at, use


def in_favour(currency: str, unit_price: str, hours: int) -> Invoice:
    """November without usage, with all of October's given back: so many hours at the price."""
    BillingSettings.objects.create(legal_name="First Host", late_usage="next_invoice")
    story = begin_contract(cpu(unit_price), plan_currency=currency)
    use(story.shop, at(10, 3), cpu_us=hours * HOUR_US)
    close_next(story.subscription, as_of=at(11, 2), finalize=True)
    Rollup.objects.update(cpu_time=0)
    note_at(at(11, 5))
    return close_next(story.subscription, as_of=at(12, 2), finalize=True)


def test_lists_call_it_what_it_was_issued_as(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        invoice = in_favour("EUR", "1", 10)
    admin = signed_in(tenant).get(reverse("admin:billing_invoice_changelist"))
    assert re.search(r"CN-1</a>.*?credit note", admin.content.decode(), re.DOTALL)
    reader = signed_in(tenant, "viewer", customer=invoice.customer)
    listed = reader.get(reverse("portal:invoices")).content.decode()
    assert '<td class="wide-only">credit note CN-1</td>' in listed
    said = reader.get(reverse("portal:invoice", args=[invoice.pk])).content.decode()
    assert "To be paid" not in said
    rows = done(program_of(tenant).get("/invoices"))["data"]
    assert [(row["kind"], row["issued_as"], row["total"]) for row in rows] == [
        ("invoice", "credit_note", "-10"), ("invoice", "invoice", "10"),
    ]  # fmt: skip


def test_the_admin_does_not_offer_to_void_it(tenant: Tenant) -> None:
    with tenant_scope(tenant.pk):
        invoice = in_favour("EUR", "1", 10)
    page = reverse("admin:billing_invoice_change", args=[invoice.pk])
    shown = signed_in(tenant).get(page).content.decode()
    assert reverse("admin:billing_invoice_restate_one", args=[invoice.pk]) in shown
    assert reverse("admin:billing_invoice_void_one", args=[invoice.pk]) not in shown


@pytest.mark.usefixtures("inside")
class TestAPeriodThatComesToLessThanNothing:
    @pytest.mark.parametrize(
        ("currency", "unit_price", "back"),
        [("EUR", "0.005", "0.01"), ("JPY", "0.5", "1"), ("KWD", "0.0005", "0.001")],
    )
    def test_is_a_credit_note_whose_amount_is_the_customers(
        self, currency: str, unit_price: str, back: str
    ) -> None:
        invoice = in_favour(currency, unit_price, 1)
        assert (invoice.total, invoice.reference, str(invoice)) == (
            -Decimal(back), "CN-1", "Credit note CN-1",
        )  # fmt: skip
        document = invoice_document(invoice)
        assert (document.kind, document.total, document.payable) == (
            "credit_note", Decimal(back), Decimal(back),
        )  # fmt: skip
        assert sum(line.amount for line in document.lines) == Decimal(back)
        (late,) = (line for line in document.lines if line.kind == "late_usage")
        assert late.of_kind == "usage"
        (left,) = credit_left(invoice.customer, as_of=at(12, 3))
        assert (left.currency, left.total) == (currency, Decimal(back))
        assert invoice.open_amount == 0
        assert not list(Reconciliation.begin().differences())

    def test_leaves_no_gap_in_the_numbers_of_invoices(self) -> None:
        in_favour("EUR", "1", 10)
        numbers = Invoice.objects.order_by("period_start").values_list("series", "number")
        assert list(numbers) == [("", 1), ("CN-", 1)]

    def test_is_not_taken_back(self) -> None:
        invoice = in_favour("EUR", "1", 10)
        with pytest.raises(InvoiceNotVoidable, match="less than nothing"):
            void_invoice(invoice, "wrong customer", as_of=at(12, 5))


class TestHalfAMinorUnitBelowZero:
    @pytest.mark.parametrize(
        ("currency", "amount", "rounded"),
        [
            ("EUR", "-0.005", "-0.01"), ("EUR", "-0.0049", "0"), ("JPY", "-0.5", "-1"),
            ("JPY", "-0.4999", "0"), ("KWD", "-0.0005", "-0.001"), ("KWD", "-0.00049", "0"),
        ],
    )  # fmt: skip
    def test_is_rounded_away_from_zero(self, currency: str, amount: str, rounded: str) -> None:
        assert round_amount(Decimal(amount), currency_of(currency)) == Decimal(rounded)
