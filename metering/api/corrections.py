"""Corrections of what was measured: each is a record of its own, and stays."""

from typing import Annotated, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from metering.corrections import CorrectionNotUsable, delete_usage, replace_usage
from metering.models import Application, Instance
from metering.stated_models import Correction
from tenants.api.caller import ApiRequest
from tenants.api.errors import not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Name, Taken, example
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

corrections = Resources()

Meter = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern="^[a-z0-9._]+$")]
Quantity = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]


class CorrectionIn(Taken):
    """Usage of [starts_at, ends_at), on bounds of 5 minutes: `quantities` count in its place, in
    the meters' small units over the whole time; without them it does not count, of all meters or
    of `meters`."""

    model_config = example(
        {
            "application_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "starts_at": "2026-10-05T00:00:00Z",
            "ends_at": "2026-10-05T01:00:00Z",
            "quantities": {"cpu.time": 1800000000},
            "reason": "A runaway process of ours.",
            "author": "support",
        }
    )

    application_id: UUID
    instance_id: UUID | None = None
    starts_at: Instant
    ends_at: Instant
    quantities: Annotated[dict[Meter, Quantity] | None, Field(min_length=1, max_length=64)] = None
    meters: Annotated[list[Meter] | None, Field(min_length=1, max_length=64)] = None
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PRINTABLE)]
    author: Name


class CorrectionOut(Given):
    """`delete`: usage of `meters`, or of all where that is null, does not count. `replace`: the
    `quantities` count in its place."""

    id: UUID
    kind: Literal["delete", "replace"]
    application_id: UUID
    instance_id: UUID | None
    starts_at: Instant
    ends_at: Instant
    quantities: dict[str, int] | None
    meters: list[str] | None
    reason: str
    author: str
    created_at: Instant


class CorrectionFilters(Paging):
    application: Annotated[UUID | None, Field(description="Those of this application.")] = None


@corrections.reading(
    "/corrections",
    scope="corrections:read",
    answers=Page[CorrectionOut],
    summary="List corrections",
)
def list_corrections(request: ApiRequest, filters: Query[CorrectionFilters]) -> Page[CorrectionOut]:
    rows = Correction.objects.all()
    if filters.application is not None:
        rows = rows.filter(application=filters.application)
    return page_of(rows, filters, _shown, by="created_at", newest_first=True)


@corrections.reading(
    "/corrections/{uuid:correction_id}",
    scope="corrections:read",
    answers=CorrectionOut,
    summary="Read a correction",
)
def get_correction(request: ApiRequest, correction_id: UUID) -> CorrectionOut:
    found = Correction.objects.filter(pk=correction_id).first()
    if found is None:
        raise not_found("correction")
    return _shown(found)


@corrections.creating(
    "/corrections",
    scope="corrections:write",
    answers=CorrectionOut,
    summary="Correct an application's usage",
)
def create_correction(request: ApiRequest, correction: CorrectionIn) -> CorrectionOut:
    if correction.quantities is not None and correction.meters is not None:
        raise unprocessable(("meters", "a replacement names its meters in quantities"))
    try:
        return _shown(_made(request, correction))
    except CorrectionNotUsable as refusal:
        raise unprocessable(("correction", str(refusal))) from refusal


def _made(request: ApiRequest, wanted: CorrectionIn) -> Correction:
    application = Application.objects.filter(pk=wanted.application_id).first()
    if application is None:
        raise not_found("application")
    instance = None
    if wanted.instance_id is not None:
        instance = Instance.objects.filter(pk=wanted.instance_id, application=application).first()
        if instance is None:
            raise not_found("instance")
    period = (wanted.starts_at, wanted.ends_at)
    author = request.caller.signed(wanted.author)
    if wanted.quantities is None:
        return delete_usage(
            application,
            period,
            reason=wanted.reason,
            author=author,
            as_of=request.as_of,
            instance=instance,
            meters=wanted.meters,
        )
    return replace_usage(
        application,
        period,
        wanted.quantities,
        reason=wanted.reason,
        author=author,
        as_of=request.as_of,
        instance=instance,
    )


def _shown(correction: Correction) -> CorrectionOut:
    return CorrectionOut.model_validate(
        {name: getattr(correction, name) for name in CorrectionOut.model_fields}
    )
