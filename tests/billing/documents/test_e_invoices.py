"""Electronic invoices hold against the official schemas and business rules, run offline."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from billing.documents.cii import cii
from billing.documents.document import InvoiceDocument, Reference
from billing.documents.en16931 import NoEInvoice, e_invoice
from billing.documents.ubl import ubl
from tests.billing.documents.samples import BUYER, SELLER, document, line, taxed_document
from tests.billing.documents.schematron import (
    CII,
    UBL_CREDIT_NOTE,
    UBL_INVOICE,
    broken_rules,
)
from tests.billing.documents.strategies import documents

CHECKED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
ZERO = Decimal(0)


def ubl_rules(made: InvoiceDocument) -> tuple[str, str]:
    return UBL_CREDIT_NOTE if made.kind == "credit_note" else UBL_INVOICE


def value(xml: bytes, name: str) -> str | None:
    """The text of the first element of a local name."""
    found = etree.fromstring(xml).iter(f"{{*}}{name}")
    return next((element.text for element in found), None)


CASES: dict[str, InvoiceDocument] = {
    "one line": document(),
    "a discount": document(
        line(), line(2, "-2.00", kind="discount", label="10% off", unit="", quantity=ZERO,
                     unit_price=None)
    ),
    "nothing but a discount": document(
        line(1, "-2.00", kind="discount", label="Welcome", unit="", unit_price=None)
    ),
    "a correction downwards": document(line(), line(2, "-3.00", kind="correction")),
    "no line": document(lines=(), total=ZERO, net=ZERO, tax=ZERO, gross=ZERO, payable=ZERO,
                        taxes=()),
    "a credit note": document(kind="credit_note", reference="CN-1", reason="Late usage",
                              refers_to=Reference("INV-6", date(2026, 10, 1))),
    "a debit note": document(kind="debit_note", reference="DN-1",
                             refers_to=Reference("INV-6", None)),
    "credit applied": document(credit_applied=Decimal("5.00"), payable=Decimal("6.90")),
    "reverse charge": taxed_document(
        [("AE", ZERO, line())], tax_inclusive=False,
        buyer=replace(BUYER, country="FR", vat_id="FR32123456789"),
    ),
    "several rates, tax included": taxed_document(
        [("S", Decimal(19), line(1, "1.19")), ("S", Decimal(7), line(2, "0.01")),
         ("Z", ZERO, line(3, "3.33"))], tax_inclusive=True,
    ),
    "yen": document(line(1, "1234", tax_category="Z", tax_percent=ZERO), currency="JPY"),
    "no tax at all": document(line(tax_category="", tax_percent=None), taxes=()),
    "nothing to pay by transfer": document(iban="", bic=""),
    "a party's bare minimum": document(
        seller=replace(SELLER, street="", postcode="", city="", email="", phone="",
                       registration=""),
        buyer=replace(BUYER, street="", postcode="", city="", email="", country="FR",
                      vat_id="FR32123456789"),
    ),
}  # fmt: skip


class TestElectronicInvoice:
    @pytest.mark.parametrize("case", CASES)
    def test_is_valid_as_cii(self, case: str) -> None:
        assert broken_rules(cii(CASES[case]), CII) == []

    @pytest.mark.parametrize("case", CASES)
    def test_is_valid_as_ubl(self, case: str) -> None:
        made = CASES[case]
        assert broken_rules(ubl(made), ubl_rules(made)) == []

    @CHECKED
    @given(documents())
    def test_of_any_charges_is_valid_in_both_forms_and_sums(self, made: InvoiceDocument) -> None:
        assert broken_rules(cii(made), CII) == []
        assert broken_rules(ubl(made), ubl_rules(made)) == []
        sums = e_invoice(made)
        lines = sum(each.amount for each in sums.lines)
        off = sum(each.amount for each in sums.allowances)
        assert lines - off + sums.tax - sums.prepaid == made.payable

    @pytest.mark.parametrize(
        ("case", "code"), [("one line", "380"), ("a credit note", "381"), ("a debit note", "383")]
    )
    def test_says_what_kind_it_is(self, case: str, code: str) -> None:
        assert value(cii(CASES[case]), "TypeCode") == code

    def test_asks_for_a_transfer_that_names_it(self) -> None:
        xml = cii(document())
        assert value(xml, "IBANID") == "DE02120300000000202051"
        assert value(xml, "PaymentReference") == "INV-7"
        assert value(xml, "DueDateDateTime") is not None

    def test_of_a_note_names_the_invoice_and_the_reason(self) -> None:
        text = cii(CASES["a credit note"]).decode()
        assert "INV-6" in text
        assert "Late usage" in text

    def test_takes_credit_off_what_is_due(self) -> None:
        xml = cii(CASES["credit applied"])
        assert value(xml, "TotalPrepaidAmount") == "5.00"
        assert value(xml, "DuePayableAmount") == "6.90"

    def test_names_the_unit_that_has_no_code(self) -> None:
        text = cii(document(line(unit="GB-hour"))).decode()
        assert 'unitCode="C62"' in text
        assert "GB-hour" in text

    def test_of_hours_is_in_hours(self) -> None:
        assert 'unitCode="HUR"' in cii(document()).decode()

    def test_of_tiers_has_the_amount_as_price_of_the_whole_quantity(self) -> None:
        (made,) = e_invoice(document(line(1, "7.77", unit_price=None))).lines
        assert (made.price, made.base_quantity, made.quantity) == (
            Decimal("7.77"), Decimal(800), Decimal(800),
        )  # fmt: skip

    def test_leaves_out_what_xml_cannot_hold(self) -> None:
        assert broken_rules(cii(document(line(label="CPU\x00\x1b time"))), CII) == []


class TestDocumentThatIsNoElectronicInvoice:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"is_draft": True}, "it is a draft"),
            ({"currency": "KWD"}, "three decimals"),
            ({"seller": replace(SELLER, country="")}, "the seller has no country"),
            ({"buyer": replace(BUYER, name="")}, "the buyer has no name"),
            ({"seller": replace(SELLER, vat_id="", tax_number="")}, "neither a VAT id nor"),
            ({"seller": replace(SELLER, vat_id="123456")}, "does not begin with its country"),
            ({"due_on": None}, "no due date"),
            ({"net": Decimal("9.99"), "gross": Decimal("11.89")}, "the lines come to 10"),
            ({"payable": Decimal("1.00")}, "payable amount"),
        ],
    )
    def test_says_why(self, changes: dict[str, Any], reason: str) -> None:
        with pytest.raises(NoEInvoice, match=reason):
            cii(document(**changes))

    def test_says_all_reasons_at_once(self) -> None:
        made = document(seller=replace(SELLER, country=""), buyer=replace(BUYER, country=""))
        with pytest.raises(NoEInvoice) as refused:
            cii(made)
        assert refused.value.reasons == ("the seller has no country", "the buyer has no country")

    def test_of_reverse_charge_needs_the_buyers_vat_id(self) -> None:
        made = taxed_document(
            [("AE", ZERO, line())], tax_inclusive=False, buyer=replace(BUYER, vat_id="")
        )
        with pytest.raises(NoEInvoice, match="the buyer has no VAT id"):
            cii(made)
