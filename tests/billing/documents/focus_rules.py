"""The rules of FOCUS 1.3 and 1.4 for the columns of the Cost and Usage dataset that Hostmeter
exports, from the specification's column definitions, which are written out here and not taken from
the exporter.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

Row = Mapping[str, str]

# All mandatory columns of 1.2 and of 1.3.
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "HostProviderName",
    "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "ServiceCategory", "ServiceName", "ServiceProviderName",
}  # fmt: skip
# Conditional and recommended ones that apply to metered, itemised, invoiced charges.
APPLICABLE = {
    "ChargeFrequency", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId",
    "ListUnitPrice", "PricingCategory", "ResourceId", "ResourceName", "ResourceType",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
}  # fmt: skip
NEVER_NULL = MANDATORY - {
    "BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit",
} | {"ChargeFrequency", "InvoiceId", "ServiceSubcategory"}  # fmt: skip
GONE_IN_1_4 = {"ProviderName", "PublisherName"}
NEW_IN_1_4 = {"InvoiceDetailId"}
DECIMALS = {
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "ListCost", "ListUnitPrice", "PricingQuantity",
}  # fmt: skip
INSTANTS = {"BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases",
        "Developer Tools", "Multicloud", "Identity", "Integration", "Internet of Things",
        "Management and Governance", "Media", "Migration", "Mobile", "Networking", "Security",
        "Storage", "Web", "Other",
    },
    "ServiceSubcategory": {"Other (Compute)", "Other (Other)"},
}  # fmt: skip
PRICED = ("PricingQuantity", "PricingUnit", "ListUnitPrice", "ContractedUnitPrice", "SkuId",
          "SkuPriceId", "PricingCategory")  # fmt: skip
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def broken_focus_rules(rows: Iterable[Row], version: str = "1.3") -> list[str]:
    """What is wrong with the rows of one file."""
    table = list(rows)
    return [
        *_repeated(table if version == "1.4" else []),
        *(
            f"row {number}: {error}"
            for number, row in enumerate(table, start=1)
            for error in (
                *_columns(row, version),
                *_values(row),
                *_terms(row),
                *_nulls(row, version),
                *_products(row),
            )
        ),
    ]


def billed_by_invoice(rows: Iterable[Row]) -> dict[str, Decimal]:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["InvoiceId"]] += Decimal(row["BilledCost"])
    return dict(sums)


def _repeated(rows: list[Row]) -> Iterator[str]:
    details = [(row["InvoiceId"], row["InvoiceDetailId"]) for row in rows]
    if len(set(details)) != len(details):
        yield "an InvoiceDetailId stands for two charges of an invoice"


def _of(version: str, columns: set[str]) -> set[str]:
    return columns if version == "1.3" else columns - GONE_IN_1_4


def _columns(row: Row, version: str) -> Iterator[str]:
    known = _of(version, MANDATORY | APPLICABLE) | (NEW_IN_1_4 if version == "1.4" else set())
    yield from (f"{name} is missing" for name in sorted(known - row.keys()))
    own = row.keys() - known
    yield from (f"{name} is no column" for name in sorted(own) if not name.startswith("x_"))
    names = list(row)
    first_own = next(index for index, name in enumerate(names) if name.startswith("x_"))
    if any(not name.startswith("x_") for name in names[first_own:]):
        yield "a column of the specification stands after one that is not"


def _values(row: Row) -> Iterator[str]:
    for name in DECIMALS:
        if row[name] and not _NUMBER.fullmatch(row[name]):
            yield f"{name} is no number: {row[name]}"
    for name in INSTANTS:
        if not _INSTANT.fullmatch(row[name]):
            yield f"{name} is no instant: {row[name]}"
    for name, allowed in ALLOWED.items():
        if row[name] not in allowed:
            yield f"{name} cannot be {row[name]!r}"


def _terms(row: Row) -> Iterator[str]:
    if not re.fullmatch("[A-Z]{3}", row["BillingCurrency"]):
        yield "BillingCurrency is no ISO 4217 code"
    if row["SkuPriceDetails"] and any(
        not name.startswith("x_") for name in json.loads(row["SkuPriceDetails"])
    ):
        yield "a property of SkuPriceDetails is neither the specification's nor marked as own"
    if row["ChargePeriodStart"] >= row["ChargePeriodEnd"]:
        yield "the charge period does not end after its start"
    if row["ChargeCategory"] == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        yield "a purchase is not usage-based"


def _nulls(row: Row, version: str) -> Iterator[str]:
    category, corrects = row["ChargeCategory"], row["ChargeClass"] == "Correction"
    never = _of(version, NEVER_NULL) | (NEW_IN_1_4 if version == "1.4" else set())
    yield from (f"{name} is null" for name in sorted(never) if not row[name])
    if category in ("Usage", "Purchase") and not corrects:
        yield from (f"{name} is null for {category}" for name in PRICED if not row[name])
    if category == "Tax" or not row["SkuPriceId"]:
        unpriced = (*PRICED, "SkuMeter", "SkuPriceDetails", "ConsumedQuantity")
        yield from (f"{name} is not null" for name in unpriced if row[name])
    consumed = [row["ConsumedQuantity"], row["ConsumedUnit"]]
    if category == "Usage" and not corrects and not all(consumed):
        yield "usage has no ConsumedQuantity"
    if category != "Usage" and any(consumed):
        yield "what is no usage has a ConsumedQuantity"


def _products(row: Row) -> Iterator[str]:
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        if row[price] and Decimal(row[price]) * Decimal(row["PricingQuantity"]) != Decimal(
            row[cost]
        ):
            yield f"{cost} is not {price} times PricingQuantity"
        if row[price] and Decimal(row[price]) < 0:
            yield f"{price} is negative"
    if row["ChargeCategory"] == "Credit" and row["ContractedCost"] != row["BilledCost"]:
        yield "a credit's ContractedCost differs from its BilledCost"
