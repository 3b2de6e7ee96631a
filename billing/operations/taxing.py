"""Writing the lines and taxes of documents that are not issued yet."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from billing.core.currencies import currency_of
from billing.core.money import sum_amounts
from billing.core.tax import (
    Sale,
    TaxableLine,
    TaxCalculator,
    TaxCountryUnknown,
    TaxGroup,
    TaxPlace,
    TaxRateUnknown,
    Treatment,
    tax_groups,
)
from billing.line_copy import Line, copy_lines
from billing.models import Invoice, InvoiceLine, InvoiceTax, Price
from billing.queries.parties import billing_settings, buyers_details, seller_details
from billing.taxes import invoice_tax_day, tax_calculator, tax_place

# What lines bear that belong to no price: fees, discounts, minimums.
_DEFAULT_CLASS = Price._meta.get_field("product_class").get_default()
# Product classes by the ids of prices; what is of no price has the default one.
_Classes = Mapping[UUID | None, str]


@dataclass(frozen=True, slots=True)
class TaxBasis:
    """What the documents of some customers are taxed by."""

    prices_include_tax: bool
    calculator: TaxCalculator
    seller: TaxPlace
    buyers: Mapping[UUID, TaxPlace]


def tax_basis(customer_ids: Collection[UUID]) -> TaxBasis:
    """By what is known now, in as many queries for many customers as for one."""
    settings = billing_settings()
    return TaxBasis(
        prices_include_tax=settings.prices_include_tax,
        calculator=tax_calculator(settings),
        seller=tax_place(seller_details(settings)),
        buyers={
            customer_id: tax_place(details)
            for customer_id, details in buyers_details(customer_ids).items()
        },
    )


@dataclass(slots=True)
class Document:
    """A document that is not issued yet, and the lines that it gets."""

    invoice: Invoice
    lines: Sequence[Line]
    groups: Sequence[TaxGroup] = ()


def write_lines(invoice: Invoice, lines: Sequence[Line], *, strict: bool) -> None:
    """Make these the lines of a stored draft, with their taxes, and its totals what they come to.

    Unless `strict`, a tax that cannot be decided is left out: a draft may wait for its rate.
    Raises TaxRateUnknown and TaxCountryUnknown.
    """
    document = Document(invoice, lines)
    tax([document], tax_basis([invoice.customer_id]), strict=strict)
    replace_lines_and_taxes(invoice, lines, document.groups)


def tax(documents: Sequence[Document], basis: TaxBasis, *, strict: bool = False) -> None:
    """Give each document its taxes, and its totals what lines and taxes come to; as write_lines
    does, but storing nothing."""
    classes = _product_classes([line for document in documents for line in document.lines])
    for document in documents:
        document.invoice.tax_inclusive = basis.prices_include_tax
        try:
            document.groups = _taxed(document, basis, classes)
        except (TaxRateUnknown, TaxCountryUnknown):
            if strict:
                raise
        total(document)


def require_taxes(invoice: Invoice, lines: Sequence[Line]) -> None:
    """Raises TaxRateUnknown or TaxCountryUnknown where the lines cannot be taxed as things are."""
    basis = tax_basis([invoice.customer_id])
    buyer, classes = basis.buyers[invoice.customer_id], _product_classes(lines)
    basis.calculator.treatments(_sale(invoice, lines, basis.seller, buyer, classes))


def _taxed(document: Document, basis: TaxBasis, classes: _Classes) -> Sequence[TaxGroup]:
    invoice, lines = document.invoice, document.lines
    buyer = basis.buyers[invoice.customer_id]
    sale = _sale(invoice, lines, basis.seller, buyer, classes)
    treatments = basis.calculator.treatments(sale)
    if not treatments:
        return ()
    for line, treatment in zip(lines, treatments, strict=True):
        line.tax_category, line.tax_percent = treatment.category, treatment.percent
    return groups_of(invoice, lines, treatments)


def total(document: Document) -> None:
    """Make the document's totals what its lines and tax groups come to."""
    invoice = document.invoice
    invoice.total = sum_amounts([Decimal(line.amount) for line in document.lines])
    invoice.tax_total = sum_amounts([group.tax for group in document.groups])


