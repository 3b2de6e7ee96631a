"""Which open invoice a bank transfer pays: by the reference in its text first, then by amount and
name. Only a person confirms; this says how sure it is, and why."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from hashlib import sha256
from typing import Final

_RF: Final = re.compile(r"RF\d{2}[0-9A-Z]{1,21}")
# A shorter number stands in texts by chance: "12" in a date or a street.
_TELLING_LENGTH: Final = 5


class Confidence(IntEnum):
    NONE = 0
    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that came in, as the bank's statement has it. `bank_id` is the bank's own name for it,
    where the statement has one."""

    booked_on: date
    amount: Decimal
    currency: str
    payer: str
    words: str
    bank_id: str = ""
    occurrence: int = 1

    @property
    def reference(self) -> str:
        """The same whenever the statement is read again; `occurrence` tells rows apart that are
        alike in all else."""
        if self.bank_id:
            return f"bank {self.bank_id}"[:120]
        told = [
            self.booked_on.isoformat(), f"{self.amount:f}", self.currency, self.payer, self.words,
            str(self.occurrence),
        ]  # fmt: skip
        return f"transfer {sha256(chr(0).join(told).encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """What could be paid; `names` are what its customer is called."""

    key: str
    number: str
    open_amount: Decimal
    currency: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    key: str
    confidence: Confidence
    reason: str


def best_match(transfer: Transfer, invoices: Collection[OpenInvoice]) -> Match | None:
    """The invoice that the transfer pays most probably. None where nothing speaks for one, or as
    much for several."""
    found = [match for each in invoices if (match := _match(transfer, each)).confidence]
    ranked = sorted(found, key=lambda each: -each.confidence)
    if not ranked:
        return None
    if len(ranked) > 1 and ranked[0].confidence == ranked[1].confidence:
        return None
    return ranked[0]


def _match(transfer: Transfer, invoice: OpenInvoice) -> Match:
    if transfer.currency != invoice.currency:
        return Match(invoice.key, Confidence.NONE, "")
    same_amount = transfer.amount == invoice.open_amount
    number = _joined(invoice.number)
    if number in _creditor_references(transfer.words):
        return Match(invoice.key, Confidence.CERTAIN, "its creditor reference")
    if _is_named(invoice.number, transfer.words):
        if same_amount:
            return Match(invoice.key, Confidence.CERTAIN, "its number and amount")
        if len(number) >= _TELLING_LENGTH:
            return Match(invoice.key, Confidence.LIKELY, "its number; another amount")
        return Match(invoice.key, Confidence.POSSIBLE, "its short number; another amount")
    is_theirs = _joined(transfer.payer) in {_joined(name) for name in invoice.names if name}
    if same_amount and is_theirs:
        return Match(invoice.key, Confidence.LIKELY, "its amount and customer; no number")
    if same_amount:
        return Match(invoice.key, Confidence.POSSIBLE, "its amount alone")
    return Match(invoice.key, Confidence.NONE, "")


def _is_named(number: str, words: str) -> bool:
    """Whether the number stands there by itself, however it is spaced and hyphenated."""
    parts = re.findall(r"[0-9A-Z]+", number.upper())
    spaced = r"[^0-9A-Z]*".join(map(re.escape, parts))
    return re.search(rf"(?<![0-9A-Z]){spaced}(?![0-9A-Z])", words.upper()) is not None


def _creditor_references(words: str) -> Sequence[str]:
    """What stands behind the check digits of each valid reference (ISO 11649) in the text."""
    found = _RF.findall(re.sub(r"\s", "", words.upper()))
    return [each[4:] for each in found if _checks(each)]


def _checks(reference: str) -> bool:
    turned = reference[4:] + reference[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _joined(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum())
