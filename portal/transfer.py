"""How a customer pays an invoice by bank transfer."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

from billing.core.transfer import Transfer, creditor_reference
from billing.models import Invoice
from billing.queries.parties import billing_settings

_CODE_CURRENCY: Final = "EUR"


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code as one path of an SVG, `size` modules wide with its quiet zone."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Instructions:
    """Where to send how much, and what to write on it. Only of euros there is a code."""

    name: str
    iban: str
    bic: str
    amount: Decimal
    reference: str
    code: Code | None


def transfer_of(invoice: Invoice, amount: Decimal) -> Instructions | None:
    """To the provider's account of today; None where there is none, or nothing to pay."""
    settings = billing_settings()
    if not settings.iban or amount <= 0 or not invoice.is_issued:
        return None
    name = settings.legal_name or invoice.seller
    iban = settings.iban.replace(" ", "")
    reference = creditor_reference(invoice.reference)
    text = ""
    if invoice.currency == _CODE_CURRENCY:
        text = Transfer(name, iban, settings.bic, amount, reference).code()
    fours = " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
    return Instructions(
        name, fours, settings.bic, amount, reference, qr_code(text) if text else None
    )


def qr_code(text: str) -> Code:
    code = QRCode(error_correction=ERROR_CORRECT_M, border=4)
    code.add_data(text.encode())
    rows = code.get_matrix()
    path = "".join(
        f"M{column} {row}h1v1h-1z"
        for row, modules in enumerate(rows)
        for column, is_dark in enumerate(modules)
        if is_dark
    )
    return Code(path, len(rows))
