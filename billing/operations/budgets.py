"""Keeping budgets."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final

from celery import current_app
from django.db import transaction
from hostmeter_agent.wire import kind_of

from billing.core.budgets import THRESHOLDS
from billing.core.currencies import UnknownCurrency, currency_of
from billing.core.exact import plain
from billing.core.money import round_amount
from billing.core.quantity import UnitDoesNotFit, UnknownUnit, unit_for
from billing.models import Budget, BudgetRequest
from billing.operations.journal import lock_customer
from billing.operations.mailing import mail_budget_decision
from billing.queries.parties import billing_settings
from metering.models import Application, Assignment
from tenants.audit import note
from tenants.models import Customer, Environment

BUDGETS_MAX: Final = 100
# The task's name, for whoever hands it on.
LOOK_AT_BUDGETS: Final = "billing.tasks.look_at_budgets_of"
LIMIT_BELOW: Final = Decimal(10) ** 15


class BudgetNotUsable(ValueError):
    """What was given makes no budget; `field` says which part of it, and the message why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class TooManyBudgets(Exception):
    """The customer has as many budgets as it may."""


class RequestDecided(Exception):
    """Somebody has decided it before."""


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """What a budget is of and says. One of application, environment and meter at most: without any
    it is of all that the customer uses. `measure` is a currency, or of a meter its unit."""

    name: str
    limit: Decimal
    measure: str
    application: Application | None = None
    environment: Environment | None = None
    meter: str = ""
    thresholds: Collection[str] = THRESHOLDS
    by_email: bool = True
    by_webhook: bool = True
    at_limit: str = Budget.AtLimit.TELL


def add_budget(customer: Customer, terms: BudgetTerms, *, as_of: datetime) -> Budget:
    """Raises BudgetNotUsable and TooManyBudgets."""
    fields = usable_fields(customer, terms)
    with transaction.atomic():
        lock_customer(customer.pk)
        if Budget.objects.kept().filter(customer=customer).count() >= BUDGETS_MAX:
            raise TooManyBudgets(f"there are {BUDGETS_MAX} budgets already; remove one first")
        _ask_for_figures(customer)
        made = Budget.objects.create(customer=customer, created_at=as_of, **fields)
        _note("set", made, as_of)
        return made


def change_budget(budget: Budget, terms: BudgetTerms, *, as_of: datetime) -> Budget:
    """Put other terms in the place of a budget's. Under another limit its thresholds are told anew
    this month; its figures are those of the next look. Raises BudgetNotUsable."""
    fields = usable_fields(budget.customer, terms)
    with transaction.atomic():
        locked = Budget.objects.select_for_update().get(pk=budget.pk)
        is_another = any(getattr(locked, each) != value for each, value in fields.items())
        if any(getattr(locked, each) != fields[each] for each in _MAKES_FIGURES):
            fields |= {"spent": None, "foreseen": None, "evaluated_at": None, "waits_for": ""}
            fields |= {"foreseen_low": None, "foreseen_high": None}
        for name, value in fields.items():
            setattr(locked, name, value)
        locked.save(update_fields=list(fields))
        _ask_for_figures(locked.customer)
        if is_another:
            _note("changed", locked, as_of)
        return locked


def terms_of(budget: Budget) -> BudgetTerms:
    """As it stands."""
    return BudgetTerms(
        name=budget.name,
        limit=budget.limit,
        measure=budget.measure,
        application=budget.application,
        environment=budget.environment,
        meter=budget.meter,
        thresholds=budget.thresholds,
        by_email=budget.by_email,
        by_webhook=budget.by_webhook,
        at_limit=budget.at_limit,
    )


def remove_budget(budget: Budget, *, as_of: datetime) -> None:
    """It is looked at no more. What was asked of the operator stays asked."""
    with transaction.atomic():
        if Budget.objects.kept().filter(pk=budget.pk).update(removed_at=as_of):
            _note("removed", budget, as_of)


def _note(change: str, budget: Budget, as_of: datetime) -> None:
    note(
        "budget_changed",
        as_of=as_of,
        customer=budget.customer_id,
        subject=budget.name,
        change=change,
        limit=plain(budget.limit),
        measure=budget.measure,
    )


def decide_request(
    request: BudgetRequest, state: str, *, note: str, decided_by: str, as_of: datetime
) -> BudgetRequest:
    """Note what the operator did about it, and tell the customer. Raises RequestDecided."""
    with transaction.atomic():
        locked = BudgetRequest.objects.select_for_update().get(pk=request.pk)
        if locked.state != BudgetRequest.State.OPEN:
            raise RequestDecided(f"it is {locked.get_state_display().lower()} already")
        locked.state, locked.note = state, note
        locked.decided_by, locked.decided_at = decided_by, as_of
        locked.save(update_fields=["state", "note", "decided_by", "decided_at"])
        mail_budget_decision(locked, as_of=as_of)
        return locked


