"""A tenant's stored tax rates and parties as the tax core takes them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from stdnum.eu import vat
from stdnum.util import get_cc_module

from billing.core.tax import EU, RateTable, TaxCalculator, TaxPlace, TaxRateEntry
from billing.models import BillingSettings, Invoice, TaxRate

# VAT ids of Greece begin with EL, whatever ISO 3166 says.
_VAT_PREFIXES: Final = {"GR": "EL"}


def tax_calculator(settings: BillingSettings) -> TaxCalculator:
    """The one that the tenant chose. The table is all there is; one more is one more entry here
    and in BillingSettings.TaxCalculator."""
    calculators = {BillingSettings.TaxCalculator.TABLE: _rate_table}
    return calculators[BillingSettings.TaxCalculator(settings.tax_calculator)]()


def _rate_table() -> RateTable:
    return RateTable(
        tuple(
            TaxRateEntry(
                country=rate.country,
                region=rate.region,
                product_class=rate.product_class,
                category=rate.category,
                percent=rate.percent,
                valid_from=rate.valid_from,
                valid_to=rate.valid_to,
                name=rate.name,
            )
            for rate in TaxRate.objects.all()
        )
    )


def tax_place(details: Mapping[str, Any]) -> TaxPlace:
    """Where a party is, from what an invoice keeps of it."""
    country = details.get("country", "")
    return TaxPlace(
        country=country,
        region=details.get("region", ""),
        has_vat_id=accepts_vat_id(details.get("vat_id", ""), country),
    )


def accepts_vat_id(vat_id: str, country: str) -> bool:
    """Whether this is a VAT id of the country, by its form and check digits. Nobody is asked, so
    it does not say that the number was given out or to whom."""
    compact = vat_id.replace(" ", "").upper()
    prefix = _VAT_PREFIXES.get(country, country)
    return bool(prefix) and compact.startswith(prefix) and bool(vat.is_valid(compact))


def may_be_vat_id(vat_id: str, country: str) -> bool:
    """Whether a party may have this VAT id, or none, so that documents can show it: in the EU one
    that is accepted; elsewhere one that begins with the country's code, as electronic invoices ask
    for, and keeps the country's own rules as far as they are known."""
    if not vat_id or not country:
        return True
    if country in EU:
        return accepts_vat_id(vat_id, country)
    rules = get_cc_module(country, "vat")
    begins = vat_id.replace(" ", "").upper().startswith(country)
    return begins and (rules is None or bool(rules.is_valid(vat_id)))


def tax_day(period_end: datetime, time_zone: str) -> date:
    """The tax point of a period: the local day on which its last moment lies."""
    last = period_end - timedelta(microseconds=1)
    return last.astimezone(ZoneInfo(time_zone)).date()


def invoice_tax_day(invoice: Invoice) -> date:
    return tax_day(invoice.period_end, invoice.time_zone)
