"""FOCUS 1.3 and 1.4 (FinOps Open Cost and Usage Specification), dataset Cost and Usage.

1.3 is the newest release that still has all columns of 1.2; 1.4 took two of them away. A row for
each line, for the tax of each group and for credit applied, so that BilledCost sums to what the
invoice asks for; a credit note's rows are negative, and every row of a note is a Correction. An
empty cell is null. Columns that are Hostmeter's own begin with x_, as the specification has it.
Pure.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from billing.core.exact import EXACT
from billing.documents.document import InvoiceDocument, Line, TaxGroup
from billing.documents.tabular import Cell

_COLUMNS_1_3: Final = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "HostProviderName", "InvoiceId", "InvoiceIssuerName",
    "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "ServiceProviderName", "ServiceSubcategory", "SkuId",
    "SkuMeter", "SkuPriceDetails", "SkuPriceId", "x_Environment", "x_InvoiceLineId",
)  # fmt: skip
# What 1.4 took away, or has a column of its own for.
_NOT_IN_1_4: Final = frozenset({"ProviderName", "PublisherName", "x_InvoiceLineId"})
Version = Literal["1.3", "1.4"]
COLUMNS: Final[Mapping[Version, tuple[str, ...]]] = {
    "1.3": _COLUMNS_1_3,
    "1.4": (
        *(name for name in _COLUMNS_1_3 if name not in _NOT_IN_1_4 and name[0].isupper()),
        "InvoiceDetailId",
        "x_Environment",
    ),
}
_CATEGORIES: Final = {
    "usage": "Usage", "late_usage": "Usage", "correction": "Usage", "recurring": "Purchase",
    "percentage": "Purchase", "discount": "Credit", "minimum": "Adjustment",
    "true_up": "Adjustment",
}  # fmt: skip
_FREQUENCIES: Final = {"Usage": "Usage-Based", "Purchase": "Recurring"}
_CORRECTIONS: Final = frozenset({"late_usage", "correction"})
_UNITS: Final = {
    "CPU-second": "CPU-Seconds", "CPU-hour": "CPU-Hours", "GB-hour": "GB-Hours",
    "GiB-hour": "GiB-Hours", "count-hour": "Unit-Hours", "process-hour": "Process-Hours",
    "thread-hour": "Thread-Hours", "file-hour": "File-Hours", "resource-hour": "Resource-Hours",
    "user-hour": "User-Hours", "one": "Units", "thousand": "1000 Units", "million": "1000000 Units",
}  # fmt: skip
# The unit of a charge that is no quantity times a price, such as one over tiers.
_CHARGES: Final = "Charges"

Row = dict[str, Cell]


def focus_version(given: str) -> Version | None:
    """The version that is called so, or None."""
    return next((known for known in COLUMNS if known == given), None)


def focus_rows(document: InvoiceDocument, version: Version = "1.3") -> Iterator[tuple[Cell, ...]]:
    """Cells in the order of the version's COLUMNS."""
    for row in _rows(document):
        yield tuple(row.get(column) for column in COLUMNS[version])


def focus_line_rows(
    document: InvoiceDocument, is_wanted: Callable[[Line], bool], version: Version = "1.3"
) -> Iterator[tuple[Cell, ...]]:
    """The rows of some lines as `focus_rows` has them, without those of tax and credit."""
    common = _common(document)
    for line in document.lines:
        if is_wanted(line):
            row = common | _line(document, line)
            yield tuple(row.get(column) for column in COLUMNS[version])


def _rows(document: InvoiceDocument) -> Iterator[Row]:
    common = _common(document)
    for line in document.lines:
        yield common | _line(document, line)
    for tax in document.taxes:
        if tax.tax:
            yield common | _tax(document, tax)
    if document.credit_applied:
        yield common | _credit(document)


