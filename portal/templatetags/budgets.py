"""How budgets are written and drawn."""

from decimal import Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from billing.core.budgets import FORECAST
from billing.models import Budget
from portal import formatting

register = template.Library()

_NEAR = 80
_FULL = 100
NBSP = "\u00a0"


@register.simple_tag
def figure(value: Decimal | None, budget: Budget) -> str:
    """An amount in the budget's currency, or a quantity in its unit; a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001
    if budget.currency:
        return formatting.amount(value.normalize() if value else Decimal(0), budget.currency)
    return f"{formatting.quantity(value)}{NBSP}{formatting.unit_name(budget.unit, value)}"


@register.filter
def why_waiting(reason: str) -> str:
    """Why a budget has no figures, in the reader's language."""
    billed_in = reason.removeprefix("the customer is billed in ")
    if billed_in != reason:
        return gettext("you are billed in %(currency)s") % {"currency": billed_in}
    return gettext("there is no subscription with prices yet")


@register.simple_tag
def threshold_name(threshold: str) -> str:
    """80 % → "80%"; the forecast in words."""
    if threshold == FORECAST:
        return gettext("forecast")
    return formatting.coverage(int(threshold) * 10_000)


@register.simple_tag
def meter_bar(part: Decimal | None, whole: Decimal) -> SafeString:
    """How much of the whole the part is, drawn; the figures stand beside it."""
    percent = int(min((part or Decimal(0)) * _FULL / whole, Decimal(_FULL)))
    state = "over" if percent >= _FULL else "near" if percent >= _NEAR else ""
    return format_html(
        '<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8" rx="2"/>'
        '<rect class="part {}" width="{}" height="8" rx="2"/></svg>',
        state,
        max(percent, 0),
    )
