"""The form of a budget, as a customer fills it in."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.core.budgets import FORECAST, THRESHOLDS
from billing.core.quantity import UnitDoesNotFit, UnknownUnit, unit_for
from billing.models import Budget, Price
from billing.operations.budgets import LIMIT_BELOW, BudgetTerms
from billing.queries.parties import billing_settings
from billing.queries.periods import PlanHasNoVersion, plan_version_for, subscription_of
from metering.models import Application
from portal.access import Reader
from portal.queries import applications_of
from tenants.models import Environment

# More than a person reads in one list; the API takes the id of any.
_APPLICATIONS_MAX: Final = 500

_EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a budget can be of: its value in the form and what it is called."""

    value: str
    label: str
    terms: dict[str, Any]
    measure: str


def currency_of_reader(reader: Reader) -> str:
    """In what the customer is billed; the tenant's currency while it has no subscription."""
    subscription = subscription_of(reader.customer, as_of=reader.as_of)
    if subscription is None:
        return reader.tenant.currency
    return subscription.currency or subscription.plan.currency


def subjects_of(reader: Reader) -> dict[str, list[Subject]]:
    """By the heading that they stand under. Meters are those that the customer's plan prices, in
    the units in which it does."""
    currency = currency_of_reader(reader)
    applications = list(applications_of(reader.customer)[:_APPLICATIONS_MAX])
    environments = {each.environment_id: each.environment for each in applications}
    return {
        "": [Subject(_EVERYTHING, _("Everything"), {}, currency)],
        _("One application"): [_of_application(each, currency) for each in applications],
        _("One environment"): [_of_environment(each, currency) for each in environments.values()],
        _("One meter, by its quantity"): _meters_of(reader),
    }


def _of_application(application: Application, currency: str) -> Subject:
    name = f"{application.name} ({application.environment.name})"
    return Subject(f"application:{application.pk}", name, {"application": application}, currency)


def _of_environment(environment: Environment, currency: str) -> Subject:
    value = f"environment:{environment.pk}"
    return Subject(value, environment.name, {"environment": environment}, currency)


def _meters_of(reader: Reader) -> list[Subject]:
    subscription = subscription_of(reader.customer, as_of=reader.as_of)
    if subscription is None:
        return []
    try:
        version = plan_version_for(subscription.plan, reader.as_of)
    except PlanHasNoVersion:
        return []
    prices = Price.objects.filter(plan_version=version, aggregation__in=("sum", "integral"))
    found: dict[str, Subject] = {}
    for price in prices.order_by("position"):
        value = f"meter:{price.meter}:{price.unit}"
        if _is_quoted(price.meter, price.unit):
            label = _("%(meter)s, in %(unit)s") % {"meter": price.label, "unit": price.unit}
            found.setdefault(value, Subject(value, label, {"meter": price.meter}, price.unit))
    return list(found.values())


def _is_quoted(meter: str, unit: str) -> bool:
    try:
        unit_for(meter, unit)
    except (UnknownUnit, UnitDoesNotFit):
        return False
    return True


class BudgetForm(forms.Form):
    """What a budget is of, how much, and what is told. What it is of stays once it is set."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    subject = forms.ChoiceField(label=gettext_lazy("Of what"))
    limit = forms.DecimalField(
        label=gettext_lazy("Limit a month"),
        max_digits=19,
        decimal_places=4,
        min_value=Decimal("0.0001"),
        max_value=LIMIT_BELOW,
    )
    thresholds = forms.MultipleChoiceField(
        label=gettext_lazy("Tell me at"),
        choices=[
            *((each, f"{each} %") for each in THRESHOLDS if each != FORECAST),
            (FORECAST, gettext_lazy("forecast: the limit will be reached")),
        ],
        initial=list(THRESHOLDS),
        widget=forms.CheckboxSelectMultiple,
    )
    by_email = forms.BooleanField(label=gettext_lazy("by e-mail"), required=False, initial=True)
    by_webhook = forms.BooleanField(
        label=gettext_lazy("to our webhook endpoints"), required=False, initial=True
    )
    at_limit = forms.ChoiceField(
        label=gettext_lazy("At the limit"),
        initial=Budget.AtLimit.TELL,
        widget=forms.RadioSelect,
    )

    def __init__(self, reader: Reader, budget: Budget | None, data: Any = None) -> None:
        super().__init__(data, initial=_initial(budget))
        self._budget = budget
        self._subjects = {} if budget else _by_value(subjects_of(reader))
        self.fields["at_limit"].choices = _choices_at_limit(budget)  # type: ignore[attr-defined]
        if budget is not None:
            del self.fields["subject"]
            self.fields["limit"].help_text = _("In %(measure)s.") % {"measure": budget.measure}
            return
        self.fields["subject"].choices = _grouped(subjects_of(reader))  # type: ignore[attr-defined]
        self.fields["limit"].help_text = _(
            "In %(currency)s, before tax; of a meter in the unit that is named with it."
        ) % {"currency": currency_of_reader(reader)}

    def terms(self) -> BudgetTerms:
        """What was filled in."""
        data = self.cleaned_data
        own: dict[str, Any] = {
            name: data[name]
            for name in ("name", "limit", "thresholds", "by_email", "by_webhook", "at_limit")
        }
        if self._budget is not None:
            kept = self._budget
            return BudgetTerms(
                measure=kept.measure,
                application=kept.application,
                environment=kept.environment,
                meter=kept.meter,
                **own,
            )
        subject = self._subjects[data["subject"]]
        return BudgetTerms(measure=subject.measure, **subject.terms, **own)

    def refuse(self, field: str, why: str) -> None:
        """Say beside the field that it was about why the budget is none."""
        shown = {"currency": "limit", "unit": "limit", "application": "subject",
                 "environment": "subject", "meter": "subject"}.get(field, field)  # fmt: skip
        self.add_error(shown if shown in self.fields else None, why)


def _initial(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    kept = ("name", "thresholds", "by_email", "by_webhook", "at_limit")
    return {"limit": budget.limit.normalize(), **{name: getattr(budget, name) for name in kept}}


def _by_value(groups: dict[str, list[Subject]]) -> dict[str, Subject]:
    return {each.value: each for group in groups.values() for each in group}


def _grouped(groups: dict[str, list[Subject]]) -> list[Any]:
    choices: list[Any] = []
    for heading, subjects in groups.items():
        own = [(each.value, each.label) for each in subjects]
        choices += [(heading, own)] if heading and own else own
    return choices


def _choices_at_limit(budget: Budget | None) -> list[tuple[str, str]]:
    """Stopping is offered where the provider allows it, and stays shown where it was chosen."""
    choices = [
        (Budget.AtLimit.TELL, _("Tell me")),
        (Budget.AtLimit.ASK, _("Ask the operator what to do")),
    ]
    chosen = budget is not None and budget.at_limit == Budget.AtLimit.STOP
    of_application = budget is None or budget.scope == Budget.Scope.APPLICATION
    if chosen or (of_application and billing_settings().customers_may_stop_applications):
        stop = _("Ask the operator to stop the application; a person does it")
        choices.append((Budget.AtLimit.STOP, stop))
    return [(str(value), label) for value, label in choices]
