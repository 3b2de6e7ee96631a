"""An InvoiceDocument in the terms of EN 16931, from which the CII and the UBL form are written.

The standard's numbers (BT-112, BR-CO-15) are named where a rule comes from it. What it has no room
for is refused with every reason at once: amounts of three decimals, a party without a country, a
tax category without the VAT ids that it asks for. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain, rounded
from billing.core.money import sum_amounts
from billing.documents.document import InvoiceDocument, Line
from billing.documents.texts import language_of, words, written_reason

PERCENT_CATEGORIES: Final = frozenset({"S", "Z", "E", "AE", "K", "G"})
_TYPE_CODES: Final = {"invoice": "380", "credit_note": "381", "debit_note": "383"}
# UN/ECE Recommendation 20. It has no byte-hours: those are ones of a unit that the name tells.
_UNIT_CODES: Final = {
    "CPU-second": "SEC", "CPU-hour": "HUR", "MB": "4L", "MiB": "E63", "GB": "E34", "GiB": "E62",
    "TB": "E35", "TiB": "E61", "thousand": "MIL", "million": "MIO",
}  # fmt: skip
_ONE: Final = "C62"
# UNTDID 5189: a discount.
_DISCOUNT: Final = "95"
_REASON_CODES: Final = {"AE": "VATEX-EU-AE", "K": "VATEX-EU-IC", "G": "VATEX-EU-G",
                        "O": "VATEX-EU-O"}  # fmt: skip
_DECIMALS_MAX: Final = 2
_QUANTITY_DECIMALS: Final = 12
_TOLERANCE: Final = Decimal("0.01")


class NoEInvoice(ValueError):
    """EN 16931 cannot express the document; `reasons` say all that is missing, one a line."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True, slots=True)
class Taxed:
    """A VAT category and its rate; outside the scope of VAT (O) there is none."""

    category: str
    percent: Decimal | None


@dataclass(frozen=True, slots=True)
class ELine:
    """BG-25: `quantity` / `base_quantity` * `price` = `amount`. The price is never negative
    (BR-27); of a negative amount the quantity is."""

    line_id: str
    name: str
    description: str
    attributes: tuple[tuple[str, str], ...]
    quantity: Decimal
    unit_code: str
    price: Decimal
    base_quantity: Decimal | None
    amount: Decimal
    taxed: Taxed


@dataclass(frozen=True, slots=True)
class Allowance:
    """BG-20: a discount on the whole document; `amount` is positive."""

    amount: Decimal
    reason: str
    reason_code: str
    taxed: Taxed


@dataclass(frozen=True, slots=True)
class ETax:
    """BG-23."""

    taxed: Taxed
    taxable: Decimal
    tax: Decimal
    reason: str = ""
    reason_code: str = ""


@dataclass(frozen=True, slots=True)
class EInvoice:
    """The document with its amounts as EN 16931 sums them."""

    document: InvoiceDocument
    type_code: str
    lines: tuple[ELine, ...]
    allowances: tuple[Allowance, ...]
    taxes: tuple[ETax, ...]
    line_total: Decimal
    allowance_total: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal
    prepaid: Decimal
    payable: Decimal
    terms: str
    notes: tuple[str, ...] = field(default=())

    @property
    def is_credit_note(self) -> bool:
        return self.type_code == _TYPE_CODES["credit_note"]

    @property
    def outside_vat(self) -> bool:
        """Whether it is not subject to VAT; no VAT id may stand on it then (BR-O-2)."""
        return any(tax.taxed.category == "O" for tax in self.taxes)


def e_invoice(document: InvoiceDocument) -> EInvoice:
    """Raises NoEInvoice."""
    reasons = [*_missing(document), *_vat_ids_missing(document)]
    if reasons:
        raise NoEInvoice(reasons)
    made = _composed(document)
    reasons = list(_sums_wrong(made))
    if reasons:
        raise NoEInvoice(reasons)
    return made


def _composed(document: InvoiceDocument) -> EInvoice:
    discounts = [line for line in document.lines if _is_allowance(line)]
    lines = tuple(_line(line, document) for line in document.lines if not _is_allowance(line))
    if not lines:
        lines = (_nothing(document),)
    allowances = tuple(_allowance(line) for line in discounts)
    line_total = sum_amounts([line.amount for line in lines])
    allowance_total = sum_amounts([allowance.amount for allowance in allowances])
    return EInvoice(
        document=document,
        type_code=_TYPE_CODES[document.kind],
        lines=lines,
        allowances=allowances,
        taxes=_taxes(document),
        line_total=line_total,
        allowance_total=allowance_total,
        net=document.net,
        tax=document.tax,
        gross=document.gross,
        prepaid=document.credit_applied,
        payable=document.payable,
        terms=_terms(document),
        notes=(written_reason(document.reason, language_of(document.language)),)
        if document.reason
        else (),
    )


def _is_allowance(line: Line) -> bool:
    return line.kind == "discount" and line.net < 0


def _taxed(line: Line) -> Taxed:
    category = line.tax_category or "O"
    return Taxed(category, None if category == "O" else line.tax_percent or ZERO)


def _allowance(line: Line) -> Allowance:
    return Allowance(-line.net, line.label, _DISCOUNT, _taxed(line))


