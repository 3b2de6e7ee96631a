"""What Peppol BIS Billing 3 asks for beyond EN 16931: addresses, and the rules of countries.

The numbers are those of Peppol's rules (R010, DE-R-002). What a document lacks is said with every
reason at once, as by en16931. Pure.
"""

import re
from collections.abc import Iterator
from typing import Final

from billing.documents.document import InvoiceDocument, Party

# Electronic address schemes that are a country's VAT numbers.
_VAT_SCHEMES: Final = {
    "AD": "9922", "AL": "9923", "AT": "9914", "BA": "9924", "BE": "9925", "BG": "9926",
    "CH": "9927", "CY": "9928", "CZ": "9929", "DE": "9930", "DK": "0184", "EE": "9931",
    "ES": "9920", "FI": "0213", "FR": "9957", "GB": "9932", "HR": "9934", "HU": "9910",
    "IE": "9935", "IT": "0211", "LI": "9936", "LT": "9937", "LU": "9938", "LV": "9939",
    "MC": "9940", "ME": "9941", "MK": "9942", "MT": "9943", "NL": "9944", "PL": "9945",
    "PT": "9946", "RO": "9947", "RS": "9948", "SI": "9949", "SK": "9950", "SM": "9951",
    "TR": "9952", "VA": "9953",
}  # fmt: skip
# Schemes of numbers that are part of a VAT id: an organisation's, a taxpayer's.
_PART_SCHEMES: Final = (
    ("9933", re.compile(r"(?:EL|GR)(\d{9})")),
    ("0192", re.compile(r"NO(\d{9})(?:MVA)?")),
    ("0007", re.compile(r"SE(\d{10})\d\d")),
)
# Where a company's legal number stands only with its register's scheme (DK-R-014, IS-R-002,
# NL-R-003, SE-R-004).
_REGISTERS: Final = {"DK": ("0184",), "IS": ("0196",), "NL": ("0106", "0190"), "SE": ("0007",)}
_NEED_LEGAL_ID: Final = ("DK", "IS")
# Parts of the address that a seller there states (IT-R-002, NL-R-002, IS-R-003), and those that
# both parties state if both are there (DE-R-003, DE-R-008, NL-R-004, IS-R-005).
_SELLER_ADDRESS: Final = {
    "IS": ("street", "postcode"), "IT": ("street", "city", "postcode"),
    "NL": ("street", "city", "postcode"),
}  # fmt: skip
_DOMESTIC_ADDRESS: Final = _SELLER_ADDRESS | {"DE": ("city", "postcode"), "IT": ()}
_SWEDISH_RATES: Final = (6, 12, 25)
# What the field for a tax number may hold (SE-R-005, IT-R-001).
_TAX_NUMBERS: Final = {
    "IT": re.compile("[A-Z0-9]{11,16}"), "SE": re.compile("(?i)godkänd för f-skatt"),
}  # fmt: skip


def peppol_address(party: Party) -> tuple[str, str] | None:
    """Scheme and identifier: the party's own, written scheme:identifier, else from its VAT id."""
    scheme, _, identifier = party.peppol_id.partition(":")
    if scheme and identifier:
        return scheme, identifier
    for scheme, pattern in _PART_SCHEMES:
        found = pattern.fullmatch(party.vat_id)
        if found:
            return scheme, found[1]
    scheme = _VAT_SCHEMES.get(party.vat_id[:2], "")
    return (scheme, party.vat_id) if scheme else None


def legal_id(party: Party) -> tuple[str, str]:
    """The register's scheme, which may be empty, and the number in it, which may be too."""
    registers = _REGISTERS.get(party.country)
    if registers is None:
        return "", party.registration
    scheme, identifier = peppol_address(party) or ("", "")
    return (scheme, identifier) if scheme in registers else ("", "")


def is_domestic(document: InvoiceDocument, country: str) -> bool:
    """Whether both parties are in `country`."""
    return document.seller.country == document.buyer.country == country


def type_code(document: InvoiceDocument, code: str) -> str:
    """A debit note is an invoice that refers to another where its own code is not known
    (DE-R-017, IS-R-001)."""
    if code == "383" and (is_domestic(document, "DE") or document.seller.country == "IS"):
        return "380"
    return code


def not_in_peppol(document: InvoiceDocument) -> Iterator[str]:
    """What the document lacks, one a line."""
    for who, party in (("seller", document.seller), ("buyer", document.buyer)):
        if peppol_address(party) is None:
            yield f"the {who} has no address in Peppol: no Peppol id, no VAT id that is one"
    yield from _addresses(document)
    yield from _numbers(document)
    yield from _german(document)
    yield from _payment(document)


def _addresses(document: InvoiceDocument) -> Iterator[str]:
    country = document.seller.country
    needed = {"seller": set(_SELLER_ADDRESS.get(country, ())), "buyer": set[str]()}
    if is_domestic(document, country):
        for parts in needed.values():
            parts.update(_DOMESTIC_ADDRESS.get(country, ()))
    for who, party in (("seller", document.seller), ("buyer", document.buyer)):
        for part in sorted(needed[who]):
            if not getattr(party, part).strip():
                yield f"the {who} has no {part}, which Peppol asks for in {country}"


def _numbers(document: InvoiceDocument) -> Iterator[str]:
    seller = document.seller
    if seller.country in ("EL", "GR"):
        yield "invoices of Greek sellers are numbered by myDATA, which Hostmeter does not know"
    parties = [("seller", seller)]
    if is_domestic(document, "IS"):
        parties.append(("buyer", document.buyer))
    for who, party in parties:
        if party.country in _NEED_LEGAL_ID and not legal_id(party)[1]:
            scheme = _REGISTERS[party.country][0]
            yield f"the {who} has no Peppol id of scheme {scheme}, as {party.country} asks for"
    pattern = _TAX_NUMBERS.get(seller.country)
    if pattern and seller.tax_number and not pattern.fullmatch(seller.tax_number.strip()):
        yield f"the seller's tax number is none that Peppol takes in {seller.country}"
    rates = {tax.percent for tax in document.taxes if tax.category == "S"}
    if seller.country == "SE" and rates.difference(_SWEDISH_RATES):
        yield "a rate of tax is not one of Sweden's"


def _german(document: InvoiceDocument) -> Iterator[str]:
    """DE-R-002, DE-R-006, DE-R-007: whom to ask about it."""
    seller = document.seller
    if not is_domestic(document, "DE"):
        return
    if sum(each.isdigit() for each in seller.phone) < 3:
        yield "the seller has no phone number, which Peppol asks for in DE"
    if not seller.email:
        yield "the seller has no email address, which Peppol asks for in DE"


def _payment(document: InvoiceDocument) -> Iterator[str]:
    """NL-R-007, DK-R-016."""
    is_credit_note = document.kind == "credit_note"
    owed = -document.payable if is_credit_note else document.payable
    if document.seller.country == "NL" and owed > 0 and not document.iban:
        yield "the seller has no IBAN, which Peppol asks for in NL"
    if is_domestic(document, "DK") and is_credit_note and owed > 0:
        yield "it is a credit note of less than nothing, which Peppol does not take in DK"
