"""A customer's usage over all applications, charged under a plan's prices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from billing.core.currencies import Currency, currency_of
from billing.core.exact import EXACT, ZERO
from billing.core.fees import minimum_line, percentage_lines, recurring_line
from billing.core.money import sum_amounts
from billing.core.prices import CumulativeModel, Flat, Percentage
from billing.core.prices.proration import WHOLE, Proration
from billing.core.pricing import Part, rate_stretch
from billing.core.quantity import plus, unit_of
from billing.core.rating import (
    PriceSpec,
    RatedInvoice,
    RatingInput,
    UnroundedLine,
    UsageQuantity,
    rate_invoice,
    rated_amount,
    unrounded_line,
)
from billing.core.readings import Reading


class DuplicateUsage(ValueError):
    """One application's quantity of one reading was given twice."""


class DuplicatePrice(ValueError):
    """Two prices have the same id or code."""


class UnknownCode(ValueError):
    """A percentage names a price that the plan has not, or that is a percentage itself."""


@dataclass(frozen=True, slots=True)
class PeriodTerms:
    """What an invoice charges beside usage.

    `in_use` is the share of its period for which fees in arrears and minimums are charged, `ahead`
    that of the period that follows, for fees in advance; None: none. By prices' codes, in raw
    units: `carried` is what earlier periods' allowances left over, `billed` what the period's
    earlier invoices charged already. A minimum is charged only on the period's `last` invoice.
    """

    in_use: Proration = WHOLE
    ahead: Proration | None = WHOLE
    carried: Mapping[str, Decimal] = field(default_factory=dict)
    billed: Mapping[str, int | Decimal] = field(default_factory=dict)
    charged: Mapping[str, Decimal] = field(default_factory=dict)
    last: bool = True


WHOLE_PERIOD: Final = PeriodTerms()


def rate_usage(
    prices: Sequence[PriceSpec],
    usage: Iterable[UsageQuantity],
    currency: str,
    terms: PeriodTerms = WHOLE_PERIOD,
) -> RatedInvoice:
    """Charge a period's usage: usage_lines, rounded."""
    return rate_invoice(usage_lines(prices, usage, currency, terms), currency)


def usage_lines(
    prices: Sequence[PriceSpec],
    usage: Iterable[UsageQuantity],
    currency: str,
    terms: PeriodTerms = WHOLE_PERIOD,
) -> list[UnroundedLine]:
    """What the prices charge in a period, before rounding: one line per metered price, application
    and cell that has usage of its reading, and the lines of fees, percentages and minimums.

    Usage that the price does not accept is not charged; with nothing else a line comes to 0.
    Lines stand in the order of the prices, then of the applications' names, ids and cells; the
    order of `usage` means nothing. Allowance, tiers and packages of a price are the customer's,
    once a period: each line goes on where the line before left them. Usage without a price costs
    nothing and has no line. Raises DuplicateUsage, DuplicatePrice, UnknownCode,
    prices.matrix.NoRowFits and UnknownCurrency.
    """
    paid_in = currency_of(currency)
    require_plan(prices)
    by_reading = usage_by_reading(usage)
    by_price: dict[str, list[UnroundedLine]] = {}
    for price in prices:
        if not isinstance(price.model, Percentage):
            used = by_reading.get(price.reading, ()) if price.reading else ()
            by_price[price.code or price.id] = _lines_of_price(price, used, paid_in, terms)
    for price in prices:
        if isinstance(price.model, Percentage):
            bases = [line for code in price.model.of for line in by_price[code]]
            own = percentage_lines(price, price.model, _chargeable(bases), paid_in)
            by_price[price.code or price.id] = own
    lines = []
    for price in prices:
        own = by_price[price.code or price.id]
        lines += own
        minimum = _minimum(price, own, paid_in, terms)
        if minimum is not None:
            lines.append(minimum)
    return lines


