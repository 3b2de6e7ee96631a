"""The page of a plan version's backtest: what past usage would have cost by it, before it is
published."""

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from decimal import Decimal
from itertools import chain, groupby
from typing import Any, Final
from uuid import UUID

from django import forms
from django.http import StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminSplitDateTimeWidget,
)

from billing.amounts import written_amount
from billing.core.periods import Period
from billing.models import PlanVersion
from billing.queries.backtest import (
    BacktestedCustomer,
    BacktestedPeriod,
    backtest_totals,
    backtested_chunks,
    backtested_customers,
    backtested_subscriptions,
    last_billed_month,
)
from tenants.admin_figures import IN_REACH, DaysForm, Table
from tenants.admin_pages import in_tenants_zone
from tenants.models import Tenant
from tenants.scope import current_tenant_id, tenant_scope

FIGURES: Final = "<!--figures-->"
# Rated while somebody waits for the page; the command takes however many there are.
PERIODS_MAX: Final = 20_000
ROWS_MAX: Final = 100
_BAR: Final = 60
_BROKEN_OFF: Final = (
    '<p role="alert">The backtest was broken off; nothing was changed. Try it again, and look into '
    "the server's log if that does not help.</p>"
)

logger = logging.getLogger(__name__)


class BacktestForm(DaysForm):
    """Which billing periods: those that begin on these days."""

    first = forms.DateField(
        label="Periods that begin from", validators=IN_REACH, widget=UnfoldAdminSingleDateWidget
    )

    @property
    def period(self) -> Period:
        """In the tenant's time zone."""
        return Period(*self.bounds)


