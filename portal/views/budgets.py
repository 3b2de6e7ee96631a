"""A customer's budgets: what is spent of them, what they told, and their forms."""

from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Budget
from billing.operations.budgets import (
    BudgetNotUsable,
    TooManyBudgets,
    add_budget,
    change_budget,
    remove_budget,
)
from portal.access import Reader, customer_page, may_change
from portal.budget_forms import BudgetForm
from tenants.refusals import sentence

_ALERTS_PER_PAGE: Final = 30
_CHANGE: Final = "billing.change_budget"


@customer_page
@require_safe
def budget_list(request: HttpRequest, reader: Reader) -> HttpResponse:
    budgets = list(_budgets_of(reader).order_by("created_at", "pk"))
    context = {
        **_frame(reader),
        "budgets": budgets,
        "looked_at": min(
            (each.evaluated_at for each in budgets if each.evaluated_at), default=None
        ),
    }
    return render(request, "portal/budgets.html", context)


@customer_page
@require_safe
def budget_page(request: HttpRequest, reader: Reader, budget_id: UUID) -> HttpResponse:
    budget = get_object_or_404(_budgets_of(reader), pk=budget_id)
    # Of those that were noted together the one that was told stands first.
    alerts = budget.alerts.prefetch_related("requests").order_by(
        "-noted_at", "-told", "-threshold", "pk"
    )
    context = {
        **_frame(reader),
        "budget": budget,
        "alerts": Paginator(alerts, _ALERTS_PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "portal/budget.html", context)


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def new_budget(request: HttpRequest, reader: Reader) -> HttpResponse:
    _require_may_change(reader)
    form = BudgetForm(reader, None, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            budget = add_budget(reader.customer, form.terms(), as_of=reader.as_of)
        except BudgetNotUsable as refusal:
            form.refuse(refusal.field, _refused(refusal))
        except TooManyBudgets as refusal:
            form.add_error(None, sentence(refusal))
        else:
            messages.success(request, _("The budget is set. Its figures come in a moment."))
            return redirect("portal:budget", budget.pk)
    return render(request, "portal/budget_form.html", {**_frame(reader), "form": form})


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def edit_budget(request: HttpRequest, reader: Reader, budget_id: UUID) -> HttpResponse:
    budget = get_object_or_404(_budgets_of(reader), pk=budget_id)
    _require_may_change(reader)
    form = BudgetForm(reader, budget, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            change_budget(budget, form.terms(), as_of=reader.as_of)
        except BudgetNotUsable as refusal:
            form.refuse(refusal.field, _refused(refusal))
        else:
            messages.success(request, _("The budget is changed."))
            return redirect("portal:budget", budget.pk)
    context = {**_frame(reader), "form": form, "budget": budget}
    return render(request, "portal/budget_form.html", context)


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def delete_budget(request: HttpRequest, reader: Reader, budget_id: UUID) -> HttpResponse:
    budget = get_object_or_404(_budgets_of(reader), pk=budget_id)
    _require_may_change(reader)
    if request.method == "POST":
        remove_budget(budget, as_of=reader.as_of)
        messages.success(request, _("The budget is removed."))
        return redirect("portal:budgets")
    return render(request, "portal/budget_remove.html", {**_frame(reader), "budget": budget})


def _budgets_of(reader: Reader) -> "QuerySet[Budget]":
    rows = Budget.objects.kept().filter(customer=reader.customer)
    return rows.select_related("customer", "application__environment", "environment")


def _require_may_change(reader: Reader) -> None:
    if not may_change(reader, _CHANGE):
        raise PermissionDenied


def _frame(reader: Reader) -> dict[str, object]:
    return {
        "reader": reader,
        "section": "budgets",
        "may_change": may_change(reader, _CHANGE),
    }


def _refused(refusal: BudgetNotUsable) -> str:
    """In the reader's language, where the form has not caught it before."""
    if refusal.field == "at_limit":
        return _("Only an application can be stopped, and only where your provider allows it.")
    if refusal.field == "limit":
        return _("Use no more decimals than the currency has.")
    return sentence(refusal)