def require_plan(prices: Sequence[PriceSpec]) -> None:
    """Refuse prices that do not go together. Raises DuplicatePrice and UnknownCode."""
    seen: set[str] = set()
    for price in prices:
        for name in {price.id, price.code or price.id}:
            if name in seen:
                raise DuplicatePrice(f"two prices have the id or code {name}")
        seen |= {price.id, price.code or price.id}
    bases = {price.code for price in prices if not isinstance(price.model, Percentage)}
    for price in prices:
        if isinstance(price.model, Percentage):
            for code in price.model.of:
                if code not in bases:
                    there_are = (
                        f"there are {', '.join(sorted(bases))}" if bases else "there is none"
                    )
                    raise UnknownCode(
                        f"no price has the code {code!r} that a percentage can be taken of; "
                        f"{there_are}"
                    )


def readings_of(prices: Iterable[PriceSpec]) -> list[Reading]:
    """What has to be read for the prices, each once, in their order."""
    return list(dict.fromkeys(price.reading for price in prices if price.reading))


def _lines_of_price(
    price: PriceSpec, usage: Sequence[UsageQuantity], currency: Currency, terms: PeriodTerms
) -> list[UnroundedLine]:
    if isinstance(price.model, Flat):
        in_use = terms.ahead if price.model.timing == "advance" else terms.in_use
        if in_use is None or not in_use.numerator:
            return []
        return [recurring_line(price, price.model, currency, in_use)]
    billed, carried = terms.billed.get(price.code, 0), terms.carried.get(price.code, ZERO)
    whole = plus(billed, *(used.quantity for used in usage))
    before, charged = billed, _charged_before(price, terms)
    lines = []
    for used in usage:
        line = RatingInput(price, used, currency, before, whole, billed, carried, charged)
        amount = rated_amount(line)
        lines.append(unrounded_line(line, amount))
        before = plus(before, used.quantity)
        charged = EXACT.add(charged, amount.unrounded)
    return lines


def _charged_before(price: PriceSpec, terms: PeriodTerms) -> Decimal:
    """What the price charged on the period's earlier invoices, its maximum left aside: it can be
    known from the quantity, and has to be where more usage can cost less."""
    billed = terms.billed.get(price.code)
    if price.maximum is None or not billed:
        return ZERO
    if not isinstance(price.model, CumulativeModel) or price.reading is None:
        return terms.charged.get(price.code, ZERO)
    return rate_stretch(
        price.model,
        Part(ZERO, Decimal(billed), carried=terms.carried.get(price.code, ZERO)),
        price.allowance,
        unit_of(price.reading, price.unit).raw_per_unit,
    ).unrounded


def _minimum(
    price: PriceSpec, lines: Sequence[UnroundedLine], currency: Currency, terms: PeriodTerms
) -> UnroundedLine | None:
    if price.minimum is None or not terms.last:
        return None
    amounts = [line.unrounded for line in lines]
    charged = sum_amounts([terms.charged.get(price.code, ZERO), *amounts])
    return minimum_line(price, charged, currency, terms.in_use)


def _chargeable(lines: Iterable[UnroundedLine]) -> list[UnroundedLine]:
    return [line for line in lines if line.unrounded]


def usage_by_reading(usage: Iterable[UsageQuantity]) -> Mapping[Reading, list[UsageQuantity]]:
    """Each reading's quantities in the order of their lines. Raises DuplicateUsage."""
    by_reading: defaultdict[Reading, list[UsageQuantity]] = defaultdict(list)
    for used in usage:
        by_reading[used.reading].append(used)
    for quantities in by_reading.values():
        _require_once(quantities)
        quantities.sort(
            key=lambda used: (used.application_name, used.application_id or "", used.attributes)
        )
    return by_reading


def _require_once(quantities: Sequence[UsageQuantity]) -> None:
    seen = set()
    for used in quantities:
        key = (used.application_id, used.attributes)
        if key in seen:
            raise DuplicateUsage(f"{used.meter} of application {used.application_id} stands twice")
        seen.add(key)
