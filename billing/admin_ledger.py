"""The ledger in the admin, for reading: entries, trial balance, a customer's statement."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from billing.admin_rows import LedgerRows
from billing.amounts import written_amount
from billing.core.exact import EXACT
from billing.core.ledger import TrialBalanceRow
from billing.core.money import sum_amounts
from billing.core.periods import Period
from billing.models import JournalEntry, Posting
from billing.queries.ledger import (
    MonthsRevenue,
    Statement,
    currencies_owed_in,
    customer_statement,
    revenue_by_month,
    trial_balance,
)
from tenants.admin_figures import IN_REACH, DaysForm, Table, midnight
from tenants.admin_import import Exports
from tenants.admin_pages import ReadOnlyAdmin, ReadOnlyInline, action, display
from tenants.models import Customer

_REVENUE_MONTHS = 12


class TrialBalanceForm(forms.Form):
    """Which day is the last."""

    day = forms.DateField(
        label="At the end of",
        required=False,
        validators=IN_REACH,
        widget=UnfoldAdminSingleDateWidget,
        help_text="A day of the tenant's time zone; left empty, until now.",
    )


class StatementForm(DaysForm):
    """Whose statement, and of which days."""

    field_order = ("reference", "first", "last")

    reference = forms.SlugField(
        label="Customer's reference", max_length=60, widget=UnfoldAdminTextInputWidget
    )

    def clean_reference(self) -> Customer:
        found = Customer.objects.filter(reference=self.cleaned_data["reference"]).first()
        if found is None:
            raise ValidationError("There is no customer with this reference.")
        return found


class PostingInline(ReadOnlyInline):
    model = Posting
    fields = ("account", "debit", "credit")
    readonly_fields = fields
    verbose_name_plural = "postings"
    ordering = ("position",)

    @display(description="Debit")
    def debit(self, posting: Posting) -> str:
        return written_amount(posting.amount, posting.currency) if posting.amount > 0 else ""

    @display(description="Credit")
    def credit(self, posting: Posting) -> str:
        amount = posting.amount.copy_abs()
        return written_amount(amount, posting.currency) if posting.amount < 0 else ""


@admin.register(JournalEntry)
class JournalEntryAdmin(Exports, ReadOnlyAdmin):
    resource_classes = (LedgerRows,)
    """Entries are written by what they stand for: an invoice, a payment, a grant."""

    empty_hint = "An entry is written with every invoice, payment, grant and top-up."
    list_display = ("occurred_at", "kind", "description", "customer", "amount")
    list_filter = ("kind", "occurred_at")
    list_select_related = ("customer",)
    search_fields = ("description", "customer__name", "customer__reference")
    date_hierarchy = "occurred_at"
    fields = (("kind", "customer"), "description", ("occurred_at", "recorded_at"))
    readonly_fields = ("kind", "customer", "description", "occurred_at", "recorded_at")
    inlines = (PostingInline,)
    actions_list = ("trial_balance", "statement")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[JournalEntry]":
        return super().get_queryset(request).prefetch_related("postings")

    @display(description="Amount")
    def amount(self, entry: JournalEntry) -> str:
        debits = [posting for posting in entry.postings.all() if posting.amount > 0]
        return written_amount(sum_amounts([each.amount for each in debits]), debits[0].currency)

    @action(description="Trial balance", permissions=["view"], url_path="trial-balance")
    def trial_balance(self, request: HttpRequest) -> HttpResponse:
        form = TrialBalanceForm(request.GET)
        now, tables = timezone.now(), []
        if form.is_valid():
            day = form.cleaned_data["day"]
            as_of = now if day is None else midnight(day + timedelta(days=1))
            since = midnight(now.date() - timedelta(days=31 * _REVENUE_MONTHS))
            tables = _balance_tables(trial_balance(as_of=as_of))
            tables += _revenue_tables(revenue_by_month(zone=_zone(), since=since))
        return self._figures(
            request,
            form,
            title="Trial balance",
            text="What was posted to each account, by currency. Debits and credits come to the "
            "same, whatever happened.",
            tables=tables,
            nothing="Nothing has been posted.",
        )

    @action(description="Customer's statement", permissions=["view"], url_path="statement")
    def statement(self, request: HttpRequest) -> HttpResponse:
        today = timezone.localtime().date()
        usual = {"first": today - timedelta(days=365), "last": today}
        form = StatementForm(request.GET or None, initial=usual)
        tables: list[Table] = []
        if form.is_valid():
            data = form.cleaned_data
            period = Period(*form.bounds)
            customer = data["reference"]
            tables = [
                _statement_table(customer_statement(customer, currency, period))
                for currency in currencies_owed_in(customer)
            ]
        return self._figures(
            request,
            form,
            title="Customer's statement",
            text="What a customer owed, what was added and taken off, and what they owe.",
            tables=tables,
            nothing="Nothing was ever posted for this customer." if form.is_valid() else "",
        )

    def _figures(self, request: HttpRequest, form: forms.Form, **context: Any) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/hostmeter/figures_page.html",
            {**self.admin_site.each_context(request), "opts": self.opts, "form": form, **context},
        )


def _balance_tables(rows: Iterable[TrialBalanceRow]) -> list[Table]:
    return [
        (currency, _balance_table(currency, list(own)))
        for currency, own in groupby(rows, key=lambda row: row.currency)
    ]


def _balance_table(currency: str, rows: list[TrialBalanceRow]) -> dict[str, Any]:
    debit, credit = (sum_amounts([getattr(row, side) for row in rows]) for side in _SIDES)
    lines = [(row.account.replace("_", " "), row.debit, row.credit, row.balance) for row in rows]
    lines.append(("together", debit, credit, EXACT.subtract(debit, credit)))
    return {
        "headers": ["Account", "Debit", "Credit", "Balance"],
        "rows": [
            [name, *(written_amount(amount, currency) for amount in amounts)]
            for name, *amounts in lines
        ],
    }


_SIDES = ("debit", "credit")


def _revenue_tables(months: list[MonthsRevenue]) -> list[Table]:
    if not months:
        return []
    rows = [[f"{each.month:%Y-%m}", written_amount(each.amount, each.currency)] for each in months]
    return [("Revenue by month, without tax", {"headers": ["Month", "Revenue"], "rows": rows})]


def _statement_table(statement: Statement) -> Table:
    def written(amount: Any) -> str:
        return written_amount(amount, statement.currency)

    rows = [["", "Owed before", "", written(statement.opening)]]
    rows += [
        [
            f"{timezone.localtime(line.occurred_at):%Y-%m-%d}",
            line.description,
            written(line.amount),
            written(line.balance),
        ]
        for line in statement.lines
    ]
    rows.append(["", "Owed now", "", written(statement.closing)])
    return statement.currency, {"headers": ["Day", "What", "Amount", "Owed"], "rows": rows}


def _zone() -> ZoneInfo:
    return ZoneInfo(timezone.get_current_timezone_name())
