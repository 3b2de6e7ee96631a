"""How limits of policies, and what was over them, are written."""

from decimal import Decimal
from typing import Final

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from metering.breach_models import PolicyBreach
from portal import formatting

register = template.Library()

_TERMS: Final[dict[str, Promise]] = {
    "cpu_millicores": _("CPU"),
    "memory_bytes": _("Memory"),
    "processes_max": _("Processes"),
    "open_files_max": _("Open files"),
    "users_max": _("Concurrent users"),
    "rules": _("May not run here"),
    "application_spend_max": _("Spend in the month, before tax"),
}
_GIB: Final = Decimal(2**30)


@register.filter
def limit_term(breach: PolicyBreach) -> Promise | str:
    return _TERMS.get(breach.term, breach.term)


@register.simple_tag
def limit_figure(value: Decimal | None, breach: PolicyBreach) -> str:
    """What was measured, or its limit, in a unit that people read; a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001
    if breach.is_of_money:
        return formatting.amount(value.normalize(), breach.version.spend_currency)
    if breach.term == PolicyBreach.Term.MEMORY:
        return f"{formatting.quantity(value / _GIB)}{formatting.NBSP}GiB"
    if breach.term == PolicyBreach.Term.CPU:
        cores = value / 1_000
        unit = ngettext("core", "cores", 1 if cores == 1 else 2)
        return f"{formatting.quantity(cores)}{formatting.NBSP}{unit}"
    return formatting.quantity(value)
