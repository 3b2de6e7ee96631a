"""What a period will have come to at its end, from what its days have come to so far.

The run rate of the days that are over is carried on to the end. How far the days differ among
themselves says how sure that is: the range is what two standard deviations of what is left of the
period, and of the rate itself, add and take away. What has come stays: nothing
forecast is below it. These are estimates, rounded to so many digits that none is seen.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from typing import Final, NamedTuple

from billing.core.exact import ZERO

# Fewer whole days tell no rate.
DAYS_MIN: Final = 3
_DEVIATIONS: Final = 2
# Amounts have up to 54 digits.
_ESTIMATE: Final = Context(prec=60)


class Forecast(NamedTuple):
    """What is likely, `middle`, between what it may be at least and at most."""

    low: Decimal
    middle: Decimal
    high: Decimal


def forecast(daily: Sequence[Decimal], elapsed: Decimal, total: Decimal) -> Forecast | None:
    """The sum at the end of a period of `total` days of which `elapsed` have passed.

    `daily` is what each day came to that has begun, in order, days of nothing too; of the last one
    `elapsed` says how much has passed. None before three whole days: they tell no rate. What is
    charged for the whole period, such as a fee, is left out of `daily` and added by the caller.
    """
    with localcontext(_ESTIMATE):
        return _carried_on(daily, elapsed, total)


def _carried_on(daily: Sequence[Decimal], elapsed: Decimal, total: Decimal) -> Forecast | None:
    spent = sum(daily, ZERO)
    left = total - elapsed
    if left <= 0:
        return Forecast(spent, spent, spent)
    whole = list(daily[: int(elapsed)])
    if len(whole) < DAYS_MIN:
        return None
    count = Decimal(len(whole))
    rate = sum(whole, ZERO) / count
    # What the day that runs has left to come is part of what is left.
    middle = spent + rate * left
    variance = sum(((day - rate) ** 2 for day in whole), ZERO) / (count - 1)
    # The days that are left vary by themselves; the rate, by how few days it is known from.
    spread = _DEVIATIONS * (variance * (left + left * left / count)).sqrt()
    return Forecast(max(middle - spread, spent), middle, middle + spread)
