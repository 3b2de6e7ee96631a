"""Allowances that roll over: what a period left unused counts in the next ones."""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from billing.core.exact import EXACT

ROLLOVER_PERIODS_MAX: Final = 36


def carried_over(
    included: Decimal, used_by_period: Sequence[int | Decimal], periods: int
) -> tuple[Decimal, ...]:
    """What is left of the allowances of the last `periods` periods, oldest first.

    `included` is each period's own allowance and `used_by_period` what each earlier period used,
    oldest first, both in raw units. A period uses up what was carried into it, oldest first, before
    its own; what is not used within `periods` periods lapses.
    """
    if not periods:
        return ()
    # In the period after the last one, the newest of these is its own.
    left: deque[Decimal] = deque(maxlen=periods + 1)
    for used in used_by_period:
        left.append(included)
        open_ = Decimal(used)
        for index, units in enumerate(left):
            taken = min(units, open_)
            left[index] = EXACT.subtract(units, taken)
            open_ = EXACT.subtract(open_, taken)
    return tuple(left)[-periods:]
