"""Budgets in the admin, what they told, and what customers ask for at their limits."""

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing.amounts import written_amount
from billing.core.budgets import FORECAST, THRESHOLDS
from billing.core.exact import plain
from billing.models import Budget, BudgetAlert, BudgetRequest
from billing.operations.budgets import (
    BudgetNotUsable,
    BudgetTerms,
    RequestDecided,
    TooManyBudgets,
    add_budget,
    change_budget,
    decide_request,
    remove_budget,
    usable_fields,
)
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    ScopedForm,
    ago,
    chosen_again,
    display,
    form_page,
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


class DecisionForm(forms.Form):
    """What was done, for the customer to read."""

    note = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text="The customer reads it beside the alert.",
    )


@admin.register(BudgetRequest)
class BudgetRequestAdmin(ScopedAdmin):
    empty_hint = (
        "Where a budget is used up whose customer wants you to be asked, or an application "
        "stopped, it is listed here. Nothing is stopped by itself."
    )
    list_display = ("budget", "customer", "kind", "status", "spent", "created_at", "decided_by")
    list_filter = ("state", "kind")
    list_select_related = ("alert__budget__customer", "alert__budget__application")
    search_fields = ("alert__budget__name", "alert__budget__customer__name")
    fields = ("budget", "customer", "application", "kind", "status", "spent", "note",
              "created_at", "decided_by", "decided_at")  # fmt: skip
    readonly_fields = fields
    actions = ("done", "decline")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("billing.change_budgetrequest")

    @display(description="Budget")
    def budget(self, asked: BudgetRequest) -> str:
        return asked.alert.budget.name

    @display(description="Customer")
    def customer(self, asked: BudgetRequest) -> Model:
        return asked.alert.budget.customer

    @display(description="Application")
    def application(self, asked: BudgetRequest) -> str:
        return str(asked.alert.budget.application or "-")

    @display(description="State", label={"open": "warning", "done": "success", "declined": "info"})
    def status(self, asked: BudgetRequest) -> str:
        return asked.state

    @display(description="Spent of")
    def spent(self, asked: BudgetRequest) -> str:
        alert = asked.alert
        spent, limit = figure(alert.spent, alert.budget), figure(alert.limit, alert.budget)
        return f"{spent} of {limit}"

    @admin.action(description="Done", permissions=["decide"])
    def done(self, request: HttpRequest, chosen: "QuerySet[BudgetRequest]") -> HttpResponse | None:
        return self._decide(request, chosen, BudgetRequest.State.DONE, "done")

    @admin.action(description="Decline", permissions=["decide"])
    def decline(
        self, request: HttpRequest, chosen: "QuerySet[BudgetRequest]"
    ) -> HttpResponse | None:
        return self._decide(request, chosen, BudgetRequest.State.DECLINED, "decline")

    def _decide(
        self, request: HttpRequest, chosen: "QuerySet[BudgetRequest]", state: str, name: str
    ) -> HttpResponse | None:
        asked = list(chosen)
        form = DecisionForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return form_page(
                *(self, request, form),
                title="Was this done?" if name == "done" else "Decline this?",
                text="Hostmeter stops nothing by itself: say here what you have done.",
                objects=[f"{each} ({each.alert.budget.customer})" for each in asked],
                hidden=chosen_again(name, asked),
                submit=name.capitalize(),
            )
        for each in asked:
            try:
                decide_request(
                    each,
                    state,
                    note=form.cleaned_data["note"],
                    decided_by=str(request.user),
                    as_of=timezone.now(),
                )
            except RequestDecided as refusal:
                messages.error(request, f"{each}: {refusal}.")
            else:
                messages.success(request, f"{each}: {state}.")
        return None
