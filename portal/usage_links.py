"""Where the explorer's parts lead: the same question, taken apart further or less far."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext

from metering.core.buckets import bucket_of
from metering.models import Application
from portal.explorer import Place, Row
from portal.queries import applications_of
from portal.usage_costs import Days
from portal.usage_names import names_of
from portal.usage_question import Question
from tenants.models import Customer, Environment

_DAY: Final = timedelta(days=1)
# What a row leads to.
_INSIDE: Final[Mapping[str, str]] = {
    "environment": "application",
    "application": "instance",
    "instance": "host",
    "host": "application",
}
_FINER: Final = {"month": "day", "day": "hour", "hour": "5m"}
_NOWHERE: Final[Mapping[str, None]] = dict.fromkeys(
    ("environment", "application", "instance", "host")
)


def way_down(question: Question, customer: Customer) -> list[tuple[str, str]]:
    """From all usage to what is asked of: names, and addresses that leave out what is below. What
    is not the customer's is answered like what is not there: raises Http404."""
    crumbs = [(gettext("All usage"), question.but(**_NOWHERE, group="application"))]
    own = applications_of(customer)
    if question.environment:
        wanted = Environment.objects.filter(application__in=own.order_by()).distinct()
        environment = get_object_or_404(wanted, pk=question.environment)
        kept = {**_NOWHERE, "environment": environment.pk}
        crumbs.append((environment.name, question.but(**kept, group="application")))
    if question.application:
        application = get_object_or_404(own, pk=question.application)
        above = question.but(instance=None, host=None, group="instance")
        crumbs.append((application.name, above))
    for key in ("instance", "host"):
        below = getattr(question, key)
        if below:
            crumbs.append((_name_of(key, below, own), question.but()))
    return crumbs


def _name_of(key: Literal["instance", "host"], wanted: UUID, own: "QuerySet[Application]") -> str:
    """Of an instance, or a host, on which an application of theirs was seen."""
    field = "instances__host" if key == "host" else "instances"
    if not own.filter(**{field: wanted}).exists():
        raise Http404
    return names_of(key, [wanted])[wanted].name


def address_inside(row: Row, question: Question) -> str:
    """What the row is of, taken apart further; nothing where there is nothing below."""
    if question.group == "meter":
        return question.but(meter=row.meter, group="application")
    if row.id is None:
        return ""
    return question.but(**{question.group: row.id, "group": _INSIDE[question.group]})


def address_of_time(place: Place, question: Question, zone: ZoneInfo) -> str:
    """The time of a bar in finer bars; of 5 minutes of one application its samples."""
    first = place.start.astimezone(zone).date()
    step = _FINER.get(question.step)
    if step is not None:
        last = first
        if question.step == "month":
            first, last = max(first, question.first), min(_last_of_month(first), question.last)
        return question.but(first=first, last=last, step=step, compare="", compare_from=None)
    if question.application is None or place.quantity is None:
        return ""
    arguments = [question.application, bucket_of(place.start)]
    address = reverse("portal:usage-samples", args=arguments)
    instance = f"&instance={question.instance}" if question.instance else ""
    return f"{address}?meter={question.meter}{instance}"


def address_of_days(days: Days, question: Question) -> str:
    """The same of other days."""
    return question.but(first=days.first, last=days.last, step="day", compare="", compare_from=None)


def _last_of_month(day: date) -> date:
    return (day.replace(day=1) + 32 * _DAY).replace(day=1) - _DAY


def months_of(question: Question) -> list[date]:
    """The months whose invoices have the cost of this usage, at most a year of them."""
    months, month = list[date](), question.first.replace(day=1)
    while month <= question.last and len(months) < 12:
        months.append(month)
        month = (month + 32 * _DAY).replace(day=1)
    return months


def shown_row(row: Row, question: Question, refused: tuple[str, ...]) -> dict[str, Any]:
    """A row as the page has it."""
    change = None if row.earlier is None else row.quantity - row.earlier
    return {
        "row": row, "url": address_inside(row, question), "change": change, "refused": refused,
    }  # fmt: skip
