"""Budgets in the admin, what they told, and what customers ask for at their limits."""

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextInputWidget,
)

from billing.amounts import written_amount
from billing.core.budgets import FORECAST, THRESHOLDS
from billing.core.exact import plain
from billing.models import Budget, BudgetAlert
from billing.operations.budgets import (
    BudgetNotUsable,
    BudgetTerms,
    TooManyBudgets,
    add_budget,
    change_budget,
    remove_budget,
    usable_fields,
)
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    ScopedForm,
    ago,
    display,
    in_a_tenant,
)
from tenants.refusals import sentence

THRESHOLD_NAMES: Final[dict[str, str]] = {
    **{each: f"{each} %" for each in THRESHOLDS},
    FORECAST: "forecast: the limit will be reached",
}


def figure(value: Decimal | None, budget: Budget) -> str:
    """A figure of a budget with its currency or unit."""
    if value is None:
        return "-"
    if budget.currency:
        return written_amount(value, budget.currency)
    return f"{plain(value)} {budget.unit}"


class BudgetForm(ScopedForm):
    """A budget of a customer; what it is of stays once it is set."""

    measure = forms.CharField(
        max_length=20,
        widget=UnfoldAdminTextInputWidget,
        help_text="A currency, such as EUR; of a meter a unit, such as CPU-hour.",
    )
    thresholds = forms.MultipleChoiceField(
        choices=list(THRESHOLD_NAMES.items()),
        initial=list(THRESHOLDS),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Budget
        fields = (
            "customer", "name", "application", "environment", "meter", "limit", "measure",
            "thresholds", "by_email", "by_webhook", "at_limit",
        )  # fmt: skip
        help_texts = {
            "application": "Of one application, environment or meter; of none of them it is of "
            "all that the customer uses.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not self.instance._state.adding and "measure" in self.fields:
            self.fields["measure"].initial = self.instance.measure

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        customer = data.get("customer") or (self.instance.customer_id and self.instance.customer)
        if self.errors or not customer:
            return data
        try:
            usable_fields(customer, self.terms())
        except BudgetNotUsable as refusal:
            field = "measure" if refusal.field in {"currency", "unit"} else refusal.field
            self.add_error(field if field in self.fields else None, sentence(refusal))
        return data

    def terms(self) -> BudgetTerms:
        """What was entered, with what stays of a budget that is there."""
        data = self.cleaned_data
        kept = self.instance
        return BudgetTerms(
            name=data["name"],
            limit=data["limit"],
            measure=data["measure"],
            application=data.get("application", kept.application),
            environment=data.get("environment", kept.environment),
            meter=data.get("meter", kept.meter),
            thresholds=data["thresholds"],
            by_email=data["by_email"],
            by_webhook=data["by_webhook"],
            at_limit=data["at_limit"],
        )

    def _post_clean(self) -> None:
        """The operation makes the row, and checks it: as Django would make it here it lacks its
        scope."""


class Alerts(ReadOnlyInline):
    """The thresholds that a budget has reached, the newest first."""

    model = BudgetAlert
    fields = ("month_start", "shown_threshold", "shown_spent", "shown_limit", "told", "noted_at")
    readonly_fields = fields
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> "QuerySet[BudgetAlert]":
        rows: QuerySet[BudgetAlert] = super().get_queryset(request)
        return rows.select_related("budget")

    @display(description="Threshold")
    def shown_threshold(self, alert: BudgetAlert) -> str:
        return THRESHOLD_NAMES.get(alert.threshold, alert.threshold)

    @display(description="Spent")
    def shown_spent(self, alert: BudgetAlert) -> str:
        return figure(alert.spent, alert.budget)

    @display(description="Limit")
    def shown_limit(self, alert: BudgetAlert) -> str:
        return figure(alert.limit, alert.budget)


@admin.register(Budget)
class BudgetAdmin(ScopedAdmin):
    form = BudgetForm
    empty_hint = "Customers set budgets in their portal; you can set one for them here."
    list_display = ("name", "customer", "of_what", "shown_limit", "shown_spent", "foreseen_shown",
                    "at_limit", "looked_at")  # fmt: skip
    list_filter = ("scope", "at_limit")
    list_select_related = ("customer", "application", "environment")
    search_fields = ("name", "customer__name", "application__name")
    inlines = (Alerts,)
    actions = ("remove",)
    fields = BudgetForm.Meta.fields

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Budget]":
        rows: QuerySet[Budget] = super().get_queryset(request)
        return rows.filter(removed_at__isnull=True)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("customer", "application", "environment", "meter") if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_keep_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("billing.change_budget")

    @display(description="Of")
    def of_what(self, budget: Budget) -> str:
        chosen = budget.application or budget.environment or budget.meter
        return str(chosen or "everything")

    @display(description="Limit", ordering="limit")
    def shown_limit(self, budget: Budget) -> str:
        return figure(budget.limit, budget)

    @display(description="Spent this month", ordering="spent")
    def shown_spent(self, budget: Budget) -> str:
        return budget.waits_for or figure(budget.spent, budget)

    @display(description="Forecast", ordering="foreseen")
    def foreseen_shown(self, budget: Budget) -> str:
        return figure(budget.foreseen, budget)

    @display(description="As of")
    def looked_at(self, budget: Budget) -> str:
        return ago(budget.evaluated_at, timezone.now())

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        if change:
            change_budget(obj, form.terms(), as_of=timezone.now())
            return
        made = add_budget(form.cleaned_data["customer"], form.terms(), as_of=timezone.now())
        obj.pk, obj.name = made.pk, made.name
        obj._state.adding = False

    def add_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            answer: HttpResponse = super().add_view(request, *args, **options)
        except TooManyBudgets as refusal:
            messages.error(request, sentence(refusal))
            answer = self.changelist_view(request)
        return answer

    @admin.action(description="Remove", permissions=["keep"])
    def remove(self, request: HttpRequest, chosen: "QuerySet[Budget]") -> None:
        budgets = list(chosen)
        for budget in budgets:
            remove_budget(budget, as_of=timezone.now())
            self.log_change(request, budget, "Removed.")
        messages.success(request, f"Removed: {len(budgets)}.")
