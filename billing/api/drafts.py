"""Plan versions one by one: reading, and changing what is not published yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from billing.api.plans import (
    PRICES_MAX,
    DraftIn,
    VersionOut,
    offer_of,
    shown_version,
    visible_version,
)
from billing.api.prices import PriceIn, unsaved_price
from billing.core.exact import InexactNumber
from billing.models import Price
from billing.operations import (
    VersionAlreadyPublished,
    VersionNotUsable,
    add_draft_price,
    change_draft,
    discard_draft,
    publish_draft,
    remove_draft_price,
    replace_draft_price,
)
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.resources import Resources

drafts = Resources()


@drafts.reading(
    "/plan-versions/{uuid:version_id}",
    scope="plans:read",
    answers=VersionOut,
    summary="Read a plan version with its prices",
)
def get_plan_version(request: ApiRequest, version_id: UUID) -> VersionOut:
    return shown_version(visible_version(request.caller, version_id))


@drafts.replacing(
    "/plan-versions/{uuid:version_id}",
    scope="plans:write",
    answers=VersionOut,
    summary="Replace all that a draft holds",
)
def replace_draft(request: ApiRequest, version_id: UUID, draft: DraftIn) -> VersionOut:
    version = visible_version(request.caller, version_id)
    with _refusals("prices"):
        return shown_version(change_draft(version, offer_of(version.plan, draft)))


@drafts.removing(
    "/plan-versions/{uuid:version_id}",
    scope="plans:write",
    answers=None,
    summary="Discard a draft",
)
def remove_draft(request: ApiRequest, version_id: UUID) -> None:
    with _refusals("prices"):
        discard_draft(visible_version(request.caller, version_id))


@drafts.creating(
    "/plan-versions/{uuid:version_id}/prices",
    scope="plans:write",
    answers=VersionOut,
    summary="Add a price to a draft, after its others",
)
def add_price(request: ApiRequest, version_id: UUID, price: PriceIn) -> VersionOut:
    version = visible_version(request.caller, version_id)
    made = unsaved_price(price, version, "price")
    with _refusals("price"):
        shown = shown_version(add_draft_price(version, made))
    if len(shown.prices) > PRICES_MAX:
        raise conflict("too-many-prices", f"A version has at most {PRICES_MAX} prices.")
    return shown


@drafts.replacing(
    "/plan-versions/{uuid:version_id}/prices/{uuid:price_id}",
    scope="plans:write",
    answers=VersionOut,
    summary="Replace a price of a draft",
)
def replace_price(
    request: ApiRequest, version_id: UUID, price_id: UUID, price: PriceIn
) -> VersionOut:
    version = visible_version(request.caller, version_id)
    made = unsaved_price(price, version, "price")
    with _refusals("price"):
        return shown_version(replace_draft_price(version, price_id, made))


@drafts.removing(
    "/plan-versions/{uuid:version_id}/prices/{uuid:price_id}",
    scope="plans:write",
    answers=VersionOut,
    summary="Take a price out of a draft",
)
def remove_price(request: ApiRequest, version_id: UUID, price_id: UUID) -> VersionOut:
    version = visible_version(request.caller, version_id)
    with _refusals("price"):
        return shown_version(remove_draft_price(version, price_id))


@drafts.acting(
    "/plan-versions/{uuid:version_id}/publish",
    scope="plans:write",
    answers=VersionOut,
    summary="Publish a draft",
)
def publish_a_draft(request: ApiRequest, version_id: UUID) -> VersionOut:
    version = visible_version(request.caller, version_id)
    with _refusals("prices"):
        return shown_version(publish_draft(version, as_of=request.as_of))


@contextmanager
def _refusals(field: str) -> Iterator[None]:
    """Raises Problem: 404 where there is no such price, 409 where the version stands against it,
    422 where the prices do."""
    try:
        yield
    except Price.DoesNotExist:
        raise not_found("price of this version") from None
    except VersionAlreadyPublished as refusal:
        raise conflict("version-published", f"It was published {refusal}.") from refusal
    except VersionNotUsable as refusal:
        raise conflict("version-not-usable", f"{refusal}.") from refusal
    except (ValueError, InexactNumber) as refusal:
        raise unprocessable((field, str(refusal))) from refusal
