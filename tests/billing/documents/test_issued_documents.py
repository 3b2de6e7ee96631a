"""What billing really issues, invoices and notes, is valid in every form, whatever its tax."""

from decimal import Decimal

import pytest

from billing.documents.cii import cii
from billing.documents.document import InvoiceDocument
from billing.documents.loading import invoice_document
from billing.documents.ubl import ubl
from billing.models import BillingDetails, BillingSettings, TaxRate
from billing.operations import close_due, finalize_invoice, restate_invoice
from metering.rollup_models import Rollup
from tests.billing.documents.focus_rules import billed_by_invoice, broken_focus_rules
from tests.billing.documents.schematron import CII, UBL_CREDIT_NOTE, UBL_INVOICE, broken_rules
from tests.billing.documents.test_exports import table
from tests.billing.late import deliver, note_at
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use

VAT_IDS = {"DE": "DE136695976", "FR": "FR40 303265045", "US": ""}


def issued(country: str, *, tax_inclusive: bool, less: bool) -> list[InvoiceDocument]:
    """An invoice of two applications, and the note that later usage, or less of it, makes."""
    BillingSettings.objects.create(
        legal_name="First Host", country="DE", vat_id="DE136695976", city="Hamburg",
        postcode="20457", phone="+49 40 555 0100", email="billing@first.example",
        prices_include_tax=tax_inclusive,
    )  # fmt: skip
    TaxRate.objects.create(
        name="VAT", country="DE", percent=Decimal(19), valid_from=at(1, 1).date()
    )
    story = begin_story()
    BillingDetails.objects.create(
        customer=story.customer, country=country, vat_id=VAT_IDS[country], city="Berlin",
        postcode="10115",
    )  # fmt: skip
    use(story.shop, at(10, 3), cpu_us=1_003 * HOUR_US, disk_bytes=12 * 10**9)
    use(story.mail, at(10, 3), cpu_us=333 * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    invoice = finalize_invoice(draft, as_of=NOVEMBER)
    if less:
        Rollup.objects.filter(application=story.shop).update(cpu_time=100 * HOUR_US)
    else:
        deliver(story.shop, at(10, 4, 7), cpu_us=250 * HOUR_US, received_at=at(11, 2))
    note = restate_invoice(invoice, as_of=at(11, 5))
    if note is None:
        pytest.fail("the usage has changed, and no note was made")
    for each in (invoice, note):
        each.refresh_from_db()
    return [invoice_document(invoice), invoice_document(note)]


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("less", [False, True])
@pytest.mark.parametrize("tax_inclusive", [False, True])
@pytest.mark.parametrize(("country", "category"), [("DE", "S"), ("FR", "AE"), ("US", "G")])
def test_is_valid(country: str, category: str, tax_inclusive: bool, less: bool) -> None:
    invoice, note = issued(country, tax_inclusive=tax_inclusive, less=less)
    assert (invoice.kind, note.kind) == ("invoice", "credit_note" if less else "debit_note")
    for document in (invoice, note):
        assert {tax.category for tax in document.taxes} == {category}
        assert broken_rules(cii(document), CII) == []
        rows = table(document, "focus")
        assert broken_focus_rules(rows) == []
        owed = -document.payable if document.kind == "credit_note" else document.payable
        assert billed_by_invoice(rows) == {document.reference: owed}
        if country in ("DE", "FR"):
            rules = UBL_CREDIT_NOTE if document.kind == "credit_note" else UBL_INVOICE
            assert broken_rules(ubl(document), rules) == []


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("tax_inclusive", [False, True])
def test_of_less_than_nothing_is_a_valid_credit_note(tax_inclusive: bool) -> None:
    BillingSettings.objects.create(
        legal_name="First Host", country="DE", vat_id="DE136695976", city="Hamburg",
        postcode="20457", phone="+49 40 555 0100", email="billing@first.example",
        prices_include_tax=tax_inclusive, late_usage="next_invoice",
    )  # fmt: skip
    TaxRate.objects.create(
        name="VAT", country="DE", percent=Decimal(19), valid_from=at(1, 1).date()
    )
    story = begin_story()
    BillingDetails.objects.create(
        customer=story.customer, country="DE", vat_id=VAT_IDS["DE"], city="Berlin",
        postcode="10115",
    )  # fmt: skip
    use(story.shop, at(10, 3), cpu_us=1_003 * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    finalize_invoice(draft, as_of=NOVEMBER)
    Rollup.objects.update(cpu_time=0)
    note_at(at(11, 5))
    use(story.mail, at(11, 3), cpu_us=333 * HOUR_US)
    (draft,) = close_due(as_of=at(12, 2))
    document = invoice_document(finalize_invoice(draft, as_of=at(12, 2)))
    assert (document.kind, document.reference) == ("credit_note", "CN-1")
    assert document.total == Decimal("10.03") - Decimal("3.33")
    assert broken_rules(cii(document), CII) == []
    assert broken_rules(ubl(document), UBL_CREDIT_NOTE) == []
    rows = table(document, "focus")
    assert broken_focus_rules(rows) == []
    assert billed_by_invoice(rows) == {document.reference: -document.payable}


@pytest.mark.usefixtures("inside")
def test_a_note_names_the_time_whose_usage_it_is_about() -> None:
    invoice, note = issued("DE", tax_inclusive=False, less=False)
    assert invoice.windows == ()
    assert note.windows == ((at(10, 4, 7), at(10, 4, 8)),)
    assert note.more_windows == 0
