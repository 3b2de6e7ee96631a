"""Policies and their versions: drafted, published from a moment on, rolled out, taken back."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from ninja import Query
from pydantic import Field, StringConstraints

from metering.api.environments import Because, Reason, Version
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import PRINTABLE, Given, Instant, Name, Taken, example, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.authorship import note_reason
from tenants.core.policies import RULES_MAX
from tenants.models import Policy
from tenants.policies import (
    PolicyRefused,
    change_draft,
    draft_of,
    fields_refused,
    publish,
    remove_draft,
    roll_back,
    roll_out,
)
from tenants.policy_models import PolicyVersion
from tenants.refusals import constraint_of, sentence

policies = Resources()

Pattern = Annotated[str, StringConstraints(max_length=200, pattern=PRINTABLE)]
# Text, so that no program makes a float of an amount.
Spend = Annotated[str, StringConstraints(pattern=r"^\d{1,15}(\.\d{1,4})?$")]
Percent = Annotated[int, Field(ge=0, le=100)]


class PolicyOut(Given):
    """What holds whatever its versions say. `draft_id` is the version that can still be changed."""

    id: UUID
    name: str
    scrape_interval_seconds: int
    host_silent_after_seconds: int
    draft_id: UUID | None


class PolicyIn(Taken):
    model_config = example({"name": "calm", "host_silent_after_seconds": 300})

    name: Name
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    host_silent_after_seconds: Annotated[int, Field(ge=30, le=86_400)] = 120


class PolicyChange(Taken):
    """What is left out stays as it is."""

    model_config = example({"host_silent_after_seconds": 600})

    name: Name | None = None
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    host_silent_after_seconds: Annotated[int, Field(ge=30, le=86_400)] | None = None
    reason: Reason = ""


class RuleOfPolicy(Taken):
    """Of who may run what: the first that fits decides. * stands for any text; empty fits all.
    `customer` is a reference."""

    effect: Literal["allow", "deny"]
    application: Pattern = ""
    environment: Pattern = ""
    customer: Pattern = ""


class PolicyTerms(Taken):
    """What a version says; null: nothing. Limits are each application's on each host, users each
    application's altogether, spend by the calendar month, before tax, in `spend_currency`.
    `enforced`: the kernel holds CPU, memory and processes where agents have cgroups of their own;
    else breaches are shown."""

    model_config = example(
        {
            "rules": [{"effect": "deny", "application": "miner*"}],
            "cpu_millicores": 1500,
            "memory_bytes": 1_073_741_824,
            "minimum_agent_version": "0.2",
            "minimum_agent_by": "2027-01-01T00:00:00Z",
        }
    )

    rules: Annotated[list[RuleOfPolicy], Field(max_length=RULES_MAX)] = []
    enforced: bool = False
    cpu_millicores: Annotated[int, Field(ge=1, le=8_192_000)] | None = None
    memory_bytes: Annotated[int, Field(ge=1, le=2**50)] | None = None
    processes_max: Annotated[int, Field(ge=1, le=2**22)] | None = None
    open_files_max: Annotated[int, Field(ge=1, le=2**40)] | None = None
    users_max: Annotated[int, Field(ge=1, le=2**40)] | None = None
    application_spend_max: Spend | None = None
    customer_spend_max: Spend | None = None
    spend_currency: Annotated[str, Field(pattern="^([A-Z]{3})?$")] = ""
    minimum_agent_version: Version = ""
    minimum_agent_by: Instant | None = None
    minimum_environment_version: Version = ""
    minimum_environment_by: Instant | None = None
    offline_grace_seconds: Annotated[int, Field(ge=300, le=34_560_000)] | None = None
    note: Annotated[str, text(200)] = ""
    reason: Reason = ""


class PolicyVersionOut(Given):
    """A draft until `published_at`; after that only how many hosts have it changes."""

    id: UUID
    policy_id: UUID
    number: int
    note: str
    rules: list[RuleOfPolicy]
    enforced: bool
    cpu_millicores: int | None
    memory_bytes: int | None
    processes_max: int | None
    open_files_max: int | None
    users_max: int | None
    application_spend_max: str | None
    customer_spend_max: str | None
    spend_currency: str
    minimum_agent_version: str
    minimum_agent_by: Instant | None
    minimum_environment_version: str
    minimum_environment_by: Instant | None
    offline_grace_seconds: int | None
    effective_from: Instant | None
    published_at: Instant | None
    published_by: str
    rollout_percent: int
    rolled_back_at: Instant | None


class Publication(Taken):
    """Without `effective_from` it holds at once."""

    model_config = example({"effective_from": "2027-01-01T00:00:00Z", "rollout_percent": 10})

    effective_from: Instant | None = None
    rollout_percent: Percent = 100
    reason: Reason = ""


class Rollout(Taken):
    """The share of hosts that have the version."""

    model_config = example({"rollout_percent": 50})

    rollout_percent: Percent
    reason: Reason = ""


@policies.reading(
    "/policies", scope="policies:read", answers=Page[PolicyOut], summary="List policies"
)
def list_policies(request: ApiRequest, filters: Query[Paging]) -> Page[PolicyOut]:
    page = page_of(Policy.objects.all(), filters, _policy, by="name")
    drafts = _drafts([each.id for each in page.data])
    for each in page.data:
        each.draft_id = drafts.get(each.id)
    return page


@policies.creating("/policies", scope="policies:write", answers=PolicyOut, summary="Add a policy")
def create_policy(request: ApiRequest, policy: PolicyIn) -> PolicyOut:
    return _saved(Policy(), policy.model_dump())


@policies.reading(
    "/policies/{uuid:policy_id}",
    scope="policies:read",
    answers=PolicyOut,
    summary="Read a policy",
)
def get_policy(request: ApiRequest, policy_id: UUID) -> PolicyOut:
    return _shown(_stored(policy_id))


@policies.changing(
    "/policies/{uuid:policy_id}",
    scope="policies:write",
    answers=PolicyOut,
    summary="Change what holds for all versions of a policy",
)
def update_policy(request: ApiRequest, policy_id: UUID, change: PolicyChange) -> PolicyOut:
    policy = _stored(policy_id)
    wanted = change.model_dump(exclude_none=True, exclude={"reason"})
    note_reason(change.reason)
    return _saved(policy, wanted)


@policies.reading(
    "/policies/{uuid:policy_id}/versions",
    scope="policies:read",
    answers=Page[PolicyVersionOut],
    summary="List a policy's versions, the newest first",
)
def list_policy_versions(
    request: ApiRequest, policy_id: UUID, filters: Query[Paging]
) -> Page[PolicyVersionOut]:
    rows = _stored(policy_id).versions.all()
    return page_of(rows, filters, _version, by="number", newest_first=True)


@policies.creating(
    "/policies/{uuid:policy_id}/versions",
    scope="policies:write",
    answers=PolicyVersionOut,
    summary="Draft a policy's next version",
)
def create_policy_version(
    request: ApiRequest, policy_id: UUID, terms: PolicyTerms
) -> PolicyVersionOut:
    policy = _stored(policy_id)
    if policy.versions.filter(published_at=None).exists():
        raise conflict("policy-has-a-draft", "The policy has a draft; change or remove that.")
    with _refusals(terms.reason):
        return _version(change_draft(draft_of(policy), _terms(terms)))


@policies.reading(
    "/policy-versions/{uuid:policy_version_id}",
    scope="policies:read",
    answers=PolicyVersionOut,
    summary="Read a policy's version",
)
def get_policy_version(request: ApiRequest, policy_version_id: UUID) -> PolicyVersionOut:
    return _version(_stored_version(policy_version_id))


@policies.replacing(
    "/policy-versions/{uuid:policy_version_id}",
    scope="policies:write",
    answers=PolicyVersionOut,
    summary="Replace all that a draft says",
)
def replace_policy_draft(
    request: ApiRequest, policy_version_id: UUID, terms: PolicyTerms
) -> PolicyVersionOut:
    version = _stored_version(policy_version_id)
    with _refusals(terms.reason):
        return _version(change_draft(version, _terms(terms)))


@policies.removing(
    "/policy-versions/{uuid:policy_version_id}",
    scope="policies:write",
    answers=None,
    summary="Remove a draft",
)
def remove_policy_draft(request: ApiRequest, policy_version_id: UUID) -> None:
    version = _stored_version(policy_version_id)
    with _refusals(""):
        remove_draft(version)


@policies.acting(
    "/policy-versions/{uuid:policy_version_id}/publish",
    scope="policies:write",
    answers=PolicyVersionOut,
    summary="Publish a draft from a moment on, for a share of the hosts",
)
def publish_policy_version(
    request: ApiRequest, policy_version_id: UUID, publication: Publication
) -> PolicyVersionOut:
    version = _stored_version(policy_version_id)
    with _refusals(publication.reason):
        return _version(
            publish(
                version,
                effective_from=publication.effective_from or request.as_of,
                rollout_percent=publication.rollout_percent,
                by=request.caller.in_words,
                as_of=request.as_of,
            )
        )


@policies.acting(
    "/policy-versions/{uuid:policy_version_id}/roll-out",
    scope="policies:write",
    answers=PolicyVersionOut,
    summary="Give a version to another share of the hosts",
)
def roll_policy_version_out(
    request: ApiRequest, policy_version_id: UUID, rollout: Rollout
) -> PolicyVersionOut:
    version = _stored_version(policy_version_id)
    with _refusals(rollout.reason):
        return _version(roll_out(version, rollout.rollout_percent))


@policies.acting(
    "/policy-versions/{uuid:policy_version_id}/roll-back",
    scope="policies:write",
    answers=PolicyVersionOut,
    summary="Take a version back: the one before holds again",
)
def roll_policy_version_back(
    request: ApiRequest, policy_version_id: UUID, because: Because
) -> PolicyVersionOut:
    version = _stored_version(policy_version_id)
    with _refusals(because.reason):
        return _version(roll_back(version, as_of=request.as_of))


@contextmanager
def _refusals(reason: str) -> Iterator[None]:
    """What is done inside has this reason. Raises Problem 409 and 422."""
    note_reason(reason)
    try:
        yield
    except PolicyRefused as refusal:
        raise conflict("policy-refused", sentence(refusal)) from refusal
    except ValidationError as refusal:
        raise unprocessable(*fields_refused(refusal)) from refusal


def _terms(given: PolicyTerms) -> dict[str, Any]:
    """As they are stored: rules without what they leave open."""
    terms = given.model_dump(exclude={"reason"})
    terms["rules"] = [
        {name: value for name, value in rule.items() if value} for rule in terms["rules"]
    ]
    return terms


def _stored(policy_id: UUID) -> Policy:
    found = Policy.objects.filter(pk=policy_id).first()
    if found is None:
        raise not_found("policy")
    return found


def _stored_version(version_id: UUID) -> PolicyVersion:
    found = PolicyVersion.objects.select_related("policy").filter(pk=version_id).first()
    if found is None:
        raise not_found("policy version")
    return found


def _saved(policy: Policy, wanted: dict[str, Any]) -> PolicyOut:
    for name, value in wanted.items():
        setattr(policy, name, value)
    try:
        with transaction.atomic():
            policy.save()
    except IntegrityError as error:
        if constraint_of(error) != "policy_name":
            raise
        raise conflict("policy-name-in-use", f"There is a policy {policy.name} already.") from error
    return _shown(policy)


def _shown(policy: Policy) -> PolicyOut:
    shown = _policy(policy)
    shown.draft_id = _drafts([policy.pk]).get(policy.pk)
    return shown


def _drafts(policies: list[UUID]) -> dict[UUID, UUID]:
    rows = PolicyVersion.objects.filter(policy__in=policies, published_at=None)
    return dict(rows.values_list("policy", "pk"))


def _policy(policy: Policy) -> PolicyOut:
    return PolicyOut(
        id=policy.pk,
        name=policy.name,
        scrape_interval_seconds=policy.scrape_interval_seconds,
        host_silent_after_seconds=policy.host_silent_after_seconds,
        draft_id=None,
    )


def _version(version: PolicyVersion) -> PolicyVersionOut:
    values = {name: getattr(version, name) for name in PolicyVersionOut.model_fields}
    for name, value in values.items():
        if isinstance(value, Decimal):
            values[name] = f"{value.normalize():f}"
    return PolicyVersionOut.model_validate(values)
