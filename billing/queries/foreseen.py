"""What the running period will come to."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from billing.core.exact import EXACT, ZERO, rounded
from billing.core.forecast import Forecast, forecast
from billing.core.money import sum_amounts
from billing.core.rating import RatedLine
from billing.queries.upcoming import MonthToDate

# An estimate, whose last digits nobody sees.
_ESTIMATE: Final = Context(prec=60)
# What follows from usage, in about the same proportion.
_WITH_USAGE = frozenset({"percentage", "discount"})


def foreseen_total(month: MonthToDate) -> Forecast | None:
    """The invoice's total at the period's end, before tax, in payable amounts.

    Charges for usage are carried on day by day, at what days came to with the tiers that were
    reached. Fees are known for all of the period and counted once. Percentages and discounts keep
    their proportion to usage; a minimum makes up only what is missing, so the total never falls
    below what it is. None as long as `forecast` tells none.
    """
    upcoming = month.upcoming
    used = _usage_foreseen(month)
    if used is None:
        return None
    spent = _sum(upcoming.lines, {"usage"})
    along = _sum(upcoming.lines, _WITH_USAGE)
    others = {"minimum", "true_up", "usage", *_WITH_USAGE}
    fixed = sum_amounts([line.amount for line in upcoming.lines if line.kind not in others])

    def total(usage: Decimal) -> Decimal:
        share = _ESTIMATE.divide(_ESTIMATE.multiply(along, usage), spent) if spent else along
        estimated = (rounded(each, upcoming.currency.minor_unit) for each in (usage, share))
        return max(sum_amounts([fixed, *estimated]), upcoming.total)

    return Forecast(*(total(each) for each in used))


def _usage_foreseen(month: MonthToDate) -> Forecast | None:
    upcoming = month.upcoming
    zone = ZoneInfo(upcoming.subscription.customer.time_zone)
    by_day: defaultdict[date, Decimal] = defaultdict(lambda: ZERO)
    for day in month.days:
        if day.application_id is not None:
            by_day[day.day] = EXACT.add(by_day[day.day], day.amount)
    first = upcoming.period.start.astimezone(zone).date()
    last = (upcoming.period.end - timedelta.resolution).astimezone(zone).date()
    now = upcoming.as_of.astimezone(zone)
    begun = [first + timedelta(days=day) for day in range((now.date() - first).days + 1)]
    into_today = now.replace(tzinfo=None) - datetime(now.year, now.month, now.day)  # noqa: DTZ001
    elapsed = Decimal(len(begun) - 1) + Decimal(into_today.seconds) / 86_400
    total = Decimal((last - first).days + 1)
    daily = [by_day[day] for day in begun]
    return forecast(daily, elapsed, total, first_weekday=first.weekday())


def _sum(lines: tuple[RatedLine, ...], kinds: set[str] | frozenset[str]) -> Decimal:
    return sum_amounts([line.amount for line in lines if line.kind in kinds])
