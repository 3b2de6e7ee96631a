"""How an invoice is paid by bank transfer: a reference that a bank keeps whole, and the text of the
code that banking apps read (EPC069-12, version 2)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.exact import plain

_REFERENCE_MAX: Final = 21
_NAME_MAX: Final = 70
_EURO_MAX: Final = Decimal("999999999.99")


def creditor_reference(number: str) -> str:
    """An invoice's number as ISO 11649 writes it: INV-12 is RF86INV12. Its two digits show a
    mistyped one. Of a number with more than 21 letters and digits the last ones stay."""
    kept = "".join(each for each in number.upper() if each.isascii() and each.isalnum())
    kept = kept[-_REFERENCE_MAX:]
    digits = "".join(str(int(each, 36)) for each in f"{kept}RF00")
    return f"RF{98 - int(digits) % 97:02}{kept}"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer in euros that is yet to be made."""

    name: str
    iban: str
    bic: str
    amount: Decimal
    reference: str

    def code(self) -> str:
        """What the code says; empty where it cannot say it: without an account, a name or an
        amount that one transfer carries."""
        iban = self.iban.replace(" ", "")
        if not iban or not self.name or not 0 < self.amount <= _EURO_MAX:
            return ""
        name = " ".join(self.name.split())[:_NAME_MAX]
        head = ("BCD", "002", "1", "SCT", self.bic.replace(" ", ""), name, iban)
        return "\n".join((*head, f"EUR{plain(self.amount)}", "", self.reference))
