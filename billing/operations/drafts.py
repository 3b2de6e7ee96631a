"""Plan versions before they are published."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from billing.models import Plan, PlanVersion, Price
from billing.operations.plans import (
    Counting,
    Offer,
    VersionNotUsable,
    copied_offer,
    give_codes,
    require_place,
    require_prices,
    save_prices,
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


def change_draft(version: PlanVersion, offer: Offer) -> PlanVersion:
    """Put another offer in the place of a draft's. Raises VersionAlreadyPublished, and what
    billing.operations.plans.require_prices refuses prices with."""
    with transaction.atomic():
        draft = locked_draft(version)
        changed = version_of(draft.plan, offer)
        for field in ("effective_from", "takes_effect", *Counting.__dataclass_fields__):
            setattr(draft, field, getattr(changed, field))
        draft.save()
        draft.prices.all().delete()
        save_prices(draft, offer.prices)
        return draft


def add_draft_price(version: PlanVersion, price: Price) -> PlanVersion:
    """Put an unsaved price after a draft's others. Raises as change_draft does."""
    with transaction.atomic():
        draft = locked_draft(version)
        last = draft.prices.aggregate(position=Max("position"))["position"]
        price.position = (last or 0) + 1
        return _put(draft, price)


def replace_draft_price(version: PlanVersion, price_id: UUID, price: Price) -> PlanVersion:
    """Put an unsaved price in the place of one of a draft's: it takes over its id, its position
    and, where it brings none, its code. Raises Price.DoesNotExist, and as change_draft does."""
    with transaction.atomic():
        draft = locked_draft(version)
        replaced = draft.prices.get(pk=price_id)
        price.pk, price.position = replaced.pk, replaced.position
        price.code = price.code or replaced.code
        replaced.delete()
        return _put(draft, price)


def _put(draft: PlanVersion, price: Price) -> PlanVersion:
    others = list(draft.prices.all())
    give_codes([*others, price])
    require_prices(draft, sorted([*others, price], key=lambda each: each.position))
    price.plan_version = draft
    price.save(force_insert=True)
    return draft


def replace_prices(version: PlanVersion, prices: Sequence[Price]) -> PlanVersion:
    """Put unsaved prices, in their order, in the place of a draft's own. Raises
    VersionAlreadyPublished, and what billing.operations.plans.require_prices refuses."""
    with transaction.atomic():
        draft = locked_draft(version)
        require_prices(draft, prices)
        draft.prices.all().delete()
        save_prices(draft, prices)
        return draft


def remove_draft_price(version: PlanVersion, price_id: UUID) -> PlanVersion:
    """Take a price out of a draft. Raises VersionAlreadyPublished, Price.DoesNotExist, and
    VersionNotUsable where it is the last one or another price is a percentage of it."""
    with transaction.atomic():
        draft = locked_draft(version)
        draft.prices.get(pk=price_id).delete()
        _require_usable(draft)
        return draft


def discard_draft(version: PlanVersion) -> None:
    """Delete a draft with its prices. Raises VersionAlreadyPublished."""
    with transaction.atomic():
        locked_draft(version).delete()


def locked_draft(version: PlanVersion) -> PlanVersion:
    """The plan and the draft, locked for the transaction. Raises VersionAlreadyPublished."""
    Plan.objects.select_for_update().get(pk=version.plan_id)
    locked = PlanVersion.objects.select_for_update(of=("self",)).select_related("plan")
    draft = locked.get(pk=version.pk)
    if draft.published_at is not None:
        raise VersionAlreadyPublished(f"on {draft.published_at:%Y-%m-%d}")
    return draft


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
        draft = locked_draft(version)
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
