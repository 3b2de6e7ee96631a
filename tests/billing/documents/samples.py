"""Documents for the tests, built without a database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from billing.core.currencies import currency_of
from billing.core.money import round_amount, sum_amounts
from billing.documents.document import InvoiceDocument, Line, Party, TaxGroup
from billing.documents.net_amounts import net_amounts

EUR = currency_of("EUR")

SELLER = Party(
    name="First Host GmbH", identifier="first-host", street="Hafenstraße 5", postcode="20457",
    city="Hamburg", country="DE", vat_id="DE123456788", tax_number="22/815/08150",
    registration="HRB 123456, Amtsgericht Hamburg", email="billing@first.example",
    phone="+49 40 555 0100",
)  # fmt: skip
BUYER = Party(
    name="Pine Mail Ltd", identifier="pine", street="12 Elm Street", postcode="10115",
    city="Berlin", country="DE", vat_id="DE987654324", email="accounts@pine.example",
)  # fmt: skip
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40"><rect width="40" height="40" '
    'rx="8" fill="#1f6feb"/><path d="M10 28 L20 10 L30 28 Z" fill="#fff"/>'
    '<circle cx="70" cy="20" r="14" fill="#94b5f2"/></svg>'
)


def line(position: int = 1, amount: str = "10.00", **changes: Any) -> Line:
    """One line of standard-rated usage."""
    values: dict[str, Any] = {
        "position": position, "kind": "usage", "label": "CPU time", "application": "postgres",
        "environment": "production", "meter": "cpu.time", "unit": "CPU-hour", "attributes": (),
        "quantity": Decimal(800), "unit_price": Decimal("0.0125"), "amount": Decimal(amount),
        "net": Decimal(amount), "tax_category": "S", "tax_percent": Decimal(19),
        "line_id": f"00000000-0000-0000-0000-{position:012}",
        "application_id": "00000000-0000-0000-0000-00000000000a",
        "price_id": "00000000-0000-0000-0000-0000000000aa",
    }  # fmt: skip
    return Line(**values | changes)


def document(*lines: Line, **changes: Any) -> InvoiceDocument:
    """An invoice of `lines` with the tax that they name, to the cent."""
    lines = lines or (line(),)
    groups: dict[tuple[str, Decimal], Decimal] = {}
    for each in lines:
        key = (each.tax_category, each.tax_percent or Decimal(0))
        groups[key] = groups.get(key, Decimal("0.00")) + each.net
    taxes = tuple(
        TaxGroup(category, percent, taxable, (taxable * percent / 100).quantize(Decimal("0.01")))
        for (category, percent), taxable in groups.items()
        if category
    )
    net = sum((each.net for each in lines), Decimal("0.00"))
    tax = sum((each.tax for each in taxes), Decimal("0.00"))
    made = InvoiceDocument(
        invoice_id="00000000-0000-0000-0000-0000000000ff", kind="invoice", reference="INV-7",
        is_draft=False, issued_at=datetime(2026, 11, 1, 9, 30, tzinfo=UTC),
        issued_on=date(2026, 11, 1), due_on=date(2026, 11, 15),
        period_start=datetime(2026, 9, 30, 22, tzinfo=UTC),
        period_end=datetime(2026, 10, 31, 23, tzinfo=UTC), first_day=date(2026, 10, 1),
        last_day=date(2026, 10, 31), time_zone="Europe/Berlin", currency="EUR", seller=SELLER,
        buyer=BUYER, plan="Fair use v1", lines=lines, taxes=taxes, tax_inclusive=False,
        total=sum((each.amount for each in lines), Decimal("0.00")), net=net, tax=tax,
        gross=net + tax, credit_applied=Decimal("0.00"), payable=net + tax,
        iban="DE02120300000000202051", bic="BYLADEM1001", logo_svg=LOGO,
    )  # fmt: skip
    return replace(made, **changes)


def taxed_document(
    amounts: Sequence[tuple[str, Decimal, Line]], *, tax_inclusive: bool, **changes: Any
) -> InvoiceDocument:
    """An invoice of lines of several tax groups, given as category, percent and line, whose amounts
    include their tax or do not."""
    groups: dict[tuple[str, Decimal], list[Line]] = {}
    for category, percent, each in amounts:
        changed = replace(each, tax_category=category, tax_percent=percent)
        groups.setdefault((category, percent), []).append(changed)
    taxes, lines = [], []
    for (category, percent), own in groups.items():
        total = sum_amounts([each.amount for each in own])
        tax = total * percent / (100 + percent if tax_inclusive else 100)
        tax = round_amount(tax.quantize(Decimal("0.000001")), EUR)
        taxable = total - tax if tax_inclusive else total
        nets = net_amounts([each.amount for each in own], percent, taxable, EUR)
        if not tax_inclusive:
            nets = tuple(each.amount for each in own)
        lines += [replace(each, net=net) for each, net in zip(own, nets, strict=True)]
        taxes.append(TaxGroup(category, percent, taxable, tax))
    total = sum_amounts([each.amount for each in lines])
    tax = sum_amounts([each.tax for each in taxes])
    gross = total if tax_inclusive else total + tax
    credit = changes.pop("credit_applied", Decimal("0.00"))
    return document(
        *sorted(lines, key=lambda each: each.position),
        taxes=tuple(taxes), tax_inclusive=tax_inclusive, total=total, tax=tax, net=gross - tax,
        gross=gross, credit_applied=credit, payable=gross - credit, **changes,
    )  # fmt: skip
