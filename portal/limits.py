"""Which limits of their provider's policies a customer's application was over."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet

from metering.breach_models import BreachDay, PolicyBreach
from metering.models import Application, Assignment
from tenants.models import Customer

SHOWN_MAX: Final = 20
SINCE: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class ShownBreach:
    """A breach as far as its days were the customer's."""

    breach: PolicyBreach
    measured: Decimal | None
    first_over_at: datetime
    last_over_at: datetime

    @property
    def standing(self) -> bool:
        return self.breach.standing and self.last_over_at == self.breach.last_over_at


@dataclass(frozen=True, slots=True)
class Breaches:
    """The newest, and how many more there are."""

    shown: tuple[ShownBreach, ...]
    more: int


def breaches_of(customer: Customer, application: Application, *, as_of: datetime) -> Breaches:
    """Those of the last month, by their days on which the application was this customer's: what it
    did while it was another's is not told."""
    recent = PolicyBreach.objects.filter(application=application, last_over_at__gte=as_of - SINCE)
    days = BreachDay.objects.filter(_theirs(customer, application), breach__in=recent)
    used = (
        days.order_by()
        .values("breach")
        .annotate(measured=Max("measured"), first=Min("first_over_at"), last=Max("last_over_at"))
    )
    spent = recent.filter(customer=customer, term=PolicyBreach.Term.APPLICATION_SPEND)
    newest = ("-breach__standing", "-last", "breach")
    found = {each["breach"]: each for each in used.order_by(*newest)[:SHOWN_MAX]}
    shown = sorted(
        [*_of_usage(found), *_of_spend(spent)],
        key=lambda each: (each.standing, each.last_over_at, each.breach.pk),
        reverse=True,
    )
    more = used.count() + spent.count() - len(shown[:SHOWN_MAX])
    return Breaches(tuple(shown[:SHOWN_MAX]), more)


def _theirs(customer: Customer, application: Application) -> Exists:
    return Exists(
        Assignment.objects.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gte=OuterRef("last_over_at")),
            application=application,
            customer=customer,
            starts_at__lte=OuterRef("first_over_at"),
        )
    )


def _of_usage(found: Mapping[UUID, Mapping[str, Any]]) -> list[ShownBreach]:
    rows = PolicyBreach.objects.select_related("version", "host").in_bulk(found)
    return [
        ShownBreach(rows[pk], each["measured"], each["first"], each["last"])
        for pk, each in found.items()
    ]


def _of_spend(rows: "QuerySet[PolicyBreach]") -> list[ShownBreach]:
    newest = rows.select_related("version", "host").order_by("-standing", "-last_over_at", "pk")
    return [
        ShownBreach(each, each.measured, each.first_over_at, each.last_over_at)
        for each in newest[:SHOWN_MAX]
    ]
