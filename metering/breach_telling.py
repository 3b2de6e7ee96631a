"""What webhooks are told of breaches of limits. docs/webhooks.md states the data."""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import prefetch_related_objects

from metering.breach_models import PolicyBreach
from metering.telling import written
from tenants.webhooks import Happening, emit_all


def tell_breaches(
    breaches: Iterable[PolicyBreach], was_standing: Collection[UUID], *, as_of: datetime
) -> None:
    """Tell which breaches begin, and which of those that were `was_standing` are over."""
    begun, over = [], []
    for each in breaches:
        if each.standing and each.pk not in was_standing:
            begun.append(each)
        elif not each.standing and each.pk in was_standing:
            over.append(each)
    prefetch_related_objects(
        [*begun, *over], "version__policy", "environment", "application", "host", "customer"
    )
    emit_all(
        [
            *(_happening("fault.raised", each) for each in begun),
            *(_happening("fault.cleared", each) for each in over),
        ],
        as_of=as_of,
    )


def _happening(event_type: str, breach: PolicyBreach) -> Happening:
    return Happening(event_type, f"{event_type}:limit:{breach.pk}:{breach.told}", _data(breach))


def _data(breach: PolicyBreach) -> dict[str, Any]:
    application, host, customer = breach.application, breach.host, breach.customer
    return {
        "kind": "limit",
        "breach_id": str(breach.pk),
        "policy_version": str(breach.version),
        "term": breach.term,
        "environment": None if breach.environment is None else breach.environment.name,
        "application_id": None if application is None else str(application.pk),
        "application": None if application is None else application.name,
        "host_id": None if host is None else str(host.pk),
        "host": None if host is None else host.name,
        "customer_id": None if customer is None else str(customer.pk),
        "customer_reference": None if customer is None else customer.reference,
        "limit": _figure(breach.limit),
        "measured": _figure(breach.measured),
        "currency": breach.version.spend_currency if breach.is_of_money else None,
        "since": written(breach.first_over_at),
    }


def _figure(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"
