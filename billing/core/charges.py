"""A customer's usage over all applications, charged under a plan's prices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from billing.core.currencies import Currency, currency_of
from billing.core.rating import (
    PriceSpec,
    RatedInvoice,
    RatingInput,
    UnroundedLine,
    UsageQuantity,
    rate_invoice,
    rate_line,
)

# Usage of a meter, as far as it was measured in the qualities.
_Kind = tuple[str, frozenset[str]]


class DuplicateUsage(ValueError):
    """One application's quantity of one meter was given twice."""


class DuplicatePrice(ValueError):
    """Two prices have the same id."""


def rate_usage(
    prices: Sequence[PriceSpec], usage: Iterable[UsageQuantity], currency: str
) -> RatedInvoice:
    """Charge a period's usage: one line per price and application that has usage of its meter.

    Usage that the price does not accept is not charged; with nothing else a line comes to 0.
    Lines stand in the order of the prices, then of the applications' names and ids; the order
    of `usage` means nothing. Allowance and tiers of a price are the customer's, once a period:
    each line goes on where the line before left them. Usage without a price costs nothing and
    has no line. Raises DuplicateUsage, DuplicatePrice and UnknownCurrency.
    """
    paid_in = currency_of(currency)
    _require_distinct(prices)
    usage_by_kind = _usage_by_kind(usage)
    lines: list[UnroundedLine] = []
    for price in prices:
        accepted = usage_by_kind.get((price.meter, price.accepts), ())
        lines += _lines_of_price(price, accepted, paid_in)
    return rate_invoice(lines, currency)


def _lines_of_price(
    price: PriceSpec, usage: Sequence[UsageQuantity], currency: Currency
) -> list[UnroundedLine]:
    lines = []
    used_before = 0
    for used in usage:
        lines.append(rate_line(RatingInput(price, used, currency, used_before)))
        used_before += used.quantity
    return lines


def _usage_by_kind(usage: Iterable[UsageQuantity]) -> Mapping[_Kind, Sequence[UsageQuantity]]:
    by_kind: defaultdict[_Kind, list[UsageQuantity]] = defaultdict(list)
    seen: set[tuple[str, _Kind]] = set()
    for used in usage:
        kind = (used.meter, used.accepts)
        if (used.application_id, kind) in seen:
            raise DuplicateUsage(f"{used.meter} of application {used.application_id} stands twice")
        seen.add((used.application_id, kind))
        by_kind[kind].append(used)
    for quantities in by_kind.values():
        quantities.sort(key=lambda used: (used.application_name, used.application_id))
    return by_kind


def _require_distinct(prices: Sequence[PriceSpec]) -> None:
    seen: set[str] = set()
    for price in prices:
        if price.id in seen:
            raise DuplicatePrice(f"two prices have the id {price.id}")
        seen.add(price.id)
