"""Which tax a line bears, and what the taxes of an invoice come to.

Categories are those of UNCL 5305, as EN 16931 uses them: S standard or reduced rate, Z zero rated,
E exempt, AE reverse charge, K intra-community supply of goods, G export, O outside the scope.

A line is decided by the day on which its supply was completed (the tax point): the last day of its
billing period, so that June is taxed as June is, though its invoice is made in July. Lines of one
category and percentage make a group. The tax of a group is computed from the group's sum and
rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Final, Protocol

from billing.core.currencies import Currency
from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts

# Members of the European Union by their ISO 3166 codes.
EU: Final = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU")
) | frozenset(("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"))

REVERSE_CHARGE: Final = "Reverse charge: the customer accounts for the tax"
EXPORT: Final = "Export outside the European Union"
ABROAD: Final = "Supplied abroad"
NOT_TAXED: Final = "Not subject to tax"


class TaxRateUnknown(Exception):
    """The table has no rate for the country, region and class on that day."""


class TaxCountryUnknown(Exception):
    """Tax is charged by country, and that of the seller or of the buyer is not known."""


@dataclass(frozen=True, slots=True)
class TaxRateEntry:
    """A row of a rate table, valid in [valid_from, valid_to). An empty region or product class
    stands for all of them."""

    country: str
    region: str
    product_class: str
    category: str
    percent: Decimal
    valid_from: date
    valid_to: date | None
    name: str

    def applies(self, place: "TaxPlace", line: "TaxableLine") -> bool:
        """Whether the row may be used for what is supplied there."""
        return (
            self.country == place.country
            and self.region in {"", place.region}
            and self.product_class in {"", line.product_class}
            and self.valid_from <= line.supplied_on
            and (self.valid_to is None or line.supplied_on < self.valid_to)
        )


@dataclass(frozen=True, slots=True)
class TaxPlace:
    """Where a party is, by ISO 3166. `has_vat_id`: it is a business whose VAT id was accepted for
    that country."""

    country: str
    region: str = ""
    has_vat_id: bool = False


@dataclass(frozen=True, slots=True)
class TaxableLine:
    """An amount of a product class, supplied when `supplied_on` ended."""

    amount: Decimal
    product_class: str
    supplied_on: date


@dataclass(frozen=True, slots=True)
class Sale:
    """What is to be taxed."""

    seller: TaxPlace
    buyer: TaxPlace
    lines: tuple[TaxableLine, ...]


@dataclass(frozen=True, slots=True, order=True)
class Treatment:
    """How a line is taxed; `reason` says why it is not."""

    category: str
    percent: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """The lines of one category and percentage: `taxable` is without the tax."""

    category: str
    percent: Decimal
    taxable: Decimal
    tax: Decimal
    reason: str


class TaxCalculator(Protocol):
    """Who decides how lines are taxed: the rate table here, or a service behind the same method."""

    def treatments(self, sale: Sale) -> tuple[Treatment, ...]:
        """One for each line, in order. Raises TaxRateUnknown and TaxCountryUnknown."""
        ...


@dataclass(frozen=True, slots=True)
class RateTable:
    """Decides by a table of rates. Without a single row nothing is taxed."""

    rates: tuple[TaxRateEntry, ...]

    def treatments(self, sale: Sale) -> tuple[Treatment, ...]:
        # Lines of one class and day are treated alike, whatever they cost.
        kinds = {(line.product_class, line.supplied_on): line for line in sale.lines}
        decided = {kind: self._treatment(sale, line) for kind, line in kinds.items()}
        return tuple(decided[line.product_class, line.supplied_on] for line in sale.lines)

    def _treatment(self, sale: Sale, line: TaxableLine) -> Treatment:
        if not self.rates:
            return Treatment("O", ZERO, NOT_TAXED)
        seller, buyer = sale.seller, sale.buyer
        _require_countries(seller, buyer)
        both_in_eu = seller.country in EU and buyer.country in EU
        if both_in_eu and seller.country != buyer.country and buyer.has_vat_id:
            return Treatment("AE", ZERO, REVERSE_CHARGE)
        rate = self._rate(buyer, line)
        if rate is not None:
            return Treatment(rate.category, rate.percent, "" if rate.category == "S" else rate.name)
        if both_in_eu or seller.country == buyer.country:
            raise TaxRateUnknown(
                f"no tax rate is known for {buyer.country} and {line.product_class!r} on "
                f"{line.supplied_on}; add it to the tax rates"
            )
        return Treatment("G", ZERO, EXPORT if seller.country in EU else ABROAD)

    def _rate(self, place: TaxPlace, line: TaxableLine) -> TaxRateEntry | None:
        """The most particular row: the region's before the country's, then the class's before
        that of all classes; of two, the one that began last."""
        found = [rate for rate in self.rates if rate.applies(place, line)]
        return max(
            found,
            key=lambda rate: (rate.region != "", rate.product_class != "", rate.valid_from),
            default=None,
        )


def _require_countries(seller: TaxPlace, buyer: TaxPlace) -> None:
    if not seller.country:
        raise TaxCountryUnknown("the seller's country is not known; enter it in billing settings")
    if not buyer.country:
        raise TaxCountryUnknown(
            "the customer's country is not known; enter it in the customer's billing details"
        )


def tax_groups(
    amounts: Sequence[Decimal],
    treatments: Sequence[Treatment],
    currency: Currency,
    *,
    inclusive: bool,
) -> tuple[TaxGroup, ...]:
    """The groups of lines with these amounts, by category and then the highest percentage first.

    The amounts are in the currency's decimals and, if `inclusive`, contain the tax, which is then
    taken out: taxable and tax of each group sum to what its lines sum to.
    """
    gathered: dict[tuple[str, Decimal], list[Decimal]] = {}
    reasons: dict[tuple[str, Decimal], str] = {}
    for amount, treatment in zip(amounts, treatments, strict=True):
        key = (treatment.category, treatment.percent)
        gathered.setdefault(key, []).append(amount)
        reasons.setdefault(key, treatment.reason)
    groups = []
    for key in sorted(gathered, key=lambda each: (each[0], -each[1])):
        category, percent = key
        total = sum_amounts(gathered[key])
        tax = _rounded(_exact_tax(total, percent, inclusive), currency)
        with localcontext(EXACT):
            taxable = total - tax if inclusive else total
        groups.append(TaxGroup(category, percent, taxable, tax, reasons[key]))
    return tuple(groups)


def line_taxes(
    amounts: Sequence[Decimal],
    treatments: Sequence[Treatment],
    currency: Currency,
    *,
    inclusive: bool,
) -> tuple[Decimal, ...]:
    """Each line's share of its group's tax, by largest remainder: the shares of a group sum to the
    group's tax, and each is less than one minor unit off."""
    shares = [ZERO] * len(amounts)
    for group in tax_groups(amounts, treatments, currency, inclusive=inclusive):
        own = [
            index
            for index, each in enumerate(treatments)
            if (each.category, each.percent) == (group.category, group.percent)
        ]
        exact = [_exact_tax(amounts[index], group.percent, inclusive) for index in own]
        for index, share in zip(own, _spread(group.tax, exact, currency), strict=True):
            shares[index] = share
    return tuple(shares)


def _exact_tax(amount: Decimal, percent: Decimal, inclusive: bool) -> Fraction:
    rate = Fraction(percent) / 100
    return Fraction(amount) * rate / (1 + rate if inclusive else 1)


def _rounded(amount: Fraction, currency: Currency) -> Decimal:
    """Half up, away from zero, like every other rounding: from the exact fraction, for a division
    that was rounded before could come to lie on a half."""
    units = amount / Fraction(currency.minor_unit)
    whole = floor(abs(units) + Fraction(1, 2))
    return _of_units(whole if units >= 0 else -whole, currency)


def _spread(tax: Decimal, exact: Sequence[Fraction], currency: Currency) -> list[Decimal]:
    units = [share / Fraction(currency.minor_unit) for share in exact]
    floors = [floor(share) for share in units]
    missing = int(Fraction(tax) / Fraction(currency.minor_unit)) - sum(floors)
    ranked = sorted(range(len(units)), key=lambda index: (floors[index] - units[index], index))
    raised = frozenset(ranked[:missing])
    return [_of_units(whole + (index in raised), currency) for index, whole in enumerate(floors)]


def _of_units(units: int, currency: Currency) -> Decimal:
    with localcontext(EXACT):
        return Decimal(units) * currency.minor_unit
