"""Plan versions before they are published."""

from datetime import datetime

from django.db import transaction

from billing.models import Plan, PlanVersion
from billing.operations.plans import (
    Offer,
    VersionNotUsable,
    copied_offer,
    require_place,
    require_prices,
    save_version,
    version_of,
)


class VersionAlreadyPublished(Exception):
    """What is published rates invoices, and is no draft any more."""


def draft_plan_version(plan: Plan, offer: Offer) -> PlanVersion:
    """A version that rates nothing until it is published: to be edited, and run over past usage.

    Raises what billing.operations.plans.require_prices refuses prices with.
    """
    version = version_of(plan, offer)
    version.published_at = None
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=plan.pk)
        return save_version(version, offer.prices)


def draft_next_version(plan: Plan, *, effective_from: datetime) -> PlanVersion:
    """A draft with the prices of the plan's newest version, to be edited. Raises VersionNotUsable
    where a version that is published takes effect later."""
    offer = copied_offer(plan, effective_from=effective_from)
    if not offer.prices:
        raise VersionNotUsable("no version is published yet whose prices it could begin with")
    with transaction.atomic():
        version = draft_plan_version(plan, offer)
        require_place(version)
        return version


def publish_draft(
    version: PlanVersion,
    *,
    as_of: datetime,
    effective_from: datetime | None = None,
    takes_effect: str | None = None,
) -> PlanVersion:
    """Let a draft rate what comes from its `effective_from` on; this and how it takes effect are as
    the draft says, or as given here.

    Raises VersionAlreadyPublished, and VersionNotUsable where it has no prices, prices that
    cannot be rated, takes effect before the version that it follows or, at once, in a period that
    is invoiced.
    """
    with transaction.atomic():
        Plan.objects.select_for_update().get(pk=version.plan_id)
        locked = PlanVersion.objects.select_for_update(of=("self",)).select_related("plan")
        draft = locked.get(pk=version.pk)
        if draft.published_at is not None:
            raise VersionAlreadyPublished(f"on {draft.published_at:%Y-%m-%d}")
        draft.effective_from = effective_from or draft.effective_from
        draft.takes_effect = takes_effect or draft.takes_effect
        _require_usable(draft)
        require_place(draft)
        draft.published_at = as_of
        draft.save(update_fields=["published_at", "effective_from", "takes_effect"])
        return draft


def _require_usable(draft: PlanVersion) -> None:
    prices = list(draft.prices.order_by("position"))
    if not prices:
        raise VersionNotUsable("a version without prices would bill nothing")
    try:
        require_prices(draft, prices)
    except (ValueError, TypeError) as refusal:
        raise VersionNotUsable(str(refusal)) from refusal
