"""Budgets of customers, and what they told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing.api.customers import visible_customer
from billing.api.fields import DecimalText, Exact
from billing.core.budgets import THRESHOLDS, Threshold
from billing.models import Budget, BudgetAlert, BudgetRequest
from billing.operations.budgets import (
    BudgetNotUsable,
    BudgetTerms,
    TooManyBudgets,
    add_budget,
    change_budget,
    remove_budget,
    terms_of,
)
from metering.models import Application
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Name, Taken, example, one_of
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.models import Environment
from tenants.refusals import sentence

budgets = Resources()

Limit = Annotated[Decimal, DecimalText(15, 4)]
Measure = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^[A-Za-z/ -]+$")]
Meter = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z0-9._]*$")]
Thresholds = Annotated[list[Threshold], Field(min_length=1, max_length=len(THRESHOLDS))]
AtLimit = Literal["tell", "ask", "stop"]


class BudgetIn(Taken):
    """For each calendar month in the customer's time zone: of all that the customer uses, or of one
    application, environment or meter. `measure` is a currency, or of a meter a unit that prices of
    it are quoted in. `at_limit` `stop` asks the operator to stop the application, where its
    provider allows that; nothing is stopped by itself."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "name": "Hosting",
            "limit": "200",
            "measure": "EUR",
        }
    )

    customer_id: UUID
    name: Name
    limit: Limit
    measure: Measure
    application_id: UUID | None = None
    environment_id: UUID | None = None
    meter: Meter = ""
    thresholds: Thresholds = list(THRESHOLDS)
    by_email: bool = True
    by_webhook: bool = True
    at_limit: AtLimit = "tell"


class BudgetChange(Taken):
    """What is left out stays as it is; what a budget is of stays."""

    model_config = example({"limit": "250"})

    name: Name | None = None
    limit: Limit | None = None
    thresholds: Thresholds | None = None
    by_email: bool | None = None
    by_webhook: bool | None = None
    at_limit: AtLimit | None = None


class BudgetOut(Given):
    """`spent` is what the month that begins at `month_start` had come to at `evaluated_at`, before
    tax, and `foreseen` what it is likely to come to; null in its first days. Without figures
    `waits_for` says why."""

    id: UUID
    customer_id: UUID
    name: str
    scope: Annotated[str, one_of(Budget.Scope)]
    application_id: UUID | None
    environment_id: UUID | None
    meter: str
    limit: Exact
    measure: str
    thresholds: list[str]
    by_email: bool
    by_webhook: bool
    at_limit: Annotated[str, one_of(Budget.AtLimit)]
    month_start: Instant | None
    spent: Exact | None
    foreseen_low: Exact | None
    foreseen: Exact | None
    foreseen_high: Exact | None
    evaluated_at: Instant | None
    waits_for: str
    created_at: Instant


class RequestOut(Given):
    """What the operator was asked, and has done about it."""

    kind: Annotated[str, one_of(BudgetRequest.Kind)]
    state: Annotated[str, one_of(BudgetRequest.State)]
    note: str
    decided_at: Instant | None


class AlertOut(Given):
    """A threshold that was reached, once a month for each limit. Of several that were reached
    together the highest was `told`."""

    id: UUID
    month_start: Instant
    threshold: str
    limit: Exact
    spent: Exact
    foreseen: Exact | None
    told: bool
    noted_at: Instant
    asked: RequestOut | None


class BudgetFilters(Paging):
    customer: Annotated[UUID | None, Field(description="Those of this customer.")] = None


@budgets.reading("/budgets", scope="budgets:read", answers=Page[BudgetOut], summary="List budgets")
def list_budgets(request: ApiRequest, filters: Query[BudgetFilters]) -> Page[BudgetOut]:
    rows = Budget.objects.kept().filter(request.caller.own("customer"))
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    return page_of(rows, filters, _shown, by="created_at")