def _line(line: Line, document: InvoiceDocument) -> ELine:
    where = " / ".join(part for part in (line.application, line.environment) if part)
    size = rounded(abs(line.quantity), Decimal(1).scaleb(-_QUANTITY_DECIMALS))
    unit_code = _UNIT_CODES.get(line.unit, _ONE)
    price, base = _price(line, size, document)
    if base is None and price == abs(line.net):
        size, unit_code = Decimal(1), _ONE
    told = [("Unit", line.unit)] if unit_code == _ONE and line.unit not in ("", "one") else []
    return ELine(
        line_id=str(line.position),
        name=line.label,
        description=where,
        attributes=(*told, *(pair for pair in line.attributes if all(map(str.strip, pair)))),
        quantity=-size if line.net < 0 else size,
        unit_code=unit_code,
        price=price,
        base_quantity=base,
        amount=line.net,
        taxed=_taxed(line),
    )


def _price(line: Line, size: Decimal, document: InvoiceDocument) -> tuple[Decimal, Decimal | None]:
    """The price and how much it is for. Where no price per unit gives the amount (tiers, an
    allowance), the amount is the price of the quantity as a whole (BT-149); without a quantity it
    is that of one."""
    if not size:
        return abs(line.net), None
    if line.unit_price is not None and not document.tax_inclusive:
        off = EXACT.subtract(EXACT.multiply(size, line.unit_price), abs(line.net))
        if abs(off) < _TOLERANCE:
            return line.unit_price, Decimal(1)
    return abs(line.net), size


def _nothing(document: InvoiceDocument) -> ELine:
    """A document has at least one line (BR-16)."""
    taxed = _taxes(document)[0].taxed
    text = words(language_of(document.language))["no_lines"]
    zero = Decimal(0).scaleb(-currency_of(document.currency).decimals)
    return ELine("1", text, "", (), Decimal(1), _ONE, zero, None, zero, taxed)


def _taxes(document: InvoiceDocument) -> tuple[ETax, ...]:
    t = words(language_of(document.language))
    if not document.taxes:
        zero = document.tax
        return (ETax(Taxed("O", None), document.net, zero, t["O"], _REASON_CODES["O"]),)
    return tuple(
        ETax(
            Taxed(tax.category, None if tax.category == "O" else tax.percent),
            tax.taxable,
            tax.tax,
            # Neither the standard nor the zero rate is explained (BR-S-10, BR-Z-10).
            "" if tax.category in ("S", "Z") else tax.reason or t.get(tax.category, ""),
            _REASON_CODES.get(tax.category, ""),
        )
        for tax in document.taxes
    )


def _terms(document: InvoiceDocument) -> str:
    """BT-20; what is due says until when (BR-CO-25)."""
    if document.payable <= 0 or document.kind == "credit_note" or document.due_on is None:
        return ""
    t = words(language_of(document.language))
    return t["terms"].format(date=document.due_on.isoformat(), reference=document.reference)


def _missing(document: InvoiceDocument) -> Iterator[str]:
    if document.is_draft:
        yield "it is a draft"
    if currency_of(document.currency).decimals > _DECIMALS_MAX:
        yield f"amounts in {document.currency} have three decimals, and EN 16931 allows two"
    for who, party in (("seller", document.seller), ("buyer", document.buyer)):
        if not party.name:
            yield f"the {who} has no name"
        if not party.country:
            yield f"the {who} has no country"
    if document.payable > 0 and document.kind != "credit_note" and document.due_on is None:
        yield "it has no due date"


def _vat_ids_missing(document: InvoiceDocument) -> Iterator[str]:
    categories = {tax.category for tax in document.taxes}
    seller, buyer = document.seller, document.buyer
    if categories & {"S", "Z", "E"} and not (seller.vat_id or seller.tax_number):
        yield "the seller has neither a VAT id nor a tax number"
    if categories & {"AE", "K", "G"} and not seller.vat_id:
        yield "the seller has no VAT id"
    if categories & {"AE", "K"} and not buyer.vat_id:
        yield "the buyer has no VAT id"
    if "O" in categories and len(categories) > 1:
        yield "charges subject to VAT and others stand on one document"
    for who, vat_id in (("seller", seller.vat_id), ("buyer", buyer.vat_id)):
        if vat_id and not vat_id[:2].isalpha():
            yield f"the {who}'s VAT id does not begin with its country's code"


def _sums_wrong(made: EInvoice) -> Iterator[str]:
    """BR-CO-10 to BR-CO-16, and each tax group against the lines in it."""
    net = EXACT.subtract(made.line_total, made.allowance_total)
    if net != made.net:
        yield f"the lines come to {plain(net)} and the total without tax is {plain(made.net)}"
    for tax in made.taxes:
        own = _taxable(made, tax.taxed)
        if own != tax.taxable:
            group = tax.taxed.category
            yield f"lines of tax category {group} come to {plain(own)}, not {plain(tax.taxable)}"
    if sum_amounts([tax.tax for tax in made.taxes]) != made.tax:
        yield "the tax groups do not sum to the tax"
    if EXACT.add(made.net, made.tax) != made.gross:
        yield "total and tax do not sum to the total with tax"
    if EXACT.subtract(made.gross, made.prepaid) != made.payable:
        yield "the payable amount is not what is left after credit"


def _taxable(made: EInvoice, taxed: Taxed) -> Decimal:
    lines = sum_amounts([line.amount for line in made.lines if line.taxed == taxed])
    off = sum_amounts([each.amount for each in made.allowances if each.taxed == taxed])
    return EXACT.subtract(lines, off)


def written(value: Decimal) -> str:
    """A number as XML writes it: amounts keep their decimals, nothing an exponent."""
    exponent = value.as_tuple().exponent
    is_amount = isinstance(exponent, int) and 0 >= exponent >= -_DECIMALS_MAX
    # Zero has no sign here.
    return f"{value if value else abs(value):f}" if is_amount else plain(value)
