"""EN 16931 in the syntax UBL 2.1, as Peppol BIS Billing 3 sends it.

Elements come in the order of the schema, which is not quite the same for an invoice and a credit
note. What Peppol asks for beyond the standard is in `peppol`.
"""

from decimal import Decimal
from typing import Final

from billing.documents.document import InvoiceDocument, Party
from billing.documents.en16931 import (
    EInvoice,
    ELine,
    ETax,
    NoEInvoice,
    Taxed,
    e_invoice,
    written,
)
from billing.documents.peppol import (
    is_domestic,
    legal_id,
    not_in_peppol,
    peppol_address,
    type_code,
)
from billing.documents.xml import Branch

_UBL: Final = "urn:oasis:names:specification:ubl:schema:xsd"
_CUSTOMIZATION: Final = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
_PROFILE: Final = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
_SEPA_TRANSFER: Final = "58"
# How it is to be paid is agreed elsewhere.
_NOT_DEFINED: Final = "1"


def ubl(document: InvoiceDocument) -> bytes:
    """The electronic invoice. Raises en16931.NoEInvoice."""
    made = e_invoice(document)
    reasons = list(not_in_peppol(document))
    if reasons:
        raise NoEInvoice(reasons)
    return _Writer(made).written()


class _Writer:
    def __init__(self, made: EInvoice) -> None:
        self.made = made
        self.document = made.document
        self.is_german = is_domestic(self.document, "DE")
        self.kind = "CreditNote" if made.is_credit_note else "Invoice"
        namespaces = {
            "": f"{_UBL}:{self.kind}-2",
            "cac": f"{_UBL}:CommonAggregateComponents-2",
            "cbc": f"{_UBL}:CommonBasicComponents-2",
        }
        self.root = Branch.root(self.kind, namespaces)

    def written(self) -> bytes:
        self._head()
        self._references()
        self._party("cac:AccountingSupplierParty", self.document.seller, is_seller=True)
        self._party("cac:AccountingCustomerParty", self.document.buyer, is_seller=False)
        self._delivery()
        self._payment()
        self._allowances()
        self._taxes()
        self._totals()
        for line in self.made.lines:
            self._line(line)
        return self.root.to_bytes()

    def _head(self) -> None:
        root, document = self.root, self.document
        root.leaf("cbc:CustomizationID", _CUSTOMIZATION)
        root.leaf("cbc:ProfileID", _PROFILE)
        root.leaf("cbc:ID", document.reference)
        root.leaf("cbc:IssueDate", document.issued_on.isoformat())
        if document.due_on is not None and not self.made.is_credit_note:
            root.leaf("cbc:DueDate", document.due_on.isoformat())
        root.leaf(f"cbc:{self.kind}TypeCode", type_code(document, self.made.type_code))
        for note in self.made.notes:
            root.leaf("cbc:Note", note)
        root.leaf("cbc:DocumentCurrencyCode", document.currency)
        # Peppol asks for a buyer's reference or an order (R003), Germany for the former (DE-R-015).
        is_ordered = document.purchase_order and not self.is_german
        fallback = "" if is_ordered else document.buyer.identifier
        root.leaf("cbc:BuyerReference", document.buyer_reference or fallback)

    def _references(self) -> None:
        document = self.document
        period = self.root.branch("cac:InvoicePeriod")
        period.leaf("cbc:StartDate", document.first_day.isoformat())
        period.leaf("cbc:EndDate", document.last_day.isoformat())
        if document.purchase_order:
            self.root.branch("cac:OrderReference").leaf("cbc:ID", document.purchase_order)
        if document.refers_to is not None:
            earlier = self.root.branch("cac:BillingReference").branch(
                "cac:InvoiceDocumentReference"
            )
            earlier.leaf("cbc:ID", document.refers_to.reference)
            if document.refers_to.issued_on is not None:
                earlier.leaf("cbc:IssueDate", document.refers_to.issued_on.isoformat())

    def _party(self, name: str, party: Party, *, is_seller: bool) -> None:
        branch = self.root.branch(name).branch("cac:Party")
        address = peppol_address(party)
        if address is not None:
            branch.leaf("cbc:EndpointID", address[1], schemeID=address[0])
        # In Denmark only numbers of a scheme stand here (DK-R-013), and empty elements nowhere.
        if party.identifier and not is_domestic(self.document, "DK"):
            branch.branch("cac:PartyIdentification").leaf("cbc:ID", party.identifier)
        branch.branch("cac:PartyName").leaf("cbc:Name", party.name)
        postal = branch.branch("cac:PostalAddress")
        postal.leaf("cbc:StreetName", party.street)
        postal.leaf("cbc:CityName", party.city)
        postal.leaf("cbc:PostalZone", party.postcode)
        postal.leaf("cbc:CountrySubentity", party.region)
        postal.branch("cac:Country").leaf("cbc:IdentificationCode", party.country)
        if not self.made.outside_vat:
            self._registration(branch, party.vat_id, "VAT")
            self._registration(branch, party.tax_number if is_seller else "", "TAX")
        legal = branch.branch("cac:PartyLegalEntity")
        legal.leaf("cbc:RegistrationName", party.name)
        scheme, number = legal_id(party)
        legal.leaf("cbc:CompanyID", number, **({"schemeID": scheme} if scheme else {}))
        if is_seller and party.phone and party.email:
            contact = branch.branch("cac:Contact")
            contact.leaf("cbc:Name", party.name)
            contact.leaf("cbc:Telephone", party.phone)
            contact.leaf("cbc:ElectronicMail", party.email)

    @staticmethod
    def _registration(branch: Branch, number: str, scheme: str) -> None:
        if number:
            tax = branch.branch("cac:PartyTaxScheme")
            tax.leaf("cbc:CompanyID", number)
            tax.branch("cac:TaxScheme").leaf("cbc:ID", scheme)

    def _delivery(self) -> None:
        delivery = self.root.branch("cac:Delivery")
        delivery.leaf("cbc:ActualDeliveryDate", self.document.last_day.isoformat())
        if any(tax.taxed.category == "K" for tax in self.made.taxes):
            place = delivery.branch("cac:DeliveryLocation").branch("cac:Address")
            place.leaf("cbc:CityName", self.document.buyer.city)
            place.leaf("cbc:PostalZone", self.document.buyer.postcode)
            place.branch("cac:Country").leaf("cbc:IdentificationCode", self.document.buyer.country)

    def _payment(self) -> None:
        document = self.document
        if document.iban:
            means = self.root.branch("cac:PaymentMeans")
            means.leaf("cbc:PaymentMeansCode", _SEPA_TRANSFER)
            means.leaf("cbc:PaymentID", document.reference)
            account = means.branch("cac:PayeeFinancialAccount")
            account.leaf("cbc:ID", document.iban)
            if document.bic:
                account.branch("cac:FinancialInstitutionBranch").leaf("cbc:ID", document.bic)
        elif self.is_german:
            # It is to say how to pay (DE-R-001).
            self.root.branch("cac:PaymentMeans").leaf("cbc:PaymentMeansCode", _NOT_DEFINED)
        if self.made.terms:
            self.root.branch("cac:PaymentTerms").leaf("cbc:Note", self.made.terms)

    def _allowances(self) -> None:
        for allowance in self.made.allowances:
            branch = self.root.branch("cac:AllowanceCharge")
            branch.leaf("cbc:ChargeIndicator", "false")
            branch.leaf("cbc:AllowanceChargeReasonCode", allowance.reason_code)
            branch.leaf("cbc:AllowanceChargeReason", allowance.reason)
            self._amount(branch, "cbc:Amount", allowance.amount)
            self._category(branch.branch("cac:TaxCategory"), allowance.taxed)

    def _taxes(self) -> None:
        total = self.root.branch("cac:TaxTotal")
        self._amount(total, "cbc:TaxAmount", self.made.tax)
        for tax in self.made.taxes:
            group = total.branch("cac:TaxSubtotal")
            self._amount(group, "cbc:TaxableAmount", tax.taxable)
            self._amount(group, "cbc:TaxAmount", tax.tax)
            self._category(group.branch("cac:TaxCategory"), tax.taxed, tax)

    def _category(self, branch: Branch, taxed: Taxed, tax: ETax | None = None) -> None:
        branch.leaf("cbc:ID", taxed.category)
        if taxed.percent is not None:
            branch.leaf("cbc:Percent", written(taxed.percent))
        elif tax is not None and self.is_german:
            # No rate is one of 0 there (DE-R-014).
            branch.leaf("cbc:Percent", "0")
        if tax is not None:
            branch.leaf("cbc:TaxExemptionReasonCode", tax.reason_code)
            branch.leaf("cbc:TaxExemptionReason", tax.reason)
        branch.branch("cac:TaxScheme").leaf("cbc:ID", "VAT")

    def _totals(self) -> None:
        made = self.made
        total = self.root.branch("cac:LegalMonetaryTotal")
        self._amount(total, "cbc:LineExtensionAmount", made.line_total)
        self._amount(total, "cbc:TaxExclusiveAmount", made.net)
        self._amount(total, "cbc:TaxInclusiveAmount", made.gross)
        if made.allowances:
            self._amount(total, "cbc:AllowanceTotalAmount", made.allowance_total)
        if made.prepaid:
            self._amount(total, "cbc:PrepaidAmount", made.prepaid)
        self._amount(total, "cbc:PayableAmount", made.payable)

    def _line(self, line: ELine) -> None:
        branch = self.root.branch(f"cac:{self.kind}Line")
        branch.leaf("cbc:ID", line.line_id)
        quantity = "cbc:CreditedQuantity" if self.made.is_credit_note else "cbc:InvoicedQuantity"
        branch.leaf(quantity, written(line.quantity), unitCode=line.unit_code)
        self._amount(branch, "cbc:LineExtensionAmount", line.amount)
        item = branch.branch("cac:Item")
        item.leaf("cbc:Description", line.description)
        item.leaf("cbc:Name", line.name)
        self._category(item.branch("cac:ClassifiedTaxCategory"), line.taxed)
        for name, value in line.attributes:
            told = item.branch("cac:AdditionalItemProperty")
            told.leaf("cbc:Name", name)
            told.leaf("cbc:Value", value)
        price = branch.branch("cac:Price")
        self._amount(price, "cbc:PriceAmount", line.price)
        if line.base_quantity is not None:
            price.leaf("cbc:BaseQuantity", written(line.base_quantity), unitCode=line.unit_code)

    def _amount(self, branch: Branch, name: str, value: Decimal) -> None:
        branch.leaf(name, written(value), currencyID=self.document.currency)
