"""Allowances that roll over: what a period left unused counts in the next ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from billing.core.exact import EXACT

ROLLOVER_PERIODS_MAX: Final = 36


@dataclass(frozen=True, slots=True)
class PeriodUse:
    """What an earlier period had included by its own terms and what it used, both in raw units;
    what it left counts in the `rolls_over` periods after it. With 0 of them it left nothing, and
    nothing was carried into it."""

    included: Decimal
    used: Decimal
    rolls_over: int


def carried_over(earlier: Sequence[PeriodUse]) -> tuple[Decimal, ...]:
    """What is left of the allowances of earlier periods in the period that follows them; both
    oldest first.

    A period uses up what was carried into it, oldest first, before its own.
    """
    # Of each allowance what is left, and the last period that it counts in.
    left: list[tuple[Decimal, int]] = []
    for number, period in enumerate(earlier):
        left = [each for each in left if each[1] >= number]
        if not period.rolls_over:
            continue
        left.append((period.included, number + period.rolls_over))
        open_ = period.used
        for index, (units, last) in enumerate(left):
            taken = min(units, open_)
            left[index] = EXACT.subtract(units, taken), last
            open_ = EXACT.subtract(open_, taken)
    return tuple(units for units, last in left if last >= len(earlier))
