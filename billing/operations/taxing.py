"""Writing the lines and taxes of a document that is not issued yet."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from billing.core.currencies import currency_of
from billing.core.money import sum_amounts
from billing.core.tax import (
    Sale,
    TaxableLine,
    TaxCountryUnknown,
    TaxGroup,
    TaxRateUnknown,
    Treatment,
    tax_groups,
)
from billing.line_copy import copy_lines
from billing.models import Invoice, InvoiceLine, InvoiceTax, Price
from billing.queries.parties import billing_settings, buyer_details, seller_details
from billing.taxes import invoice_tax_day, tax_calculator, tax_place

# What lines bear that belong to no price: fees, discounts, minimums.
_DEFAULT_CLASS = Price._meta.get_field("product_class").get_default()


def write_lines(invoice: Invoice, lines: Sequence[InvoiceLine], *, strict: bool) -> None:
    """Make these the lines of a draft, with their taxes, and its totals what they come to.

    Unless `strict`, a tax that cannot be decided is left out: a draft may wait for its rate.
    Raises TaxRateUnknown and TaxCountryUnknown.
    """
    invoice.tax_inclusive = billing_settings().prices_include_tax
    parties = seller_details(), buyer_details(invoice.customer)
    try:
        treatments = decided_treatments(invoice, lines, *parties)
    except (TaxRateUnknown, TaxCountryUnknown):
        if strict:
            raise
        treatments = ()
    replace_lines(invoice, lines, treatments)


def replace_lines(
    invoice: Invoice, lines: Sequence[InvoiceLine], treatments: Sequence[Treatment]
) -> None:
    """Write the lines with their taxes; without treatments none has a tax yet."""
    groups: Sequence[TaxGroup] = ()
    if treatments:
        for line, treatment in zip(lines, treatments, strict=True):
            line.tax_category, line.tax_percent = treatment.category, treatment.percent
        groups = groups_of(invoice, lines, treatments)
    replace_lines_and_taxes(invoice, lines, groups)


def replace_lines_and_taxes(
    invoice: Invoice, lines: Sequence[InvoiceLine], groups: Sequence[TaxGroup]
) -> None:
    """Write lines and tax groups as they are, and the totals that they come to."""
    invoice.lines.all().delete()
    invoice.taxes.all().delete()
    for position, line in enumerate(lines, start=1):
        line.invoice, line.position = invoice, position
    copy_lines(lines)
    InvoiceTax.objects.bulk_create(
        InvoiceTax(
            invoice=invoice,
            category=group.category,
            percent=group.percent,
            taxable=group.taxable,
            tax=group.tax,
            reason=group.reason,
        )
        for group in groups
    )
    invoice.total = sum_amounts([Decimal(line.amount) for line in lines])
    invoice.tax_total = sum_amounts([group.tax for group in groups])
    invoice.save(update_fields=["total", "tax_total", "tax_inclusive"])


def groups_of(
    invoice: Invoice, lines: Sequence[InvoiceLine], treatments: Sequence[Treatment]
) -> tuple[TaxGroup, ...]:
    """The tax groups of lines that are not stored yet."""
    return tax_groups(
        [Decimal(line.amount) for line in lines],
        treatments,
        currency_of(invoice.currency),
        inclusive=invoice.tax_inclusive,
    )


def decided_treatments(
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    seller: Mapping[str, Any],
    buyer: Mapping[str, Any],
) -> tuple[Treatment, ...]:
    """How the tenant's calculator taxes each line. Raises TaxRateUnknown, TaxCountryUnknown."""
    supplied_on = invoice_tax_day(invoice)
    sale = Sale(
        tax_place(seller),
        tax_place(buyer),
        tuple(
            TaxableLine(Decimal(line.amount), _product_class(line), _day(line, supplied_on))
            for line in lines
        ),
    )
    return tax_calculator(billing_settings()).treatments(sale)


def treatments_of_note(original: Invoice, lines: Sequence[InvoiceLine]) -> tuple[Treatment, ...]:
    """How the lines of a note are taxed: as the invoice that it changes was, class by class. What
    that invoice had none of is decided for its buyer and its tax point."""
    reasons = {(tax.category, tax.percent): tax.reason for tax in original.taxes.all()}
    known = {
        _product_class(line): Treatment(
            line.tax_category,
            line.tax_percent or Decimal(0),
            reasons.get((line.tax_category, line.tax_percent or Decimal(0)), ""),
        )
        for line in original.lines.select_related("price")
        if line.tax_category
    }
    new = [line for line in lines if _product_class(line) not in known]
    decided = decided_treatments(original, new, original.seller_details, original.buyer_details)
    chosen = known | {_product_class(line): each for line, each in zip(new, decided, strict=True)}
    return tuple(chosen[_product_class(line)] for line in lines)


def _product_class(line: InvoiceLine) -> str:
    return _DEFAULT_CLASS if line.price is None else line.price.product_class


def _day(line: InvoiceLine, otherwise: date) -> date:
    """Late usage of an earlier period is taxed as that period was."""
    written = line.facts.get("supplied_on")
    return otherwise if written is None else date.fromisoformat(written)