def replace_lines_and_taxes(
    invoice: Invoice, lines: Sequence[Line], groups: Sequence[TaxGroup]
) -> None:
    """Write lines and tax groups as they are, and the totals that they come to."""
    invoice.lines.all().delete()
    invoice.taxes.all().delete()
    document = Document(invoice, lines, groups)
    store([document])
    total(document)
    invoice.save(update_fields=["total", "tax_total", "tax_inclusive"])


def store(documents: Sequence[Document]) -> None:
    """Store the lines and taxes of stored documents that have none."""
    for document in documents:
        for position, line in enumerate(document.lines, start=1):
            line.invoice_id, line.position = document.invoice.pk, position
    copy_lines(line for document in documents for line in document.lines)
    InvoiceTax.objects.bulk_create(
        InvoiceTax(
            invoice=document.invoice,
            category=group.category,
            percent=group.percent,
            taxable=group.taxable,
            tax=group.tax,
            reason=group.reason,
        )
        for document in documents
        for group in document.groups
    )


def groups_of(
    invoice: Invoice, lines: Sequence[Line], treatments: Sequence[Treatment]
) -> tuple[TaxGroup, ...]:
    """The tax groups of lines that are not stored yet."""
    return tax_groups(
        [Decimal(line.amount) for line in lines],
        treatments,
        currency_of(invoice.currency),
        inclusive=invoice.tax_inclusive,
    )


def treatments_of_note(original: Invoice, lines: Sequence[Line]) -> tuple[Treatment, ...]:
    """How the lines of a note are taxed: as the invoice that it changes was, class by class. What
    that invoice had none of is decided for its buyer and its tax point. Late usage of an earlier
    period that stands on the invoice says nothing of the invoice's own."""
    reasons = {(tax.category, tax.percent): tax.reason for tax in original.taxes.all()}
    billed = list(original.lines.exclude(kind=InvoiceLine.Kind.LATE_USAGE))
    classes = _product_classes([*billed, *lines])
    known = {
        classes[line.price_id]: Treatment(
            line.tax_category,
            line.tax_percent or Decimal(0),
            reasons.get((line.tax_category, line.tax_percent or Decimal(0)), ""),
        )
        for line in billed
        if line.tax_category
    }
    new = [line for line in lines if classes[line.price_id] not in known]
    seller, buyer = tax_place(original.seller_details), tax_place(original.buyer_details)
    sale = _sale(original, new, seller, buyer, classes)
    decided = tax_calculator(billing_settings()).treatments(sale)
    chosen = known | {classes[line.price_id]: each for line, each in zip(new, decided, strict=True)}
    return tuple(chosen[classes[line.price_id]] for line in lines)


def _sale(
    invoice: Invoice,
    lines: Sequence[Line],
    seller: TaxPlace,
    buyer: TaxPlace,
    classes: _Classes,
) -> Sale:
    supplied_on = invoice_tax_day(invoice)
    return Sale(
        seller,
        buyer,
        tuple(
            TaxableLine(Decimal(line.amount), classes[line.price_id], _day(line, supplied_on))
            for line in lines
        ),
    )


def _product_classes(lines: Iterable[Line]) -> _Classes:
    ids = {line.price_id for line in lines if line.price_id}
    rows = Price.objects.filter(pk__in=ids).values_list("pk", "product_class")
    return {None: _DEFAULT_CLASS, **dict(rows)}


def _day(line: Line, otherwise: date) -> date:
    """Late usage of an earlier period is taxed as that period was."""
    written = line.facts.get("supplied_on")
    return otherwise if written is None else date.fromisoformat(written)
