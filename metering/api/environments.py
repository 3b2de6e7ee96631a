"""Environments: added, configured, retired and, while nothing was metered in them, removed."""

from typing import Annotated, Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from ninja import Query
from pydantic import Field, StringConstraints

from metering.api.applications import SCOPE, visible_applications
from metering.environments import (
    EnvironmentInUse,
    bring_back_environment,
    remove_environment,
    retire_environment,
)
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Taken, example
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.authorship import note_reason
from tenants.models import VERSION, Customer, Environment, Policy
from tenants.policies import fields_refused
from tenants.refusals import constraint_of, sentence

environments = Resources()

EnvironmentName = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Pattern = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
Version = Annotated[str, StringConstraints(max_length=27, pattern=rf"^$|{VERSION[:-2]}$")]
AtMost = Annotated[int, Field(ge=1, le=1_000_000)]
Reason = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class EnvironmentOut(Given):
    """Where applications run, such as production: events and samples name it."""

    id: UUID
    name: str
    created_at: Instant


class EnvironmentDetails(Given):
    """`application_patterns` are names that may run here, * standing for any text; where there is
    none, whatever the policy allows. `owner_customer_id` is whose own machines these are;
    `default_customer_id` whom new applications are billed to. `retired_at` is null in service."""

    id: UUID
    name: str
    policy_id: UUID | None
    default_customer_id: UUID | None
    owner_customer_id: UUID | None
    application_patterns: list[str]
    hosts_max: int | None
    applications_max: int | None
    version: str
    retired_at: Instant | None
    created_at: Instant


class EnvironmentIn(Taken):
    """What is left out is empty, or has no bound."""

    model_config = example({"name": "staging", "hosts_max": 5, "application_patterns": ["shop*"]})

    name: EnvironmentName
    policy_id: UUID | None = None
    default_customer_id: UUID | None = None
    owner_customer_id: UUID | None = None
    application_patterns: Annotated[list[Pattern], Field(max_length=100)] = []
    hosts_max: AtMost | None = None
    applications_max: AtMost | None = None
    version: Version = ""
    reason: Reason = ""


class EnvironmentChange(Taken):
    """What is left out stays as it is; null takes a policy, a customer or a bound away."""

    model_config = example({"hosts_max": 10, "reason": "a new rack"})

    name: EnvironmentName = ""
    policy_id: UUID | None = None
    default_customer_id: UUID | None = None
    owner_customer_id: UUID | None = None
    application_patterns: Annotated[list[Pattern], Field(max_length=100)] = []
    hosts_max: AtMost | None = None
    applications_max: AtMost | None = None
    version: Version = ""
    reason: Reason = ""


class Because(Taken):
    """`reason` is kept with what is done."""

    model_config = example({"reason": "moved to the other site"})

    reason: Reason = ""


@environments.reading(
    "/environments", scope=SCOPE, answers=Page[EnvironmentOut], summary="List environments"
)
def list_environments(request: ApiRequest, filters: Query[Paging]) -> Page[EnvironmentOut]:
    rows = Environment.objects.all()
    if request.caller.customer_id is not None:
        own = visible_applications(request.caller).filter(environment=OuterRef("pk"))
        rows = rows.filter(Exists(own))
    return page_of(rows, filters, _environment, by="name")


@environments.creating(
    "/environments",
    scope="environments:write",
    answers=EnvironmentDetails,
    summary="Add an environment",
)
def create_environment(request: ApiRequest, environment: EnvironmentIn) -> EnvironmentDetails:
    return _saved(Environment(), environment)


@environments.reading(
    "/environments/{uuid:environment_id}",
    scope="environments:read",
    answers=EnvironmentDetails,
    summary="Read an environment",
)
def get_environment(request: ApiRequest, environment_id: UUID) -> EnvironmentDetails:
    return _shown(_stored(environment_id))


@environments.changing(
    "/environments/{uuid:environment_id}",
    scope="environments:write",
    answers=EnvironmentDetails,
    summary="Change an environment",
)
def update_environment(
    request: ApiRequest, environment_id: UUID, change: EnvironmentChange
) -> EnvironmentDetails:
    return _saved(_stored(environment_id), change)


@environments.removing(
    "/environments/{uuid:environment_id}",
    scope="environments:write",
    answers=None,
    summary="Remove an environment that nothing was metered in",
)
def remove_an_environment(request: ApiRequest, environment_id: UUID) -> None:
    environment = _stored(environment_id)
    try:
        remove_environment(environment)
    except EnvironmentInUse as refusal:
        raise conflict("environment-in-use", sentence(refusal)) from refusal


@environments.acting(
    "/environments/{uuid:environment_id}/retire",
    scope="environments:write",
    answers=EnvironmentDetails,
    summary="Retire an environment with its hosts: their keys are revoked, their usage stays",
)
def retire_an_environment(
    request: ApiRequest, environment_id: UUID, because: Because
) -> EnvironmentDetails:
    environment = _stored(environment_id)
    note_reason(because.reason)
    return _shown(retire_environment(environment, as_of=request.as_of))


@environments.acting(
    "/environments/{uuid:environment_id}/bring-back",
    scope="environments:write",
    answers=EnvironmentDetails,
    summary="Let hosts enrol in a retired environment again",
)
def bring_an_environment_back(
    request: ApiRequest, environment_id: UUID, because: Because
) -> EnvironmentDetails:
    environment = _stored(environment_id)
    note_reason(because.reason)
    return _shown(bring_back_environment(environment))


def _environment(environment: Environment) -> EnvironmentOut:
    return EnvironmentOut(
        id=environment.pk, name=environment.name, created_at=environment.created_at
    )


def _stored(environment_id: UUID) -> Environment:
    found = Environment.objects.filter(pk=environment_id).first()
    if found is None:
        raise not_found("environment")
    return found


def _saved(
    environment: Environment, given: EnvironmentIn | EnvironmentChange
) -> EnvironmentDetails:
    """Raises Problem 404 for a policy or customer that is not there, 409 and 422."""
    wanted = given.model_dump(exclude_unset=True)
    note_reason(wanted.pop("reason", ""))
    _require_there(wanted)
    for name, value in wanted.items():
        setattr(environment, name, value)
    try:
        with transaction.atomic():
            environment.full_clean(exclude=["tenant"], validate_unique=False)
            environment.save()
    except ValidationError as refusal:
        raise unprocessable(*fields_refused(refusal)) from refusal
    except IntegrityError as error:
        if constraint_of(error) != "environment_name":
            raise
        raise conflict(
            "environment-name-in-use", f"There is an environment {environment.name} already."
        ) from error
    return _shown(environment)


def _require_there(wanted: dict[str, Any]) -> None:
    policy = wanted.get("policy_id")
    if policy is not None and not Policy.objects.filter(pk=policy).exists():
        raise not_found("policy")
    for name in ("default_customer_id", "owner_customer_id"):
        customer = wanted.get(name)
        if customer is not None and not Customer.objects.filter(pk=customer).exists():
            raise not_found("customer")


def _shown(environment: Environment) -> EnvironmentDetails:
    return EnvironmentDetails.model_validate(
        {name: getattr(environment, name) for name in EnvironmentDetails.model_fields}
    )