def _ask_for_figures(customer: Customer) -> None:
    """Have a worker look at the budgets now; without one the next round does."""
    names = [str(customer.tenant_id), str(customer.pk)]
    ask = partial(current_app.send_task, LOOK_AT_BUDGETS, names)
    transaction.on_commit(ask, robust=True)


_MAKES_FIGURES: Final = ("scope", "application", "environment", "meter", "currency", "unit")


def usable_fields(customer: Customer, terms: BudgetTerms) -> dict[str, object]:
    """The row's fields as the terms say them. Raises BudgetNotUsable."""
    scope = _scope(terms)
    if not terms.name.strip():
        raise BudgetNotUsable("name", "give it a name")
    _require_own(customer, terms)
    limit, currency, unit = _limit(terms, scope)
    if not terms.thresholds:
        raise BudgetNotUsable("thresholds", "choose at least one")
    wrong = sorted(set(terms.thresholds) - set(THRESHOLDS))
    if wrong:
        raise BudgetNotUsable("thresholds", f"there is no threshold {wrong[0][:20]!r}")
    _require_may_stop(terms, scope)
    return {
        "name": terms.name.strip(),
        "scope": scope,
        "application": terms.application,
        "environment": terms.environment,
        "meter": terms.meter,
        "limit": limit,
        "currency": currency,
        "unit": unit,
        "thresholds": [each for each in THRESHOLDS if each in terms.thresholds],
        "by_email": terms.by_email,
        "by_webhook": terms.by_webhook,
        "at_limit": terms.at_limit,
    }


def _scope(terms: BudgetTerms) -> Budget.Scope:
    given = {
        Budget.Scope.APPLICATION: terms.application,
        Budget.Scope.ENVIRONMENT: terms.environment,
        Budget.Scope.METER: terms.meter,
    }
    chosen = [scope for scope, value in given.items() if value]
    if len(chosen) > 1:
        raise BudgetNotUsable(
            chosen[1].value, "a budget is of one application, environment or meter"
        )
    return chosen[0] if chosen else Budget.Scope.CUSTOMER


def _require_own(customer: Customer, terms: BudgetTerms) -> None:
    """One answer for what does not exist and for what is another's."""
    own = Assignment.objects.filter(customer=customer)
    if terms.application and not own.filter(application=terms.application).exists():
        raise BudgetNotUsable("application", "no such application is billed to the customer")
    environment = terms.environment
    if environment and not own.filter(application__environment=environment).exists():
        raise BudgetNotUsable(
            "environment", "nothing in such an environment is billed to the customer"
        )


def _limit(terms: BudgetTerms, scope: Budget.Scope) -> tuple[Decimal, str, str]:
    if not 0 < terms.limit < LIMIT_BELOW:
        raise BudgetNotUsable("limit", "it has to be above zero, and below 10^15")
    if scope == Budget.Scope.METER:
        _require_unit(terms)
        return terms.limit, "", terms.measure
    try:
        currency = currency_of(terms.measure)
    except UnknownCurrency as error:
        raise BudgetNotUsable("currency", str(error)) from error
    if round_amount(terms.limit, currency) != terms.limit:
        raise BudgetNotUsable("limit", f"{currency.code} has {currency.decimals} decimals")
    return terms.limit, currency.code, ""


def _require_unit(terms: BudgetTerms) -> None:
    if kind_of(terms.meter) == "maximum":
        raise BudgetNotUsable("meter", "days of a maximum do not add up to a month")
    try:
        unit_for(terms.meter, terms.measure)
    except (UnknownUnit, UnitDoesNotFit) as error:
        raise BudgetNotUsable("unit", str(error)) from error
    if terms.limit.quantize(Decimal("0.0001")) != terms.limit:
        raise BudgetNotUsable("limit", "a quantity has at most 4 decimals here")


def _require_may_stop(terms: BudgetTerms, scope: Budget.Scope) -> None:
    if terms.at_limit not in Budget.AtLimit.values:
        raise BudgetNotUsable("at_limit", f"there is no such choice as {terms.at_limit[:20]!r}")
    if terms.at_limit != Budget.AtLimit.STOP:
        return
    if scope != Budget.Scope.APPLICATION:
        raise BudgetNotUsable("at_limit", "only an application can be stopped")
    if not billing_settings().customers_may_stop_applications:
        raise BudgetNotUsable("at_limit", "the provider does not let customers stop applications")