@budgets.creating("/budgets", scope="budgets:write", answers=BudgetOut, summary="Set a budget")
def create_budget(request: ApiRequest, budget: BudgetIn) -> BudgetOut:
    customer = visible_customer(request.caller, budget.customer_id)
    terms = BudgetTerms(
        application=_named(Application, budget.application_id, "application_id"),
        environment=_named(Environment, budget.environment_id, "environment_id"),
        **_given(budget, "name", "limit", "measure", "meter", *_CHANGEABLE),
    )
    with _refusals():
        return _shown(add_budget(customer, terms, as_of=request.as_of))


@budgets.reading(
    "/budgets/{uuid:budget_id}",
    scope="budgets:read",
    answers=BudgetOut,
    summary="Read a budget with its figures",
)
def get_budget(request: ApiRequest, budget_id: UUID) -> BudgetOut:
    return _shown(_visible(request.caller, budget_id))


@budgets.changing(
    "/budgets/{uuid:budget_id}",
    scope="budgets:write",
    answers=BudgetOut,
    summary="Change a budget",
)
def update_budget(request: ApiRequest, budget_id: UUID, change: BudgetChange) -> BudgetOut:
    budget = _visible(request.caller, budget_id)
    terms = replace(terms_of(budget), **_given(change, "name", "limit", *_CHANGEABLE))
    with _refusals():
        return _shown(change_budget(budget, terms, as_of=request.as_of))


@budgets.removing(
    "/budgets/{uuid:budget_id}", scope="budgets:write", answers=None, summary="Remove a budget"
)
def remove_a_budget(request: ApiRequest, budget_id: UUID) -> None:
    remove_budget(_visible(request.caller, budget_id), as_of=request.as_of)


@budgets.reading(
    "/budgets/{uuid:budget_id}/alerts",
    scope="budgets:read",
    answers=Page[AlertOut],
    summary="List the thresholds that a budget has reached, the newest first",
)
def list_budget_alerts(
    request: ApiRequest, budget_id: UUID, filters: Query[Paging]
) -> Page[AlertOut]:
    rows = _visible(request.caller, budget_id).alerts.prefetch_related("requests")
    return page_of(rows, filters, _shown_alert, by="noted_at", newest_first=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises Problem."""
    try:
        yield
    except BudgetNotUsable as refusal:
        raise unprocessable((_FIELDS.get(refusal.field, refusal.field), str(refusal))) from refusal
    except TooManyBudgets as refusal:
        raise conflict("too-many-budgets", sentence(refusal)) from refusal


# As the request calls them.
_FIELDS = {
    "application": "application_id",
    "environment": "environment_id",
    "currency": "measure",
    "unit": "measure",
}


_CHANGEABLE = ("thresholds", "by_email", "by_webhook", "at_limit")


def _given(taken: BudgetIn | BudgetChange, *names: str) -> dict[str, Any]:
    """The members as they were read; dumped, a number would be text again."""
    values = {name: getattr(taken, name) for name in dict.fromkeys(names)}
    return {name: value for name, value in values.items() if value is not None}


def _named(model: Any, pk: UUID | None, field: str) -> Any:
    if pk is None:
        return None
    found = model.objects.filter(pk=pk).first()
    if found is None:
        raise unprocessable((field, "nothing of that id is billed to the customer"))
    return found


def _visible(caller: Caller, budget_id: UUID) -> Budget:
    rows = Budget.objects.kept().filter(caller.own("customer"), pk=budget_id)
    found = rows.select_related("customer", "application", "environment").first()
    if found is None:
        raise not_found("budget")
    return found


def _shown(budget: Budget) -> BudgetOut:
    return BudgetOut(**{name: getattr(budget, name) for name in BudgetOut.model_fields})


def _shown_alert(alert: BudgetAlert) -> AlertOut:
    asked = next(iter(alert.requests.all()), None)
    own = {name: getattr(alert, name) for name in AlertOut.model_fields if name != "asked"}
    return AlertOut(**own, asked=None if asked is None else _shown_request(asked))


def _shown_request(asked: BudgetRequest) -> RequestOut:
    return RequestOut(**{name: getattr(asked, name) for name in RequestOut.model_fields})
