"""Which of a customer's invoices a list shows: the address says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.core.lifecycle import DRAFTS, PAYABLE
from billing.models import Invoice
from portal.queries import invoices_of
from tenants.models import Customer

# What a reader looks for, and the statuses that are it.
_STATES: Final[Mapping[str, tuple[Promise, frozenset[str]]]] = {
    "unpaid": (_("To be paid"), PAYABLE),
    "overdue": (_("Overdue"), frozenset({Invoice.Status.OVERDUE})),
    "paid": (_("Paid"), frozenset({Invoice.Status.PAID})),
    "checked": (_("Being checked"), DRAFTS),
    "void": (_("Taken back"), frozenset({Invoice.Status.VOID})),
}
_KINDS: Final[Mapping[str, Promise]] = {
    "invoice": _("Invoices"),
    "credit_note": _("Credit notes"),
    "debit_note": _("Debit notes"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a filter's values."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen invoices, newest first, and what may be chosen."""

    invoices: "QuerySet[Invoice]"
    states: list[Choice]
    kinds: list[Choice]
    years: list[Choice]
    query: str

    @property
    def is_filtered(self) -> bool:
        return bool(self.query)


def selection(customer: Customer, wanted: Mapping[str, str]) -> Selection:
    """By `state`, `kind` and `year`; what is none of them chooses nothing."""
    zone = ZoneInfo(customer.time_zone)
    invoices = invoices_of(customer)
    years = [
        str(each.year) for each in invoices.datetimes("period_start", "year", "DESC", tzinfo=zone)
    ]
    state = _known(wanted.get("state", ""), _STATES)
    kind = _known(wanted.get("kind", ""), _KINDS)
    year = _known(wanted.get("year", ""), years)
    if state:
        invoices = invoices.filter(status__in=_STATES[state][1])
    if state in {"unpaid", "overdue"}:
        invoices = invoices.exclude(kind=Invoice.Kind.CREDIT_NOTE)
    if kind:
        invoices = invoices.filter(kind=kind)
    if year:
        invoices = invoices.filter(period_start__year=int(year))
    chosen = {"state": state, "kind": kind, "year": year}
    return Selection(
        invoices,
        [Choice(value, str(label), value == state) for value, (label, __) in _STATES.items()],
        [Choice(value, str(label), value == kind) for value, label in _KINDS.items()],
        [Choice(value, value, value == year) for value in years],
        urlencode({name: value for name, value in chosen.items() if value}),
    )


def _known(value: str, known: "Mapping[str, object] | list[str]") -> str:
    return value if value in known else ""
