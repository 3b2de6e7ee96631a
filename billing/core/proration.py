"""What share of a whole a part of its time is."""

from datetime import timedelta
from decimal import Decimal
from math import gcd
from typing import Final, Literal

from billing.core.exact import EXACT, rounded
from billing.core.periods import Period, zone_named
from billing.core.prices.bounds import PRICE_DECIMALS_MAX
from billing.core.prices.proration import Proration

# elapsed: exact time. days: whole days of the customer's time zone.
ProratedBy = Literal["elapsed", "days"]

_TICK: Final = timedelta(microseconds=1)
_TICKS_A_SECOND: Final = 10**6
_STEP: Final = Decimal(1).scaleb(-PRICE_DECIMALS_MAX)


def share_of(
    part: Period, whole: Period, *, by: ProratedBy = "elapsed", time_zone: str = "UTC"
) -> Proration:
    """How much of `whole`'s length `part`, which lies in it, lasts.

    By days, a local day belongs to what is in force when it ends; so the days of parts that
    follow each other sum to those of the whole. A whole without the end of a day in it is
    measured by elapsed time.
    """
    if by == "days":
        of_whole = local_days(whole, time_zone)
        if of_whole:
            return Proration(local_days(part, time_zone), of_whole, "days")
    ticks, of_whole = part.duration // _TICK, whole.duration // _TICK
    if gcd(ticks, of_whole) % _TICKS_A_SECOND:
        return Proration(ticks, of_whole, "µs")
    return Proration(ticks // _TICKS_A_SECOND, of_whole // _TICKS_A_SECOND)


def local_days(period: Period, time_zone: str) -> int:
    """How many local days end in the period, its own end included."""
    zone = zone_named(time_zone)
    return (period.end.astimezone(zone).date() - period.start.astimezone(zone).date()).days


def share_in_words(share: Proration) -> str:
    """14 of 31 days, 1209600 of 2678400 s."""
    return f"{share.numerator} of {share.denominator} {share.unit}"


def part_between(amount: Decimal, before: Proration, until: Proration) -> Decimal:
    """What of an allowance or limit belongs to the time between two shares of a period.

    Kept to the 12 decimals that these have; a difference, so that what parts get that follow
    each other sums to the amount.
    """
    taken, reached = (rounded(share.of(amount), _STEP) for share in (before, until))
    return EXACT.subtract(reached, taken)
