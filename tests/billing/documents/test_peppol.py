"""Peppol BIS Billing 3 asks for more than EN 16931, and each country for more than that: the rules
that Hostmeter had broken, by their numbers, and the reasons that it gives where it cannot."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from billing.documents.document import InvoiceDocument, Party, Reference
from billing.documents.en16931 import NoEInvoice
from billing.documents.peppol import peppol_address
from billing.documents.ubl import ubl
from tests.billing.documents.samples import BUYER, SELLER, document, line
from tests.billing.documents.schematron import UBL_CREDIT_NOTE, UBL_INVOICE, broken_rules
from tests.billing.documents.strategies import documents

CHECKED = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
VAT_IDS = {
    "AT": "ATU13585627", "BE": "BE0403019261", "DE": "DE123456788", "DK": "DK13585628",
    "FI": "FI20774740", "FR": "FR32123456789", "GR": "EL094259216", "IS": "IS12345",
    "IT": "IT00743110157", "NL": "NL004495445B01", "NO": "NO995525828MVA", "SE": "SE556677889901",
}  # fmt: skip
CORRECTED = Reference("INV-6", date(2026, 10, 1))


def between(seller: str, buyer: str, **changes: Any) -> InvoiceDocument:
    """An invoice of a seller and a buyer in these countries, without anything that only Germany
    knows."""
    of = replace(SELLER, country=seller, vat_id=VAT_IDS[seller], tax_number="")
    to = replace(BUYER, country=buyer, vat_id=VAT_IDS[buyer])
    own = line(tax_percent=Decimal(25))
    return document(own, **({"seller": of, "buyer": to} | changes))


def seller(made: InvoiceDocument, **changes: str) -> InvoiceDocument:
    return replace(made, seller=replace(made.seller, **changes))


def buyer(made: InvoiceDocument, **changes: str) -> InvoiceDocument:
    return replace(made, buyer=replace(made.buyer, **changes))


def found(made: InvoiceDocument, path: str) -> list[Any]:
    root = etree.fromstring(ubl(made))
    namespaces = {prefix: uri for prefix, uri in root.nsmap.items() if prefix}
    at: list[Any] = root.xpath(path, namespaces=namespaces)
    return [each.text if isinstance(each, etree._Element) else str(each) for each in at]


def refusal(made: InvoiceDocument) -> str:
    with pytest.raises(NoEInvoice) as refused:
        ubl(made)
    return str(refused.value)


class TestPeppolAddress:
    def test_is_the_partys_own_if_it_has_one(self) -> None:
        assert peppol_address(replace(BUYER, peppol_id="0204:991-1-1")) == ("0204", "991-1-1")

    @pytest.mark.parametrize(
        ("country", "address"),
        [
            ("DE", ("9930", "DE123456788")),
            ("FR", ("9957", "FR32123456789")),
            ("DK", ("0184", "DK13585628")),
            ("FI", ("0213", "FI20774740")),
            ("GR", ("9933", "094259216")),
            ("NO", ("0192", "995525828")),
            ("SE", ("0007", "5566778899")),
        ],
    )
    def test_is_made_of_the_vat_id_otherwise(self, country: str, address: tuple[str, str]) -> None:
        assert peppol_address(Party("X", vat_id=VAT_IDS[country])) == address

    @pytest.mark.parametrize("vat_id", ["", "US123", "NO12", "SE1"])
    def test_is_unknown_where_that_is_no_address(self, vat_id: str) -> None:
        assert peppol_address(Party("X", vat_id=vat_id)) is None

    def test_without_one_there_is_no_file(self) -> None:
        assert "the buyer has no address in Peppol" in refusal(
            document(buyer=Party("X", country="US"))
        )


class TestInGermany:
    def test_says_that_how_to_pay_is_agreed_elsewhere(self) -> None:
        """DE-R-001."""
        assert found(document(iban="", bic=""), "//cac:PaymentMeans/cbc:PaymentMeansCode") == ["1"]

    @pytest.mark.parametrize(("given", "told"), [("", "pine"), ("04011000-1234-34", None)])
    def test_names_a_reference_of_the_buyer_beside_its_order(
        self, given: str, told: str | None
    ) -> None:
        """DE-R-015."""
        made = document(purchase_order="4711", buyer_reference=given)
        assert found(made, "//cbc:BuyerReference") == [told or given]

    def test_has_a_rate_of_zero_where_there_is_no_tax(self) -> None:
        """DE-R-014."""
        made = document(line(tax_category="", tax_percent=None), taxes=())
        assert found(made, "//cac:TaxSubtotal//cbc:Percent") == ["0"]
        assert found(made, "//cac:ClassifiedTaxCategory/cbc:Percent") == []
        assert broken_rules(ubl(made), UBL_INVOICE) == []

    def test_calls_a_debit_note_an_invoice_that_refers_to_another(self) -> None:
        """DE-R-017."""
        made = document(kind="debit_note", refers_to=CORRECTED)
        assert found(made, "/*/cbc:InvoiceTypeCode") == ["380"]
        assert found(made, "//cac:BillingReference//cbc:ID") == ["INV-6"]
        abroad = between("DE", "FR", kind="debit_note", refers_to=CORRECTED)
        assert found(abroad, "/*/cbc:InvoiceTypeCode") == ["383"]

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (seller(document(), phone=""), "the seller has no phone number"),
            (seller(document(), phone="none"), "the seller has no phone number"),
            (seller(document(), email=""), "the seller has no email address"),
            (seller(document(), city=""), "the seller has no city"),
            (seller(document(), postcode=""), "the seller has no postcode"),
            (buyer(document(), city=" "), "the buyer has no city"),
            (buyer(document(), postcode=""), "the buyer has no postcode"),
        ],
    )
    def test_asks_for_whom_to_ask_and_where(self, made: InvoiceDocument, reason: str) -> None:
        """DE-R-002 to DE-R-009."""
        assert refusal(made) == f"{reason}, which Peppol asks for in DE"

    def test_asks_for_none_of_it_across_the_border(self) -> None:
        made = buyer(seller(between("DE", "FR"), phone="", city=""), city="", postcode="")
        assert broken_rules(ubl(made), UBL_INVOICE) == []


class TestElsewhere:
    @pytest.mark.parametrize("country", ["DK", "SE"])
    def test_a_companys_number_stands_with_its_register(self, country: str) -> None:
        """DK-R-002, DK-R-014, SE-R-003, SE-R-004: never what the seller's letterhead says."""
        scheme, number = peppol_address(Party("X", vat_id=VAT_IDS[country])) or ("", "")
        made = between(country, "FR")
        path = "//cac:AccountingSupplierParty//cac:PartyLegalEntity/cbc:CompanyID"
        assert found(made, path) == [number]
        assert found(made, f"{path}/@schemeID") == [scheme]

    def test_a_dutch_companys_number_is_that_of_its_register(self) -> None:
        """NL-R-003."""
        path = "//cac:PartyLegalEntity/cbc:CompanyID"
        assert found(between("NL", "FR"), path) == []
        assert found(seller(between("NL", "FR"), peppol_id="0106:12345678"), path) == ["12345678"]

    def test_a_danish_party_has_no_number_without_a_scheme(self) -> None:
        """DK-R-013."""
        assert found(between("DK", "DK"), "//cac:PartyIdentification") == []
        assert len(found(between("DK", "FR"), "//cac:PartyIdentification")) == 2

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (seller(between("NL", "FR"), street=""), "the seller has no street"),
            (buyer(between("NL", "NL"), postcode=""), "the buyer has no postcode"),
            (replace(between("NL", "FR"), iban=""), "the seller has no IBAN"),
            (seller(between("IT", "FR"), city=""), "the seller has no city"),
            (seller(between("IT", "FR"), tax_number="22/815"), "tax number is none that Peppol"),
            (seller(between("SE", "FR"), tax_number="22/815"), "tax number is none that Peppol"),
            (between("IS", "FR"), "the seller has no Peppol id of scheme 0196"),
            (seller(between("DK", "FR"), peppol_id="0088:1"), "no Peppol id of scheme 0184"),
            (between("GR", "FR"), "myDATA"),
        ],
    )  # fmt: skip
    def test_what_a_country_asks_for_is_missed_by_name(
        self, made: InvoiceDocument, reason: str
    ) -> None:
        assert reason in refusal(made)

    def test_a_danish_credit_note_takes_nothing_back(self) -> None:
        """DK-R-016."""
        parts = between("DK", "DK")
        made = document(
            line(1, "-10.00"), kind="credit_note", refers_to=CORRECTED, seller=parts.seller,
            buyer=parts.buyer,
        )  # fmt: skip
        assert "a credit note of less than nothing" in refusal(made)

    def test_a_rate_that_sweden_does_not_have_is_refused(self) -> None:
        own = line(tax_percent=Decimal(19))
        parts = between("SE", "FR")
        assert "one of Sweden's" in refusal(document(own, seller=parts.seller, buyer=parts.buyer))

    @pytest.mark.parametrize("country", sorted(VAT_IDS.keys() - {"GR", "IS"}))
    @pytest.mark.parametrize("kind", ["invoice", "credit_note"])
    def test_a_domestic_document_is_valid(self, country: str, kind: str) -> None:
        refers_to = CORRECTED if kind == "credit_note" else None
        made = between(country, country, kind=kind, refers_to=refers_to)
        rules = UBL_CREDIT_NOTE if kind == "credit_note" else UBL_INVOICE
        assert broken_rules(ubl(made), rules) == []


