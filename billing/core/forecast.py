"""What a period will have come to at its end, from what its days have come to so far.

The run rate of the days that are over is carried on to the end: working days and weekends apart,
once two of each are known, because much of what is hosted rests on weekends. How far days of one
kind differ among themselves says how sure that is: the range is what two standard deviations of
what is left of the period, and of the rates themselves, add and take away. What has come stays:
nothing forecast is below it. These are estimates, rounded to so many digits that none is seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Final, NamedTuple

from billing.core.exact import ZERO

# Fewer whole days tell no rate.
DAYS_MIN: Final = 3
# Of working days as of weekends: one alone does not say how far such days differ.
_OF_A_KIND_MIN: Final = 2
_DEVIATIONS: Final = 2
_SATURDAY: Final = 5
# Amounts have up to 54 digits.
_ESTIMATE: Final = Context(prec=60)


class Forecast(NamedTuple):
    """What is likely, `middle`, between what it may be at least and at most."""

    low: Decimal
    middle: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class _Kind:
    """Days that are alike: what each whole one came to, and how many of them are left."""

    whole: Sequence[Decimal]
    left: Decimal

    @property
    def rate(self) -> Decimal:
        return sum(self.whole, ZERO) / len(self.whole)

    @property
    def variance(self) -> Decimal:
        """Of what is left: days vary by themselves, their rate by how few it is known from."""
        rate, count = self.rate, Decimal(len(self.whole))
        of_one = sum(((day - rate) ** 2 for day in self.whole), ZERO) / (count - 1)
        return of_one * (self.left + self.left * self.left / count)


def forecast(
    daily: Sequence[Decimal],
    elapsed: Decimal,
    total: Decimal,
    *,
    first_weekday: int | None = None,
) -> Forecast | None:
    """The sum at the end of a period of `total` days of which `elapsed` have passed.

    `daily` is what each day came to that has begun, in order, days of nothing too; of the last one
    `elapsed` says how much has passed. `first_weekday` is that of the first, from 0 for Monday;
    without it all days are taken for alike. None before three whole days: they tell no rate. What
    is charged for the whole period, such as a fee, is left out of `daily` and added by the caller.
    """
    with localcontext(_ESTIMATE):
        spent = sum(daily, ZERO)
        if total <= elapsed:
            return Forecast(spent, spent, spent)
        whole = daily[: int(elapsed)]
        if len(whole) < DAYS_MIN:
            return None
        kinds = _kinds(whole, elapsed, total, first_weekday)
        # What the day that runs has left to come is part of what is left.
        middle = spent + sum((kind.rate * kind.left for kind in kinds), ZERO)
        spread = _DEVIATIONS * sum((kind.variance for kind in kinds), ZERO).sqrt()
        return Forecast(max(middle - spread, spent), middle, middle + spread)


def _kinds(
    whole: Sequence[Decimal], elapsed: Decimal, total: Decimal, first_weekday: int | None
) -> list[_Kind]:
    """Working days and weekends; one kind where not enough is known of both."""
    if first_weekday is not None:
        days: dict[bool, list[Decimal]] = {False: [], True: []}
        for day, value in enumerate(whole, start=first_weekday):
            days[_is_weekend(day)].append(value)
        left = {False: ZERO, True: ZERO}
        for day, part in _days_left(elapsed, total):
            left[_is_weekend(first_weekday + day)] += part
        if all(len(own) >= _OF_A_KIND_MIN for own in days.values()):
            return [_Kind(own, left[weekend]) for weekend, own in days.items()]
    return [_Kind(whole, total - elapsed)]


def _days_left(elapsed: Decimal, total: Decimal) -> Iterator[tuple[int, Decimal]]:
    """Each day's number, from 0, and how much of it is left."""
    day = int(elapsed)
    while day < total:
        begins, ends = max(elapsed, Decimal(day)), min(total, Decimal(day + 1))
        yield day, ends - begins
        day += 1


def _is_weekend(weekday: int) -> bool:
    return weekday % 7 >= _SATURDAY
