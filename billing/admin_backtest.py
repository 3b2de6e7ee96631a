"""The page of a plan version's backtest: what past usage would have cost by it, before it is
published."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSingleDateWidget

from billing.amounts import written_amount
from billing.core.periods import Period
from billing.models import PlanVersion
from billing.queries.backtest import (
    BacktestedPeriod,
    backtest_totals,
    backtested_periods,
    largest_movers,
)

# Rated while somebody waits for the page; the command takes however many there are.
PERIODS_MAX: Final = 100
_DAYS_MAX: Final = 400
_BAR: Final = 60

Table = tuple[str, dict[str, Any]]
"""A heading, and what the page's table component takes."""


class BacktestForm(forms.Form):
    """Which billing periods: those that begin on these days, both included."""

    first = forms.DateField(label="Periods that begin from", widget=UnfoldAdminSingleDateWidget)
    last = forms.DateField(label="To", widget=UnfoldAdminSingleDateWidget)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last and not 0 <= (last - first).days < _DAYS_MAX:
            self.add_error("last", f"Choose 1 to {_DAYS_MAX} days, the first one first.")
        return data

    @property
    def period(self) -> Period:
        """In the tenant's time zone."""
        days = self.cleaned_data
        return Period(_midnight(days["first"]), _midnight(days["last"] + timedelta(days=1)))


def last_month() -> dict[str, date]:
    """The form's days unless others are asked for: the last whole month."""
    first = timezone.localtime().date().replace(day=1)
    last = first - timedelta(days=1)
    return {"first": last.replace(day=1), "last": last}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, timezone.get_current_timezone())


def backtest_tables(version: PlanVersion, period: Period) -> tuple[list[Table], str]:
    """The sums by currency, the customers whose charges change, the largest change first, and who
    could not be rated; and how many periods of more were looked at, in words, or nothing."""
    found = list(islice(backtested_periods(version, period, as_of=timezone.now()), PERIODS_MAX + 1))
    partly = len(found) > PERIODS_MAX
    found = found[:PERIODS_MAX]
    rated = [each for each in found if not each.unrated]
    tables = [_totals_table(rated), _movers_table(rated)] if rated else []
    refused = [[each.customer, each.unrated] for each in found if each.unrated]
    if refused:
        tables.append(("Not rated", {"headers": ["Customer", "Why"], "rows": refused}))
    note = (
        f"Only {PERIODS_MAX} billing periods are looked at here, and there are more. All of them: "
        f"manage.py backtest {str(version.plan)!r} {version.number}."
    )
    return tables, note if partly else ""


def _totals_table(rated: Sequence[BacktestedPeriod]) -> Table:
    rows = [
        [
            f"{total.currency}, {total.periods} period{'' if total.periods == 1 else 's'}",
            written_amount(total.old, total.currency),
            written_amount(total.new, total.currency),
            _change(total.old, total.new, total.currency),
        ]
        for total in backtest_totals(rated)
    ]
    return "In all, before tax", {
        "headers": ["", "As billed", "By this version", "Change"],
        "rows": rows,
    }


def _movers_table(rated: Sequence[BacktestedPeriod]) -> Table:
    movers = largest_movers(rated, PERIODS_MAX)
    widest = max(abs(each.difference) for each in movers)
    rows = [
        [
            each.customer,
            f"{timezone.localtime(each.period.start):%Y-%m-%d}",
            written_amount(each.old, each.currency),
            written_amount(each.new, each.currency),
            _change(each.old, each.new, each.currency),
            _bar(each.difference, widest),
        ]
        for each in movers
    ]
    headers = ["Customer", "Period from", "As billed", "By this version", "Change", ""]
    return "By customer, the largest change first", {"headers": headers, "rows": rows}


def _change(old: Decimal, new: Decimal, currency: str) -> str:
    sign = "+" if new > old else ""
    percent = f" ({sign}{(new - old) / old * 100:.1f} %)" if old else ""
    return f"{sign}{written_amount(new - old, currency)}{percent}"


def _bar(difference: Decimal, widest: Decimal) -> SafeString:
    """To the right of the middle for more, to the left for less; the figure stands beside it."""
    width = int(abs(difference) / widest * _BAR) if widest else 0
    left = _BAR if difference > 0 else _BAR - width
    return format_html(
        '<svg width="{}" height="12" aria-hidden="true" class="text-primary-600">'
        '<rect x="{}" y="1" width="{}" height="10" fill="currentColor"></rect>'
        '<rect x="{}" y="0" width="1" height="12" fill="currentColor" opacity="0.5"></rect></svg>',
        2 * _BAR,
        left,
        width,
        _BAR,
    )