class EffectiveFromForm(forms.Form):
    """From when on a version rates."""

    effective_from = forms.SplitDateTimeField(
        label="Effective from",
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="Billing periods that start at or after this moment are rated with it.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields["effective_from"]
        if isinstance(field, forms.SplitDateTimeField):
            in_tenants_zone(field)


class PublishForm(EffectiveFromForm):
    """From when, and how, a draft rates once it is published."""

    takes_effect = forms.ChoiceField(
        label="Takes effect",
        choices=PlanVersion.TakesEffect.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="At once: it also rates what is left of the periods that run at that moment.",
    )


def last_month(version: PlanVersion) -> dict[str, date]:
    """The form's days unless others are asked for: the last whole month with a subscription."""
    billed = timezone.localtime(last_billed_month(version, as_of=timezone.now())).date()
    following = (billed.replace(day=1) + timedelta(days=31)).replace(day=1)
    return {"first": billed.replace(day=1), "last": following - timedelta(days=1)}


def streamed(page: str, version: PlanVersion, period: Period) -> StreamingHttpResponse:
    """The page, with the figures in place of FIGURES as soon as they are known and, until then, how
    far the rating is: of thousands of subscriptions it takes longer than anybody waits unsaid."""
    head, _, tail = page.partition(FIGURES)
    tenant = Tenant.objects.get(pk=current_tenant_id())
    zone = timezone.get_current_timezone()
    figures = _Figures(version, period, tenant.pk, tenant.slug, zone)
    response = StreamingHttpResponse(chain([head], figures.told(), [tail]))
    response["X-Accel-Buffering"] = "no"
    return response


@dataclass(frozen=True, slots=True)
class _Figures:
    """What is computed after the request's own transaction has ended."""

    version: PlanVersion
    period: Period
    tenant_id: UUID
    tenant_slug: str
    time_zone: tzinfo

    def told(self) -> Iterator[str]:
        """What is rated, or that it could not be: the page has begun, and cannot fail any more."""
        try:
            yield from self._rated()
        except Exception:
            logger.exception("the backtest of %s was broken off", self.version)
            yield _BROKEN_OFF

    def _rated(self) -> Iterator[str]:
        """How far it is, after every few subscriptions, then the tables. Nothing is sent inside a
        transaction: a slow reader would keep it open."""
        as_of = timezone.now()
        after, done, more = None, 0, True
        found: list[BacktestedPeriod] = []
        with tenant_scope(self.tenant_id):
            count = backtested_subscriptions(self.version, self.period)
        while more and len(found) < PERIODS_MAX:
            yield _progress(done, count)
            with tenant_scope(self.tenant_id):
                chunks = backtested_chunks(self.version, self.period, as_of=as_of, after=after)
                chunk = next(chunks, None)
            if chunk is None:
                break
            found += chunk.periods
            after, done, more = chunk.last, done + chunk.subscriptions, chunk.more
        yield _progress(done, count)
        with timezone.override(self.time_zone):
            yield self._shown(found, partly=done < count)

    def _shown(self, found: Sequence[BacktestedPeriod], *, partly: bool) -> str:
        # Quoted for a shell: a plan may be called anything.
        command = shlex.join(
            [
                *("backtest", str(self.version.plan), str(self.version.number)),
                *("--tenant", self.tenant_slug),
                *("--from", self.period.start.isoformat(), "--to", self.period.end.isoformat()),
            ]
        )
        note = (
            f"These are {len(found)} billing periods, and there are more. All of them: "
            f"manage.py {command}"
        )
        return render_to_string(
            "admin/hostmeter/figures.html",
            {
                "tables": backtest_tables(found),
                "note": note if partly else "",
                "nothing": "No billing period of the plan begins on these days and has ended. "
                "Choose earlier days, or subscribe a customer to the plan.",
            },
        )


def _progress(done: int, count: int) -> str:
    words = f"{done} of {count} subscription{'' if count == 1 else 's'} rated."
    return format_html('<p class="hostmeter-progress" role="status">{}</p>', words)


def backtest_tables(found: Sequence[BacktestedPeriod]) -> list[Table]:
    """The sums by currency, the customers whose charges change, the largest change first, and who
    could not be rated."""
    rated = [each for each in found if not each.unrated]
    tables = [_totals_table(rated)] if rated else []
    by_currency = groupby(backtested_customers(rated), key=lambda each: each.currency)
    tables += [_customers_table(currency, list(own)) for currency, own in by_currency]
    refused = list(dict.fromkeys((each.customer, each.unrated) for each in found if each.unrated))
    if refused:
        rows = [list(row) for row in refused[:ROWS_MAX]]
        heading = _bounded("Not rated", len(rows), len(refused))
        tables.append((heading, {"headers": ["Customer", "Why"], "rows": rows}))
    return tables


def _bounded(heading: str, shown: int, count: int) -> str:
    return heading if shown == count else f"{heading} ({shown} of {count} shown)"


def _totals_table(rated: Sequence[BacktestedPeriod]) -> Table:
    rows = [
        [
            f"{total.currency}, {_periods(total.periods)}",
            written_amount(total.old, total.currency),
            written_amount(total.new, total.currency),
            _change(total.old, total.new, total.currency),
        ]
        for total in backtest_totals(rated)
    ]
    return "In all, before tax", {
        "headers": ["", "By its own terms", "By this version", "Change"],
        "rows": rows,
    }


def _customers_table(currency: str, customers: Sequence[BacktestedCustomer]) -> Table:
    movers = customers[:ROWS_MAX]
    widest = abs(movers[0].difference)
    rows = [
        [
            each.customer,
            _periods(each.periods),
            written_amount(each.old, currency),
            written_amount(each.new, currency),
            _change(each.old, each.new, currency),
            _bar(each.difference, widest),
        ]
        for each in movers
    ]
    headers = ["Customer", "Billed", "By its own terms", "By this version", "Change", ""]
    heading = f"Customers billed in {currency}, the largest change first"
    return _bounded(heading, len(movers), len(customers)), {"headers": headers, "rows": rows}


def _periods(count: int) -> str:
    return f"{count} period{'' if count == 1 else 's'}"


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
