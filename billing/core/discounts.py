"""Discounts: lines below zero, for what other lines come to.

Discounts of single prices go first, then those of the whole invoice; among each, in the order of
their positions, and at equal positions percentages before amounts. Each takes from what the
discounts before it left, and never below zero. A discount has one line for each price that it
takes from, so that each part is taxed as what it takes from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from billing.core import explanation
from billing.core.exact import EXACT, QUOTIENT_DECIMALS, ZERO, plain, quotient, shortened
from billing.core.explanation import Step, step
from billing.core.money import sum_amounts
from billing.core.rating import NO_PROVENANCE, UnroundedLine

PERCENT_DECIMALS_MAX: Final = 4
_HUNDRED: Final = Decimal(100)


class DiscountNotUsable(ValueError):
    """A discount is neither a share of up to 100 % nor an amount above zero, or both."""


@dataclass(frozen=True, slots=True)
class DiscountTerm:
    """A discount that applies to the period. Without `codes` it is of the whole invoice.

    Raises DiscountNotUsable.
    """

    id: str
    name: str
    position: int = 1
    percent: Decimal | None = None
    amount: Decimal | None = None
    codes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.amount is None):
            raise DiscountNotUsable("a discount is a percentage or an amount")
        if self.percent is not None and not ZERO < self.percent <= _HUNDRED:
            raise DiscountNotUsable(f"a percentage is above 0 and up to 100, not {self.percent}")
        if self.amount is not None and self.amount <= ZERO:
            raise DiscountNotUsable(f"an amount is above zero, not {self.amount}")

    def takes_from(self, code: str) -> bool:
        """Whether it is of the price with this code, or of the whole invoice."""
        return not self.codes or code in self.codes

    @property
    def order(self) -> tuple[bool, int, bool, str]:
        """Its place among all discounts of an invoice."""
        return (not self.codes, self.position, self.percent is None, self.id)


def discount_lines(
    lines: Sequence[UnroundedLine],
    discounts: Sequence[DiscountTerm],
    code_of: Mapping[str, str],
) -> list[UnroundedLine]:
    """The discounts' lines for an invoice of `lines`. `code_of` names prices' codes by their ids;
    what has no price, such as a minimum, is discounted with the whole invoice alone."""
    first = _first_of_each_price(lines)
    left = {
        price_id: sum_amounts([each.unrounded for each in lines if each.price_id == price_id])
        for price_id in first
    }
    taken_lines = []
    for discount in sorted(discounts, key=lambda each: each.order):
        before = {
            price_id: amount
            for price_id, amount in left.items()
            if amount > ZERO
            and (not discount.codes or code_of.get(price_id or "") in discount.codes)
        }
        for price_id, taken in _taken(discount, before).items():
            if taken:
                left[price_id] = EXACT.subtract(left[price_id], taken)
                part = _Part(discount, before, price_id, taken)
                taken_lines.append(_line(part, first[price_id]))
    return taken_lines


@dataclass(frozen=True, slots=True)
class _Part:
    """What a discount takes from one price, of what `before` says was left of each."""

    discount: DiscountTerm
    before: Mapping[str | None, Decimal]
    price_id: str | None
    taken: Decimal


def _taken(discount: DiscountTerm, left: Mapping[str | None, Decimal]) -> dict[str | None, Decimal]:
    if discount.percent is not None:
        percent = discount.percent
        return {
            price_id: quotient(EXACT.multiply(amount, percent), 100)
            for price_id, amount in left.items()
        }
    total = sum_amounts(list(left.values()))
    return _allocated(min(discount.amount or ZERO, total), left)


def _allocated(amount: Decimal, left: Mapping[str | None, Decimal]) -> dict[str | None, Decimal]:
    """`amount` over the prices in proportion to what is left of them, to the last digit: each has
    the difference of two shares, to 30 decimals, half up."""
    total = _whole(sum_amounts(list(left.values())))
    shares = {}
    reached, allocated = 0, 0
    for price_id, own in left.items():
        reached += _whole(own)
        upto = (2 * _whole(amount) * reached + total) // (2 * total)
        shares[price_id] = Decimal(upto - allocated).scaleb(-QUOTIENT_DECIMALS, EXACT)
        allocated = upto
    return shares


def _whole(amount: Decimal) -> int:
    return int(EXACT.to_integral_exact(amount.scaleb(QUOTIENT_DECIMALS, EXACT)))


def _first_of_each_price(lines: Sequence[UnroundedLine]) -> dict[str | None, UnroundedLine]:
    first: dict[str | None, UnroundedLine] = {}
    for line in lines:
        first.setdefault(line.price_id, line)
    return first


def _line(part: _Part, of: UnroundedLine) -> UnroundedLine:
    # Negating by "-" would round to the context's digits.
    code, off = of.currency.code, part.taken.copy_negate()
    label = f"{part.discount.name}: {of.label}"
    return replace(
        of,
        application_id=None,
        application_name="",
        meter="",
        label=label[:120],
        raw_quantity=1,
        quantity=Decimal(1),
        unit="",
        unrounded=off,
        steps=(_step(part, code), explanation.unrounded(off, code)),
        provenance=NO_PROVENANCE,
        attributes=(),
        kind="discount",
        facts={"discount": part.discount.id},
    )


def _step(part: _Part, code: str) -> Step:
    discount, own = part.discount, part.before[part.price_id]
    numbers = {"before": own, "taken": part.taken}
    if discount.percent is not None:
        words = f"{plain(discount.percent)} % of {shortened(own)} {code}"
        numbers["percent"] = discount.percent
    else:
        amount, total = discount.amount or ZERO, sum_amounts(list(part.before.values()))
        words = (
            f"{plain(amount)} {code} off {shortened(total)} {code}, of which {shortened(own)} "
            f"{code} is this price's"
        )
        numbers |= {"discount": amount, "total_before": total}
    return step("discount", f"{words}: {shortened(part.taken)} {code} off", numbers)
