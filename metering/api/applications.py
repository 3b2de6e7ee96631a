"""Where applications run, which there are, and whom each is billed to."""

from typing import Annotated, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet
from ninja import Query
from pydantic import Field

from metering.allocated_events import ALLOCATED_FROM
from metering.assignments import running
from metering.models import Application, Assignment, Instance
from tenants.api.caller import ApiRequest, Caller
from tenants.api.errors import not_found
from tenants.api.fields import Given, Instant
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources

SCOPE: Final = "applications:read"

applications = Resources()


class ApplicationOut(Given):
    """`customer_id` is whom its usage is billed to now; null where it is nobody, or for a
    customer's own key another."""

    id: UUID
    name: str
    environment_id: UUID
    environment: str
    first_seen_at: Instant
    customer_id: UUID | None


class InstanceOut(Given):
    """One running copy of an application; what usage is grouped by, and corrections are of.
    `host` is empty, and `host_id` null, of what events and corrections count on. A
    customer's own key is told no host, and a name that tells one is `instance` with the first 8
    digits of the id."""

    id: UUID
    name: str
    application_id: UUID
    host_id: UUID | None
    host: str
    first_seen_at: Instant


class InstanceFilters(Paging):
    application: Annotated[UUID | None, Field(description="Those of this application.")] = None


class ApplicationFilters(Paging):
    environment: Annotated[UUID | None, Field(description="Those in this environment.")] = None
    customer: Annotated[UUID | None, Field(description="Billed to this customer at any time.")] = (
        None
    )


@applications.reading(
    "/applications", scope=SCOPE, answers=Page[ApplicationOut], summary="List applications"
)
def list_applications(
    request: ApiRequest, filters: Query[ApplicationFilters]
) -> Page[ApplicationOut]:
    rows = visible_applications(request.caller).select_related("environment")
    if filters.environment is not None:
        rows = rows.filter(environment=filters.environment)
    if filters.customer is not None:
        rows = rows.filter(_billed_to(filters.customer))
    page = page_of(rows, filters, _application, by="name")
    _name_customers(page.data, request)
    return page


@applications.reading(
    "/applications/{uuid:application_id}",
    scope=SCOPE,
    answers=ApplicationOut,
    summary="Read an application",
)
def get_application(request: ApiRequest, application_id: UUID) -> ApplicationOut:
    return shown_application(visible_application(request.caller, application_id), request)


@applications.reading(
    "/instances", scope=SCOPE, answers=Page[InstanceOut], summary="List instances of applications"
)
def list_instances(request: ApiRequest, filters: Query[InstanceFilters]) -> Page[InstanceOut]:
    visible = visible_applications(request.caller)
    rows = Instance.objects.filter(application__in=visible).select_related("host")
    if filters.application is not None:
        rows = rows.filter(application=filters.application)
    if request.caller.customer_id is not None:
        # Not by name: a cursor holds what it goes by.
        return page_of(rows, filters, _instance_for_customer, by="first_seen_at")
    return page_of(rows, filters, _instance, by="name")


def visible_applications(caller: Caller) -> "QuerySet[Application]":
    """Those that were ever billed to the key's customer; all for a tenant's own key."""
    rows = Application.objects.all()
    return rows if caller.customer_id is None else rows.filter(_billed_to(caller.customer_id))


def visible_application(caller: Caller, application_id: UUID) -> Application:
    """Raises Problem 404, alike for what does not exist and for what is another's."""
    rows = visible_applications(caller).select_related("environment")
    found = rows.filter(pk=application_id).first()
    if found is None:
        raise not_found("application")
    return found


def shown_application(application: Application, request: ApiRequest) -> ApplicationOut:
    shown = _application(application)
    _name_customers([shown], request)
    return shown


def _billed_to(customer_id: UUID) -> Exists:
    return Exists(Assignment.objects.filter(application=OuterRef("pk"), customer=customer_id))


def _application(application: Application) -> ApplicationOut:
    return ApplicationOut(
        id=application.pk,
        name=application.name,
        environment_id=application.environment_id,
        environment=application.environment.name,
        first_seen_at=application.first_seen_at,
        customer_id=None,
    )


def _name_customers(shown: list[ApplicationOut], request: ApiRequest) -> None:
    current = Assignment.objects.filter(
        running(request.as_of),
        request.caller.own("customer"),
        application__in=[each.id for each in shown],
    )
    customers = dict(current.values_list("application_id", "customer_id"))
    for each in shown:
        each.customer_id = customers.get(each.id)


def _instance(instance: Instance) -> InstanceOut:
    return InstanceOut(
        id=instance.pk,
        name=instance.name,
        application_id=instance.application_id,
        host_id=instance.host_id,
        host="" if instance.host is None else instance.host.name,
        first_seen_at=instance.first_seen_at,
    )


def _instance_for_customer(instance: Instance) -> InstanceOut:
    """Without the operator's hosts (docs/decisions/0034): agents name what they watch after them,
    and so is what an allocated part stands on."""
    shown = _instance(instance)
    host, shown.host, shown.host_id = shown.host, "", None
    if instance.name.startswith(ALLOCATED_FROM) or (host and host in instance.name):
        shown.name = f"instance {str(instance.pk)[:8]}"
    return shown
