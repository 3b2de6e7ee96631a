"""An invoice, credit note or debit note as all its files show it. Pure data.

Amounts have their currency's decimals. An invoice's and a debit note's are owed; a credit note's
are positive as well, and are taken off what is owed. `lines` sum to `total`; `net` + `tax` =
`gross`; `gross` - `credit_applied` = `payable`. Payments that came after issuing are not part of
it: an issued document never changes.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Kind = Literal["invoice", "credit_note", "debit_note"]


@dataclass(frozen=True, slots=True)
class Party:
    """Who bills or is billed; what is not known is empty. `identifier` is how the seller calls
    it: the customer's reference, the tenant's slug."""

    name: str
    identifier: str = ""
    street: str = ""
    postcode: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    vat_id: str = ""
    tax_number: str = ""
    registration: str = ""
    email: str = ""
    phone: str = ""
    peppol_id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`amount` as it was billed; `net` is it without tax, which differs where prices include it.
    `unit_price` is None where the amount is not a quantity times a price. `of_kind` is the kind of
    the line that late usage or a correction changes, else `kind`."""

    position: int
    kind: str
    label: str
    application: str
    environment: str
    meter: str
    unit: str
    attributes: tuple[tuple[str, str], ...]
    quantity: Decimal
    unit_price: Decimal | None
    amount: Decimal
    net: Decimal
    tax_category: str
    tax_percent: Decimal | None
    line_id: str = ""
    application_id: str = ""
    price_id: str = ""
    of_kind: str = ""


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """The tax of one category (UNCL 5305) and rate; `reason` says why none is charged."""

    category: str
    percent: Decimal
    taxable: Decimal
    tax: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """The invoice that a note corrects."""

    reference: str
    issued_on: date | None


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """One document. Days are the customer's, instants are UTC; the period is [start, end)."""

    invoice_id: str
    kind: Kind
    reference: str
    is_draft: bool
    issued_at: datetime
    issued_on: date
    due_on: date | None
    period_start: datetime
    period_end: datetime
    first_day: date
    last_day: date
    time_zone: str
    currency: str
    seller: Party
    buyer: Party
    plan: str
    lines: tuple[Line, ...]
    taxes: tuple[TaxGroup, ...]
    tax_inclusive: bool
    total: Decimal
    net: Decimal
    tax: Decimal
    gross: Decimal
    credit_applied: Decimal
    payable: Decimal
    refers_to: Reference | None = None
    reason: str = ""
    # The stretches of time whose usage a note is about, and how many more there are.
    windows: tuple[tuple[datetime, datetime], ...] = ()
    more_windows: int = 0
    iban: str = ""
    bic: str = ""
    purchase_order: str = ""
    buyer_reference: str = ""
    language: str = "en"
    colour: str = "#1f6feb"
    logo_svg: str = ""
