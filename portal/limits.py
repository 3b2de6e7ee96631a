"""Which limits of their provider's policies a customer's application was over."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, F, OuterRef, Q

from metering.breach_models import PolicyBreach
from metering.models import Application, Assignment
from tenants.models import Customer

SHOWN_MAX: Final = 20
SINCE: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Breaches:
    """The newest, and how many more there are."""

    shown: tuple[PolicyBreach, ...]
    more: int


def breaches_of(customer: Customer, application: Application, *, as_of: datetime) -> Breaches:
    """Those of the last month that lie in the time in which the application was this customer's:
    what it did while it was another's is not told."""
    theirs = Assignment.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gte=OuterRef("last_over_at")),
        application=OuterRef("application"),
        customer=customer,
        starts_at__lte=OuterRef("first_over_at"),
    )
    of_money = Q(term=PolicyBreach.Term.APPLICATION_SPEND)
    rows = (
        PolicyBreach.objects.filter(
            (Exists(theirs) & ~of_money) | (Q(customer=customer) & of_money),
            application=application,
            last_over_at__gte=as_of - SINCE,
        )
        .select_related("version", "host")
        .order_by(F("standing").desc(), "-last_over_at", "pk")
    )
    found = list(rows[: SHOWN_MAX + 1])
    more = rows.count() - SHOWN_MAX if len(found) > SHOWN_MAX else 0
    return Breaches(tuple(found[:SHOWN_MAX]), more)
