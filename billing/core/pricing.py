"""From a quantity to an unrounded amount, by the price's model.

Quantities come in raw units, with how many of them make one unit of the price, so that the
only division is the last step. Callers that already count in the price's unit leave
`raw_per_unit` at 1.
"""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.exact import EXACT, ZERO
from billing.core.money import sum_amounts
from billing.core.prices import CumulativeModel, Graduated, PerUnit
from billing.core.prices.bounds import require_quantity_in_unit
from billing.core.prices.stretch import Slice, Stretch
from billing.core.prices.tiers import Tier, TiersNotUsable

__all__ = [
    "Graduated",
    "PerUnit",
    "RatedAmount",
    "Tier",
    "TiersNotUsable",
    "rate",
    "rate_part",
]


@dataclass(slots=True)
class Part:
    """From `start` to `end` of a period's raw quantity.

    `whole` is where the invoice's last line ends (None: here), `billed` where the period's earlier
    invoices ended. `carried` are the raw units of the allowance that earlier periods left over.
    """

    start: Decimal
    end: Decimal
    whole: Decimal | None = None
    billed: Decimal = ZERO
    carried: Decimal = ZERO


@dataclass(slots=True)
class RatedAmount:
    """An unrounded amount and what it is made of; raw quantities are in the meter's unit."""

    raw_included_before: Decimal
    raw_included: Decimal
    raw_billable: Decimal
    slices: tuple[Slice, ...]
    unrounded: Decimal


def rate(
    model: CumulativeModel,
    quantity: Decimal,
    *,
    allowance: Decimal = ZERO,
    raw_per_unit: int = 1,
) -> RatedAmount:
    """The charge for a period's whole `quantity`; the first `allowance` units cost nothing.

    `quantity` is in raw units, `raw_per_unit` of which make one of the price's units, in which
    `allowance` and the tiers' bounds are stated.
    """
    require_quantity_in_unit(allowance, "an allowance")
    return rate_stretch(model, Part(ZERO, quantity), allowance, raw_per_unit)


def rate_part(
    model: CumulativeModel,
    start: Decimal,
    end: Decimal,
    *,
    allowance: Decimal = ZERO,
    raw_per_unit: int = 1,
) -> RatedAmount:
    """The charge for that part of a period's quantity that lies above `start` up to `end`, where
    what lies below is billed already.

    Allowance, tiers and packages are cumulative: the charges of parts that follow each other sum,
    to the last digit, to the charge for the whole. Only of a volume price a later part can be below
    zero, where the whole has come into a cheaper tier.
    """
    require_quantity_in_unit(allowance, "an allowance")
    return rate_stretch(model, Part(start, end, billed=start), allowance, raw_per_unit)


def rate_stretch(
    model: CumulativeModel, part: Part, allowance: Decimal, raw_per_unit: int
) -> RatedAmount:
    """The charge for a part of the period's quantity on an invoice with other lines."""
    start, end = part.start, part.end
    if not ZERO <= start <= end:
        raise ValueError(f"a part runs upwards from zero, not from {start} to {end}")
    whole = end if part.whole is None else part.whole
    if not allowance and not part.carried:
        stretch = Stretch(start, end, whole, part.billed, raw_per_unit)
        return _rated(model, stretch, ZERO, ZERO)
    included = EXACT.add(EXACT.multiply(allowance, Decimal(raw_per_unit)), part.carried)
    before, after = min(start, included), min(end, included)
    stretch = Stretch(
        EXACT.subtract(start, before),
        EXACT.subtract(end, after),
        _above(whole, included),
        _above(part.billed, included),
        raw_per_unit,
    )
    return _rated(model, stretch, before, EXACT.subtract(after, before))


def _above(quantity: Decimal, included: Decimal) -> Decimal:
    return max(EXACT.subtract(quantity, included), ZERO)


def _rated(
    model: CumulativeModel, stretch: Stretch, before: Decimal, included: Decimal
) -> RatedAmount:
    slices: tuple[Slice, ...] = model.charge(stretch)
    amount = slices[0].amount if len(slices) == 1 else sum_amounts([part.amount for part in slices])
    return RatedAmount(
        raw_included_before=before,
        raw_included=included,
        raw_billable=EXACT.subtract(stretch.end, stretch.start),
        slices=slices,
        unrounded=amount,
    )
