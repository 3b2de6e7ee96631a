"""Rules by which hosts' idle and unattributed usage is spread: each is a record, and stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from ninja import Query
from pydantic import Field

from metering.allocation import MaximumNotAllocated
from metering.allocation_rules import (
    AllocationRuleEnded,
    AllocationRuleNotUsable,
    HoursArePosted,
    TooManyAllocationRules,
    end_rule,
    state_rule,
)
from metering.api.corrections import Meter
from metering.core.allocation import Rule
from metering.models import Host
from metering.stated_models import AllocationRule
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict, not_found, unprocessable
from tenants.api.fields import Given, Instant, Name, Taken, example, text
from tenants.api.pages import Page, Paging, page_of
from tenants.api.resources import Resources
from tenants.refusals import sentence

allocation_rules = Resources()


class AllocationRuleIn(Taken):
    """How idle and unattributed usage of `meter` is spread from a full hour (UTC) on, of one host,
    of the hosts of a class, or of all: by_share of what each application used, evenly, or none.
    The narrowest rule decides; of several alike the one that starts last."""

    model_config = example(
        {
            "meter": "cpu.time",
            "spread": "by_share",
            "host_class": "shared",
            "starts_at": "2026-12-01T00:00:00Z",
            "author": "support",
        }
    )

    meter: Meter
    spread: Rule
    host_id: UUID | None = None
    host_class: Annotated[str, text(60)] = ""
    starts_at: Instant
    author: Name


class AllocationRuleEnd(Taken):
    model_config = example({"ends_at": "2027-01-01T00:00:00Z", "author": "support"})

    ends_at: Instant
    author: Name


class AllocationRuleOut(Given):
    """Without `host_id` and `host_class` it is of all hosts."""

    id: UUID
    meter: str
    spread: Rule
    host_id: UUID | None
    host_class: str
    starts_at: Instant
    author: str
    created_at: Instant


class AllocationRuleFilters(Paging):
    meter: Annotated[Meter | None, Field(description="Those of this meter.")] = None
    host: Annotated[UUID | None, Field(description="Those of this one host.")] = None


@allocation_rules.reading(
    "/allocation-rules",
    scope="allocation:read",
    answers=Page[AllocationRuleOut],
    summary="List allocation rules",
)
def list_allocation_rules(
    request: ApiRequest, filters: Query[AllocationRuleFilters]
) -> Page[AllocationRuleOut]:
    rows = AllocationRule.objects.all()
    if filters.meter is not None:
        rows = rows.filter(meter=filters.meter)
    if filters.host is not None:
        rows = rows.filter(host=filters.host)
    return page_of(rows, filters, _shown, by="created_at", newest_first=True)


@allocation_rules.reading(
    "/allocation-rules/{uuid:rule_id}",
    scope="allocation:read",
    answers=AllocationRuleOut,
    summary="Read an allocation rule",
)
def get_allocation_rule(request: ApiRequest, rule_id: UUID) -> AllocationRuleOut:
    return _shown(_stored(rule_id))


@allocation_rules.creating(
    "/allocation-rules",
    scope="allocation:write",
    answers=AllocationRuleOut,
    summary="Spread hosts' idle and unattributed usage over their applications",
)
def create_allocation_rule(request: ApiRequest, rule: AllocationRuleIn) -> AllocationRuleOut:
    host = None
    if rule.host_id is not None:
        host = Host.objects.filter(pk=rule.host_id).first()
        if host is None:
            raise not_found("host")
    with _refusals("rule"):
        return _shown(
            state_rule(
                rule.meter,
                rule.spread,
                starts_at=rule.starts_at,
                author=request.caller.signed(rule.author),
                as_of=request.as_of,
                host=host,
                host_class=rule.host_class,
            )
        )


@allocation_rules.creating(
    "/allocation-rules/{uuid:rule_id}/end",
    scope="allocation:write",
    answers=AllocationRuleOut,
    summary="Spread nothing of a rule's hosts from an hour on: answers with the rule of none",
)
def end_allocation_rule(
    request: ApiRequest, rule_id: UUID, end: AllocationRuleEnd
) -> AllocationRuleOut:
    rule = _stored(rule_id)
    with _refusals("ends_at"):
        author = request.caller.signed(end.author)
        return _shown(end_rule(rule, ends_at=end.ends_at, author=author, as_of=request.as_of))


def _stored(rule_id: UUID) -> AllocationRule:
    found = AllocationRule.objects.filter(pk=rule_id).first()
    if found is None:
        raise not_found("allocation rule")
    return found


@contextmanager
def _refusals(field: str) -> Iterator[None]:
    """Raises Problem 409 and 422."""
    try:
        yield
    except MaximumNotAllocated as refusal:
        raise unprocessable(("meter", str(refusal))) from refusal
    except HoursArePosted as refusal:
        raise conflict("hours-are-posted", sentence(refusal)) from refusal
    except TooManyAllocationRules as refusal:
        raise conflict("too-many-allocation-rules", sentence(refusal)) from refusal
    except AllocationRuleEnded as refusal:
        raise conflict("allocation-rule-ended", sentence(refusal)) from refusal
    except AllocationRuleNotUsable as refusal:
        raise unprocessable((field, str(refusal))) from refusal


def _shown(rule: AllocationRule) -> AllocationRuleOut:
    return AllocationRuleOut.model_validate(
        {name: getattr(rule, name) for name in AllocationRuleOut.model_fields}
    )
