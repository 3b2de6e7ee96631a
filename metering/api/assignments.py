"""Whom applications are billed to, from when to when."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from ninja import Query
from pydantic import Field

from metering.api.applications import ApplicationOut, shown_application, visible_application
from metering.assignments import PeriodAlreadyInvoiced
from metering.models import UNATTRIBUTED, Assignment
from metering.operations import (
    AssignmentTooFarAhead,
    LaterAssignmentExists,
    assign_application,
    unassign_application,
)
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Taken, example
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.models import Customer

assignments = Resources()


class AssignmentIn(Taken):
    """From the 5-minute bucket that `starts_at` lies in, or from now, until further notice; the
    assignment before it ends there."""

    model_config = example(
        {
            "customer_id": "5f0c3c2a-1d1c-4b0e-8f7a-1d1c4b0e8f7a",
            "starts_at": "2026-11-01T00:00:00Z",
        }
    )

    customer_id: UUID
    starts_at: Instant | None = None


class AssignmentOut(Given):
    """[starts_at, ends_at); without an end it goes on."""

    id: UUID
    application_id: UUID
    customer_id: UUID
    starts_at: Instant
    ends_at: Instant | None


class AssignmentFilters(Paging):
    application: Annotated[UUID | None, Field(description="Those of this application.")] = None
    customer: Annotated[UUID | None, Field(description="Those to this customer.")] = None


@assignments.reading(
    "/assignments",
    scope="applications:read",
    answers=Page[AssignmentOut],
    summary="List whom applications were billed to, and are",
)
def list_assignments(request: ApiRequest, filters: Query[AssignmentFilters]) -> Page[AssignmentOut]:
    rows = Assignment.objects.filter(request.caller.own("customer"))
    if filters.application is not None:
        rows = rows.filter(application=filters.application)
    if filters.customer is not None:
        rows = rows.filter(customer=filters.customer)
    return page_of(rows, filters, _shown, by="starts_at")


@assignments.acting(
    "/applications/{uuid:application_id}/assign",
    scope="applications:write",
    answers=AssignmentOut,
    summary="Bill an application's usage to a customer",
)
def assign(request: ApiRequest, application_id: UUID, assignment: AssignmentIn) -> AssignmentOut:
    application = visible_application(request.caller, application_id)
    customer = Customer.objects.filter(pk=assignment.customer_id).first()
    if customer is None:
        raise not_found("customer")
    if application.name == UNATTRIBUTED:
        raise conflict("usage-is-unattributed", "Its usage belongs to no program: nobody pays it.")
    with _refusals():
        return _shown(
            assign_application(
                application, customer, assignment.starts_at or "now", as_of=request.as_of
            )
        )


@assignments.acting(
    "/applications/{uuid:application_id}/unassign",
    scope="applications:write",
    answers=ApplicationOut,
    summary="Bill an application's usage to nobody from now on",
)
def unassign(request: ApiRequest, application_id: UUID) -> ApplicationOut:
    application = visible_application(request.caller, application_id)
    with _refusals():
        unassign_application(application, as_of=request.as_of)
    return shown_application(application, request)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises Problem 409 and 422."""
    try:
        yield
    except AssignmentTooFarAhead as refusal:
        raise unprocessable(("starts_at", str(refusal))) from refusal
    except PeriodAlreadyInvoiced as refusal:
        raise conflict("usage-is-invoiced", f"{refusal}.") from refusal
    except LaterAssignmentExists as refusal:
        raise conflict("later-assignment", f"There is {refusal}.") from refusal


def _shown(assignment: Assignment) -> AssignmentOut:
    return AssignmentOut(
        id=assignment.pk,
        application_id=assignment.application_id,
        customer_id=assignment.customer_id,
        starts_at=assignment.starts_at,
        ends_at=assignment.ends_at,
    )