class TestAnyDocument:
    @CHECKED
    @given(documents(), st.sampled_from(sorted(VAT_IDS)), st.sampled_from(sorted(VAT_IDS)))
    def test_has_no_empty_element_one_note_and_its_own_currency(
        self, made: InvoiceDocument, sells: str, buys: str
    ) -> None:
        """R008, R002, R003, R051, R121, R130."""
        made = replace(
            made,
            seller=replace(made.seller, country=sells, vat_id=VAT_IDS[sells], tax_number=""),
            buyer=replace(made.buyer, country=buys, vat_id=VAT_IDS[buys]),
        )
        try:
            root = etree.fromstring(ubl(made))
        except NoEInvoice:
            return
        assert not [each for each in root.iter() if not len(each) and not (each.text or "").strip()]
        assert len(root.findall("{*}Note")) <= 1
        assert [*root.iter("{*}BuyerReference", "{*}OrderReference")]
        currencies = {each.get("currencyID") for each in root.iter() if "currencyID" in each.attrib}
        assert currencies == {made.currency}
        for own in root.iter("{*}InvoiceLine", "{*}CreditNoteLine"):
            (quantity,) = own.xpath(
                "*[local-name()='InvoicedQuantity' or local-name()='CreditedQuantity']"
            )
            for base in own.iter("{*}BaseQuantity"):
                assert base.get("unitCode") == quantity.get("unitCode")
                assert Decimal(base.text or "") > 0
