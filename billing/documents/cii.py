"""EN 16931 in the syntax UN/CEFACT Cross Industry Invoice D16B, as Factur-X and ZUGFeRD embed it.

Elements come in the order of the profile's schema.
"""

from datetime import date
from decimal import Decimal
from typing import Final

from billing.documents.document import InvoiceDocument, Party
from billing.documents.en16931 import Allowance, EInvoice, ELine, ETax, Taxed, e_invoice, written
from billing.documents.xml import Branch

_UNCEFACT: Final = "urn:un:unece:uncefact:data"
_NAMESPACES: Final = {
    "rsm": f"{_UNCEFACT}:standard:CrossIndustryInvoice:100",
    "ram": f"{_UNCEFACT}:standard:ReusableAggregateBusinessInformationEntity:100",
    "qdt": f"{_UNCEFACT}:standard:QualifiedDataType:100",
    "udt": f"{_UNCEFACT}:standard:UnqualifiedDataType:100",
}
_GUIDELINE: Final = "urn:cen.eu:en16931:2017"
_SEPA_TRANSFER: Final = "58"


def cii(document: InvoiceDocument) -> bytes:
    """The electronic invoice. Raises en16931.NoEInvoice."""
    made = e_invoice(document)
    root = Branch.root("rsm:CrossIndustryInvoice", _NAMESPACES)
    context = root.branch("rsm:ExchangedDocumentContext")
    context.branch("ram:GuidelineSpecifiedDocumentContextParameter").leaf("ram:ID", _GUIDELINE)
    head = root.branch("rsm:ExchangedDocument")
    head.leaf("ram:ID", document.reference)
    head.leaf("ram:TypeCode", made.type_code)
    _day(head, "ram:IssueDateTime", document.issued_on)
    for note in made.notes:
        head.branch("ram:IncludedNote").leaf("ram:Content", note)
    transaction = root.branch("rsm:SupplyChainTradeTransaction")
    for line in made.lines:
        _line(transaction, line)
    _agreement(transaction, made)
    _delivery(transaction, made)
    _settlement(transaction, made)
    return root.to_bytes()


def _line(transaction: Branch, line: ELine) -> None:
    item = transaction.branch("ram:IncludedSupplyChainTradeLineItem")
    item.branch("ram:AssociatedDocumentLineDocument").leaf("ram:LineID", line.line_id)
    product = item.branch("ram:SpecifiedTradeProduct")
    product.leaf("ram:Name", line.name)
    product.leaf("ram:Description", line.description)
    for name, value in line.attributes:
        told = product.branch("ram:ApplicableProductCharacteristic")
        told.leaf("ram:Description", name)
        told.leaf("ram:Value", value)
    price = item.branch("ram:SpecifiedLineTradeAgreement").branch("ram:NetPriceProductTradePrice")
    price.leaf("ram:ChargeAmount", written(line.price))
    if line.base_quantity is not None:
        price.leaf("ram:BasisQuantity", written(line.base_quantity), unitCode=line.unit_code)
    delivery = item.branch("ram:SpecifiedLineTradeDelivery")
    delivery.leaf("ram:BilledQuantity", written(line.quantity), unitCode=line.unit_code)
    settlement = item.branch("ram:SpecifiedLineTradeSettlement")
    _taxed(settlement.branch("ram:ApplicableTradeTax"), line.taxed)
    total = settlement.branch("ram:SpecifiedTradeSettlementLineMonetarySummation")
    total.leaf("ram:LineTotalAmount", written(line.amount))


def _taxed(tax: Branch, taxed: Taxed) -> None:
    tax.leaf("ram:TypeCode", "VAT")
    tax.leaf("ram:CategoryCode", taxed.category)
    _percent(tax, taxed)


def _percent(tax: Branch, taxed: Taxed) -> None:
    if taxed.percent is not None:
        tax.leaf("ram:RateApplicablePercent", written(taxed.percent))


def _agreement(transaction: Branch, made: EInvoice) -> None:
    document = made.document
    agreement = transaction.branch("ram:ApplicableHeaderTradeAgreement")
    agreement.leaf("ram:BuyerReference", document.buyer_reference)
    _party(agreement.branch("ram:SellerTradeParty"), document.seller, made, is_seller=True)
    _party(agreement.branch("ram:BuyerTradeParty"), document.buyer, made, is_seller=False)
    if document.purchase_order:
        order = agreement.branch("ram:BuyerOrderReferencedDocument")
        order.leaf("ram:IssuerAssignedID", document.purchase_order)


def _party(branch: Branch, party: Party, made: EInvoice, *, is_seller: bool) -> None:
    branch.leaf("ram:ID", party.identifier)
    branch.leaf("ram:Name", party.name)
    if party.registration:
        branch.branch("ram:SpecifiedLegalOrganization").leaf("ram:ID", party.registration)
    if is_seller and party.phone and party.email:
        contact = branch.branch("ram:DefinedTradeContact")
        contact.leaf("ram:PersonName", party.name)
        contact.branch("ram:TelephoneUniversalCommunication").leaf(
            "ram:CompleteNumber", party.phone
        )
        contact.branch("ram:EmailURIUniversalCommunication").leaf("ram:URIID", party.email)
    address = branch.branch("ram:PostalTradeAddress")
    address.leaf("ram:PostcodeCode", party.postcode)
    address.leaf("ram:LineOne", party.street)
    address.leaf("ram:CityName", party.city)
    address.leaf("ram:CountryID", party.country)
    address.leaf("ram:CountrySubDivisionName", party.region)
    if party.email:
        mail = branch.branch("ram:URIUniversalCommunication")
        mail.leaf("ram:URIID", party.email, schemeID="EM")
    for scheme, number in _registrations(party, made, is_seller=is_seller):
        branch.branch("ram:SpecifiedTaxRegistration").leaf("ram:ID", number, schemeID=scheme)


