"""What lines come to without tax, where their prices include it. Pure."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final

from billing.core.currencies import Currency
from billing.core.exact import EXACT, quotient
from billing.core.money import round_down, sum_amounts

# Percentages are stored with this many decimals.
_PERCENT_SCALE: Final = 10**4


def net_amounts(
    amounts: Sequence[Decimal], percent: Decimal, taxable: Decimal, currency: Currency
) -> tuple[Decimal, ...]:
    """Each amount of one rate group without its tax, so that they sum to `taxable`.

    By largest remainder, as lines are rounded (billing.core.money.round_lines), but to a total
    that is given: the group's net, which its tax was computed from.
    """
    if not amounts:
        return ()
    exact = [_without_tax(amount, percent) for amount in amounts]
    floors = [round_down(each, currency) for each in exact]
    with localcontext(EXACT):
        units = int((taxable - sum_amounts(floors)) / currency.minor_unit)
        remainders = [each - floor for each, floor in zip(exact, floors, strict=True)]
        ranked = sorted(range(len(exact)), key=lambda index: (-remainders[index], index))
        every, some = divmod(units, len(exact))
        raised = frozenset(ranked[:some])
        return tuple(
            floor + currency.minor_unit * (every + (index in raised))
            for index, floor in enumerate(floors)
        )


def _without_tax(amount: Decimal, percent: Decimal) -> Decimal:
    with localcontext(EXACT):
        whole = int((100 + percent) * _PERCENT_SCALE)
        return quotient(amount * 100 * _PERCENT_SCALE, whole)
