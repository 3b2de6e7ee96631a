"""Looking at budgets: what has been spent, which thresholds that reaches, and whom that is told."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from django.db import transaction

from billing.core.budgets import Standing, crossings, month_of
from billing.core.exact import plain
from billing.models import Budget, BudgetAlert, BudgetRequest
from billing.models.fields import AMOUNT_DECIMALS
from billing.operations.mailing import mail_budget_alert
from billing.queries.parties import billing_settings
from billing.queries.spending import NoFigures, spending_of, standing_of
from tenants.models import Customer
from tenants.webhooks import emit

_SHOWN: Final = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_ROUNDED: Final = Context(prec=60, rounding=ROUND_HALF_UP)


def look_at_budgets(customer: Customer, *, as_of: datetime) -> list[BudgetAlert]:
    """Bring the figures of the customer's budgets up to date, and tell what is reached for the
    first time this month; what was told. What came late may reach it later, and a correction that
    lowers usage takes nothing back."""
    with transaction.atomic():
        # Whoever looks at the same time waits, and then finds what is told already. The customer
        # is not held: its payments need not wait for the rating.
        budgets = list(
            Budget.objects.kept()
            .filter(customer=customer)
            .select_related("customer", "application", "environment")
            .select_for_update(of=("self",), no_key=True)
            .order_by("pk")
        )
        needs_amounts = any(each.scope != Budget.Scope.METER for each in budgets)
        spending = spending_of(customer, as_of=as_of) if needs_amounts else None
        told: list[BudgetAlert] = []
        for budget in budgets:
            try:
                standing = standing_of(budget, spending, as_of=as_of)
            except NoFigures as reason:
                _keep(budget, None, str(reason), as_of)
                continue
            _keep(budget, standing, "", as_of)
            told += _noted(budget, standing, as_of)
        return told


def _keep(budget: Budget, standing: Standing | None, waits_for: str, as_of: datetime) -> None:
    foreseen = None if standing is None else standing.foreseen
    budget.month_start = month_of(as_of, budget.customer.time_zone).start
    budget.spent = None if standing is None else _rounded(standing.spent)
    budget.foreseen_low = None if foreseen is None else _rounded(foreseen.low)
    budget.foreseen = None if foreseen is None else _rounded(foreseen.middle)
    budget.foreseen_high = None if foreseen is None else _rounded(foreseen.high)
    budget.waits_for = waits_for[:200]
    budget.evaluated_at = as_of
    budget.save(
        update_fields=["month_start", "spent", "foreseen_low", "foreseen", "foreseen_high",
                       "waits_for", "evaluated_at"]
    )  # fmt: skip


def _noted(budget: Budget, standing: Standing, as_of: datetime) -> Iterable[BudgetAlert]:
    month_start = month_of(as_of, budget.customer.time_zone).start
    before = BudgetAlert.objects.filter(budget=budget, month_start=month_start, limit=budget.limit)
    found = crossings(
        standing,
        budget.limit,
        wanted=budget.thresholds,
        before=set(before.values_list("threshold", flat=True)),
    )
    alerts = BudgetAlert.objects.bulk_create(
        BudgetAlert(
            budget=budget,
            month_start=month_start,
            threshold=threshold,
            limit=budget.limit,
            spent=_rounded(standing.spent),
            foreseen=budget.foreseen,
            told=threshold == found.told,
            noted_at=as_of,
        )
        for threshold in found.reached
    )
    for alert in alerts:
        asked = _ask_operator(budget, alert, as_of) if alert.threshold == "100" else None
        if alert.told:
            _tell(budget, alert, asked, as_of)
            yield alert


def _ask_operator(budget: Budget, alert: BudgetAlert, as_of: datetime) -> BudgetRequest | None:
    """What was chosen for the limit; where the provider has withdrawn the choice of stopping, the
    operator is asked what to do instead."""
    if budget.at_limit == Budget.AtLimit.TELL:
        return None
    stops = budget.at_limit == Budget.AtLimit.STOP
    if stops and not billing_settings().customers_may_stop_applications:
        stops = False
    kind = BudgetRequest.Kind.STOP if stops else BudgetRequest.Kind.ASK
    return BudgetRequest.objects.create(alert=alert, kind=kind, created_at=as_of)


def _tell(budget: Budget, alert: BudgetAlert, asked: BudgetRequest | None, as_of: datetime) -> None:
    if budget.by_webhook:
        emit(
            "usage.threshold",
            f"usage.threshold:{alert.pk}",
            alert_data(budget, alert),
            customer=budget.customer,
            as_of=as_of,
        )
    if budget.by_email:
        mail_budget_alert(budget, alert, asked, as_of=as_of)


def alert_data(budget: Budget, alert: BudgetAlert) -> dict[str, Any]:
    """An alert as webhooks are told it; docs/webhooks.md states it."""
    month = month_of(alert.month_start, budget.customer.time_zone)
    return {
        "budget_id": str(budget.pk),
        "name": budget.name,
        "customer_id": str(budget.customer_id),
        "customer_reference": budget.customer.reference,
        "scope": budget.scope,
        "application_id": _id(budget.application_id),
        "environment_id": _id(budget.environment_id),
        "meter": budget.meter or None,
        "period_start": _moment(month.start),
        "period_end": _moment(month.end),
        "threshold": alert.threshold,
        "limit": plain(alert.limit),
        "spent": plain(alert.spent),
        "foreseen": None if alert.foreseen is None else plain(alert.foreseen),
        "currency": budget.currency or None,
        "unit": budget.unit or None,
        "at_limit": budget.at_limit,
    }


def _id(value: object) -> str | None:
    return None if value is None else str(value)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _rounded(figure: Decimal) -> Decimal:
    return figure.quantize(_SHOWN, context=_ROUNDED)