def _registrations(party: Party, made: EInvoice, *, is_seller: bool) -> list[tuple[str, str]]:
    """VAT id, and the seller's local tax number; a buyer has no field for one."""
    if made.outside_vat:
        return []
    numbers = [("VA", party.vat_id), ("FC", party.tax_number if is_seller else "")]
    return [(scheme, number) for scheme, number in numbers if number]


def _delivery(transaction: Branch, made: EInvoice) -> None:
    delivery = transaction.branch("ram:ApplicableHeaderTradeDelivery")
    # Intra-Community supplies name the country that they go to (BR-IC-12).
    if any(tax.taxed.category == "K" for tax in made.taxes):
        place = delivery.branch("ram:ShipToTradeParty").branch("ram:PostalTradeAddress")
        place.leaf("ram:CountryID", made.document.buyer.country)
    event = delivery.branch("ram:ActualDeliverySupplyChainEvent")
    _day(event, "ram:OccurrenceDateTime", made.document.last_day)


def _settlement(transaction: Branch, made: EInvoice) -> None:
    document = made.document
    settlement = transaction.branch("ram:ApplicableHeaderTradeSettlement")
    settlement.leaf("ram:PaymentReference", document.reference)
    settlement.leaf("ram:InvoiceCurrencyCode", document.currency)
    if document.iban:
        means = settlement.branch("ram:SpecifiedTradeSettlementPaymentMeans")
        means.leaf("ram:TypeCode", _SEPA_TRANSFER)
        account = means.branch("ram:PayeePartyCreditorFinancialAccount")
        account.leaf("ram:IBANID", document.iban)
        if document.bic:
            bank = means.branch("ram:PayeeSpecifiedCreditorFinancialInstitution")
            bank.leaf("ram:BICID", document.bic)
    for tax in made.taxes:
        _tax(settlement.branch("ram:ApplicableTradeTax"), tax)
    period = settlement.branch("ram:BillingSpecifiedPeriod")
    _day(period, "ram:StartDateTime", document.first_day)
    _day(period, "ram:EndDateTime", document.last_day)
    for allowance in made.allowances:
        _allowance(settlement.branch("ram:SpecifiedTradeAllowanceCharge"), allowance)
    if made.terms:
        terms = settlement.branch("ram:SpecifiedTradePaymentTerms")
        terms.leaf("ram:Description", made.terms)
        if document.due_on is not None:
            _day(terms, "ram:DueDateDateTime", document.due_on)
    _totals(settlement, made)
    if document.refers_to is not None:
        earlier = settlement.branch("ram:InvoiceReferencedDocument")
        earlier.leaf("ram:IssuerAssignedID", document.refers_to.reference)
        if document.refers_to.issued_on is not None:
            issued = earlier.branch("ram:FormattedIssueDateTime")
            day = f"{document.refers_to.issued_on:%Y%m%d}"
            issued.leaf("qdt:DateTimeString", day, format="102")


def _tax(branch: Branch, tax: ETax) -> None:
    branch.leaf("ram:CalculatedAmount", written(tax.tax))
    branch.leaf("ram:TypeCode", "VAT")
    branch.leaf("ram:ExemptionReason", tax.reason)
    branch.leaf("ram:BasisAmount", written(tax.taxable))
    branch.leaf("ram:CategoryCode", tax.taxed.category)
    branch.leaf("ram:ExemptionReasonCode", tax.reason_code)
    _percent(branch, tax.taxed)


def _allowance(branch: Branch, allowance: Allowance) -> None:
    branch.branch("ram:ChargeIndicator").leaf("udt:Indicator", "false")
    branch.leaf("ram:ActualAmount", written(allowance.amount))
    branch.leaf("ram:ReasonCode", allowance.reason_code)
    branch.leaf("ram:Reason", allowance.reason)
    _taxed(branch.branch("ram:CategoryTradeTax"), allowance.taxed)


def _totals(settlement: Branch, made: EInvoice) -> None:
    total = settlement.branch("ram:SpecifiedTradeSettlementHeaderMonetarySummation")

    def amount(name: str, value: Decimal, **attributes: str) -> None:
        total.leaf(f"ram:{name}", written(value), **attributes)

    amount("LineTotalAmount", made.line_total)
    if made.allowances:
        amount("AllowanceTotalAmount", made.allowance_total)
    amount("TaxBasisTotalAmount", made.net)
    amount("TaxTotalAmount", made.tax, currencyID=made.document.currency)
    amount("GrandTotalAmount", made.gross)
    if made.prepaid:
        amount("TotalPrepaidAmount", made.prepaid)
    amount("DuePayableAmount", made.payable)


def _day(branch: Branch, name: str, day: date) -> None:
    branch.branch(name).leaf("udt:DateTimeString", f"{day:%Y%m%d}", format="102")