def _common(document: InvoiceDocument) -> Row:
    """What all rows of an invoice have alike."""
    start, end = _instant(document.period_start), _instant(document.period_end)
    seller = document.seller.name
    return {
        "BillingAccountId": document.buyer.identifier,
        "BillingAccountName": document.buyer.name,
        "BillingCurrency": document.currency,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "ChargeClass": None if document.kind == "invoice" else "Correction",
        "ChargeFrequency": "One-Time",
        "HostProviderName": seller,
        "InvoiceId": document.reference,
        "InvoiceIssuerName": seller,
        "ProviderName": seller,
        "PublisherName": seller,
        "ServiceProviderName": seller,
        "ServiceName": document.plan or seller,
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Other (Compute)",
    }


def _line(document: InvoiceDocument, line: Line) -> Row:
    category = _CATEGORIES.get(line.kind, "Adjustment")
    corrects = document.kind != "invoice" or line.kind in _CORRECTIONS
    row: Row = {
        "ChargeCategory": category,
        "ChargeClass": "Correction" if corrects else None,
        "ChargeDescription": line.label,
        "ChargeFrequency": _FREQUENCIES.get(category, "One-Time"),
        "ResourceId": line.application_id or None,
        "ResourceName": line.application or None,
        "ResourceType": "Application" if line.application else None,
        "x_Environment": line.environment or None,
        "x_InvoiceLineId": line.line_id,
        "InvoiceDetailId": line.line_id,
        **_costs(_owed(document, line.net)),
    }
    if category in ("Usage", "Purchase") and not corrects:
        row |= _pricing(document, line, category)
    return row


def _pricing(document: InvoiceDocument, line: Line, category: str) -> Row:
    sku = line.price_id or f"{line.kind}:{line.label}"
    row: Row = {
        "PricingCategory": "Standard",
        "SkuId": sku,
        "SkuPriceId": sku,
        "SkuMeter": line.meter or line.label,
        "SkuPriceDetails": _details(line),
        **_price(document, line),
    }
    if category == "Usage":
        row |= {"ConsumedQuantity": line.quantity, "ConsumedUnit": _unit(line)}
    return row


def _price(document: InvoiceDocument, line: Line) -> Row:
    """Quantity and price whose product is the list cost, before rounding to payable amounts."""
    if line.unit_price is not None and line.unit and not document.tax_inclusive:
        cost = EXACT.multiply(line.unit_price, line.quantity)
        quantity, unit, price = line.quantity, _unit(line), line.unit_price
    else:
        cost, price = line.net, abs(line.net)
        quantity, unit = Decimal(-1 if line.net < 0 else 1), _CHARGES
    return {
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "ListCost": cost,
        "ContractedCost": cost,
    }


def _tax(document: InvoiceDocument, tax: TaxGroup) -> Row:
    return {
        "ChargeCategory": "Tax",
        "InvoiceDetailId": f"tax-{tax.category}-{tax.percent.normalize():f}",
        "ChargeDescription": f"Tax {tax.category} {tax.percent.normalize():f}%",
        "ServiceCategory": "Other",
        "ServiceSubcategory": "Other (Other)",
        **_costs(_owed(document, tax.tax)),
    }


def _credit(document: InvoiceDocument) -> Row:
    return {
        "ChargeCategory": "Credit",
        "ChargeDescription": "Paid from credit",
        "InvoiceDetailId": "credit",
        "ServiceCategory": "Other",
        "ServiceSubcategory": "Other (Other)",
        **_costs(-_owed(document, document.credit_applied)),
    }


def _costs(amount: Decimal) -> Row:
    return dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), amount)


def _owed(document: InvoiceDocument, amount: Decimal) -> Decimal:
    return -amount if document.kind == "credit_note" else amount


def _unit(line: Line) -> str:
    return _UNITS.get(line.unit, line.unit or "Units")


def _details(line: Line) -> str | None:
    """Hostmeter's own properties of a price, as a JSON object."""
    own = {f"x_{name}": value for name, value in line.attributes}
    return json.dumps(own, ensure_ascii=False, sort_keys=True) if own else None


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
