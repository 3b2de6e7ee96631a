"""Reads an invoice into an InvoiceDocument. Runs inside a tenant's scope and only reads.

An issued invoice holds the words of its day in `seller_details` and `buyer_details`, whose keys
are the fields of billing.models.parties.Party and:

- seller: tax_number, registration, phone, iban, bic, colour, slug (the tenant's), and as logo the
  digest of a billing.models.Logo, empty where there was none
- buyer: name, reference (the customer's), purchase_order, buyer_reference

Where one of them is empty, as in a draft, today's BillingSettings or BillingDetails stand in; so
they do for a logo or slug that was not kept, as once they were not.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from django.db.models import Model

from billing.core.currencies import Currency, currency_of
from billing.core.exact import EXACT, plain, rounded
from billing.documents.document import InvoiceDocument, Kind, Line, Party, Reference, TaxGroup
from billing.documents.net_amounts import net_amounts
from billing.models import (
    BillingDetails,
    BillingSettings,
    Invoice,
    InvoiceLine,
    InvoiceTax,
    Logo,
    Price,
)
from tenants.models import Tenant
from tenants.scope import current_tenant_id

_PARTY: Final = (
    "legal_name", "street", "postcode", "city", "region", "country", "vat_id", "email", "peppol_id",
    "language",
)  # fmt: skip
_SELLER: Final = (
    *_PARTY, "tax_number", "registration", "phone", "iban", "bic", "colour", "logo_svg",
)  # fmt: skip
_WINDOWS_MAX: Final = 20
_BUYER: Final = (*_PARTY, "purchase_order", "buyer_reference")


def invoice_document(invoice: Invoice) -> InvoiceDocument:
    """The invoice as its files show it."""
    currency = currency_of(invoice.currency)
    zone = ZoneInfo(invoice.time_zone)
    issued_at = invoice.finalized_at or invoice.created_at
    seller, buyer = _seller(invoice), _buyer(invoice)
    rows = list(InvoiceTax.objects.filter(invoice=invoice))
    taxes = tuple(_tax_group(row, currency) for row in rows)
    money = _money(invoice, currency)
    windows, more_windows = _windows(invoice)
    document = InvoiceDocument(
        invoice_id=str(invoice.pk),
        kind=cast(Kind, invoice.issued_as),
        reference=invoice.reference,
        is_draft=invoice.number is None,
        issued_at=issued_at,
        issued_on=issued_at.astimezone(zone).date(),
        due_on=None if invoice.due_at is None else invoice.due_at.astimezone(zone).date(),
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        first_day=invoice.period_start.astimezone(zone).date(),
        last_day=_last_day(invoice.period_end, zone),
        time_zone=invoice.time_zone,
        currency=currency.code,
        seller=_party(seller, invoice.seller, seller["slug"]),
        buyer=_party(
            buyer, buyer.get("name") or invoice.billed_to,
            buyer.get("reference") or invoice.customer_reference,
        ),
        plan=invoice.plan_label,
        lines=_lines(invoice, taxes, currency),
        taxes=taxes,
        tax_inclusive=invoice.tax_inclusive,
        refers_to=_refers_to(invoice, zone),
        reason=invoice.reason,
        windows=windows,
        more_windows=more_windows,
        iban=seller["iban"].replace(" ", ""),
        bic=seller["bic"],
        purchase_order=buyer["purchase_order"],
        buyer_reference=buyer["buyer_reference"],
        language=buyer["language"] or seller["language"] or "en",
        colour=seller["colour"] or "#1f6feb",
        logo_svg=seller["logo_svg"],
        **money,
    )  # fmt: skip
    return document if invoice.issued_as == invoice.kind else _turned(document)


def _turned(document: InvoiceDocument) -> InvoiceDocument:
    """An invoice that comes to less than nothing, as the credit note that it is issued as: what it
    gives back is positive there, and what it charges below zero."""
    minus = EXACT.minus
    lines = tuple(
        replace(line, quantity=minus(line.quantity), amount=minus(line.amount), net=minus(line.net))
        for line in document.lines
    )
    taxes = tuple(
        replace(each, taxable=minus(each.taxable), tax=minus(each.tax)) for each in document.taxes
    )
    return replace(
        document,
        lines=lines,
        taxes=taxes,
        total=minus(document.total),
        net=minus(document.net),
        tax=minus(document.tax),
        gross=minus(document.gross),
        credit_applied=minus(document.credit_applied),
        payable=minus(document.payable),
    )


def _money(invoice: Invoice, currency: Currency) -> dict[str, Decimal]:
    amounts = {
        "total": invoice.total,
        "net": EXACT.subtract(invoice.gross, invoice.tax_total),
        "tax": invoice.tax_total,
        "gross": invoice.gross,
        "credit_applied": invoice.credit_applied,
        "payable": invoice.payable,
    }
    return {name: _amount(value, currency) for name, value in amounts.items()}


def _amount(value: Decimal, currency: Currency) -> Decimal:
    """Stored amounts have more decimals than their currency, all of them zeros."""
    return rounded(value, currency.minor_unit)


def _seller(invoice: Invoice) -> dict[str, str]:
    kept = invoice.seller_details
    details = _details(kept, _SELLER, BillingSettings.objects.first())
    if "logo" in kept:
        logo = Logo.objects.filter(digest=kept["logo"]).first() if kept["logo"] else None
        details["logo_svg"] = "" if logo is None else logo.svg
    slug = kept.get("slug") or Tenant.objects.get(pk=current_tenant_id()).slug
    return details | {"slug": slug}


def _buyer(invoice: Invoice) -> dict[str, str]:
    live = BillingDetails.objects.filter(customer_id=invoice.customer_id).first()
    return _details(invoice.buyer_details, _BUYER, live)


def _details(frozen: Mapping[str, Any], names: Sequence[str], live: Model | None) -> dict[str, str]:
    today = {name: getattr(live, name, "") for name in names}
    if not frozen:
        return today
    known = {name: str(value) for name, value in frozen.items() if isinstance(value, str)}
    logo = {name: value for name, value in today.items() if name == "logo_svg"}
    return dict.fromkeys(names, "") | logo | known


def _party(details: Mapping[str, str], name: str, identifier: str) -> Party:
    fields = ("street", "postcode", "city", "region", "country", "email")
    extra = ("tax_number", "registration", "phone", "peppol_id")
    return Party(
        name=details["legal_name"] or name,
        identifier=identifier,
        # People write them in groups; programs do not.
        vat_id="".join(filter(str.isalnum, details["vat_id"])).upper(),
        **{field: details.get(field, "") for field in (*fields, *extra)},
    )


def _last_day(end: datetime, zone: ZoneInfo) -> date:
    """The last day of a period that ends before `end`."""
    return (end - timedelta(microseconds=1)).astimezone(zone).date()


def _windows(invoice: Invoice) -> tuple[tuple[tuple[datetime, datetime], ...], int]:
    """The stretches of time whose usage a note's lines are about, each once, oldest first, and how
    many more there are."""
    if invoice.kind == Invoice.Kind.INVOICE:
        return (), 0
    facts = list(InvoiceLine.objects.filter(invoice=invoice).values_list("facts", flat=True))
    found = {
        (datetime.fromisoformat(each["from"]), datetime.fromisoformat(each["to"]))
        for told in facts
        for each in told.get("windows", [])
    }
    shown = sorted(found)[:_WINDOWS_MAX]
    more = max((told.get("more_windows", 0) for told in facts), default=0)
    return tuple(shown), len(found) - len(shown) + more


def _refers_to(invoice: Invoice, zone: ZoneInfo) -> Reference | None:
    earlier = invoice.refers_to
    if earlier is None:
        return None
    issued_at = earlier.finalized_at
    return Reference(
        earlier.reference, None if issued_at is None else issued_at.astimezone(zone).date()
    )


def _tax_group(row: InvoiceTax, currency: Currency) -> TaxGroup:
    return TaxGroup(
        category=row.category,
        percent=Decimal(plain(row.percent)),
        taxable=_amount(row.taxable, currency),
        tax=_amount(row.tax, currency),
        reason=row.reason,
    )


def _lines(invoice: Invoice, taxes: Sequence[TaxGroup], currency: Currency) -> tuple[Line, ...]:
    rows = list(
        InvoiceLine.objects.filter(invoice=invoice).select_related("price").order_by("position")
    )
    amounts = [_amount(row.amount, currency) for row in rows]
    nets = amounts
    if invoice.tax_inclusive:
        nets = _nets(rows, amounts, taxes, currency)
    return tuple(
        _line(row, amount, net, currency)
        for row, amount, net in zip(rows, amounts, nets, strict=True)
    )


def _nets(
    rows: Sequence[InvoiceLine],
    amounts: Sequence[Decimal],
    taxes: Sequence[TaxGroup],
    currency: Currency,
) -> list[Decimal]:
    of_group = defaultdict(list)
    for index, row in enumerate(rows):
        of_group[row.tax_category, row.tax_percent or Decimal(0)].append(index)
    nets = list(amounts)
    for tax in taxes:
        indexes = of_group[tax.category, tax.percent]
        own = net_amounts([amounts[index] for index in indexes], tax.percent, tax.taxable, currency)
        for index, net in zip(indexes, own, strict=True):
            nets[index] = net
    return nets


def _line(row: InvoiceLine, amount: Decimal, net: Decimal, currency: Currency) -> Line:
    quantity = Decimal(plain(row.quantity))
    return Line(
        position=row.position,
        kind=row.kind,
        label=row.label,
        application=row.application_name,
        environment=row.environment_name,
        meter=row.meter,
        unit=row.unit,
        attributes=tuple(sorted((str(name), str(value)) for name, value in row.attributes.items())),
        quantity=quantity,
        unit_price=_unit_price(row.price, quantity, amount, currency),
        amount=amount,
        net=net,
        tax_category=row.tax_category,
        tax_percent=None if row.tax_percent is None else Decimal(plain(row.tax_percent)),
        line_id=str(row.pk),
        application_id=str(row.application_id or ""),
        price_id=str(row.price_id or ""),
        of_kind=str(row.facts.get("of_kind", row.kind)),
    )


def _unit_price(
    price: Price | None, quantity: Decimal, amount: Decimal, currency: Currency
) -> Decimal | None:
    """The price per unit, where the amount is that times the quantity, but for rounding."""
    if price is None or price.kind != Price.Kind.PER_UNIT or price.unit_price is None:
        return None
    unit_price = Decimal(plain(price.unit_price))
    off = EXACT.subtract(EXACT.multiply(quantity, unit_price), amount)
    return unit_price if abs(off) < currency.minor_unit else None
