"""Publishing plan versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from django.db import transaction
from django.db.models import Max

from billing.core.currencies import currency_of
from billing.models import Plan, PlanVersion, Price
from billing.prices import price_spec


class VersionNotUsable(Exception):
    """A plan version has no price, or takes effect before the version it follows."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan version to publish: unsaved prices, in their order on the invoice."""

    prices: Sequence[Price]
    effective_from: datetime


def publish_plan_version(plan: Plan, offer: Offer) -> PlanVersion:
    """The plan's next version; it rates periods that start at or after `effective_from`.

    Raises VersionNotUsable, and what billing.prices.price_spec refuses a price with.
    """
    if not offer.prices:
        raise VersionNotUsable("a version without prices would bill nothing")
    currency_of(plan.currency)
    for price in offer.prices:
        price_spec(price)
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=plan.pk)
        last = plan.versions.aggregate(number=Max("number"), from_=Max("effective_from"))
        if last["from_"] is not None and offer.effective_from < last["from_"]:
            raise VersionNotUsable(f"the version before takes effect on {last['from_']:%Y-%m-%d}")
        version = PlanVersion.objects.create(
            plan=plan, number=(last["number"] or 0) + 1, effective_from=offer.effective_from
        )
        for position, price in enumerate(offer.prices, start=1):
            price.plan_version, price.position = version, position
            price.save(force_insert=True)
        return version


def copy_plan_version(plan: Plan, *, effective_from: datetime) -> PlanVersion:
    """The plan's next version with the prices of its newest one, to be edited.

    Raises VersionNotUsable.
    """
    newest = plan.versions.order_by("number").last()
    prices = list(newest.prices.order_by("position")) if newest else []
    for price in prices:
        price.pk = uuid4()
    return publish_plan_version(plan, Offer(prices, effective_from))
