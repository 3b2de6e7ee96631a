"""Usage that programs deliver themselves, as CloudEvents 1.0."""

from http import HTTPStatus
from typing import Any, Final, Literal

from metering.core.cloudevents import BATCHED, STRUCTURED, NotCloudEvents, parse_events
from metering.events import EventResult, store_events
from tenants.api.caller import ApiRequest
from tenants.api.fields import Given
from tenants.api.resources import Resources
from tenants.problems import Problem

_BODY_BYTES_MAX: Final = 8 * 1024 * 1024

events = Resources()


class ResultOut(Given):
    """`duplicate` was stored before just so; of `conflict` something else stands under its source
    and id; `reason` says why it was not stored."""

    index: int
    id: str | None
    source: str | None
    status: Literal["stored", "duplicate", "conflict", "refused"]
    reason: str


class ResultsOut(Given):
    """A result for each event, in their order: one that is refused keeps no other away."""

    results: list[ResultOut]


_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string"},
        "source": {"type": "string"},
        "type": {"const": "hostmeter.usage.v1"},
        "subject": {"type": "string", "description": "environment/application"},
        "time": {"type": "string", "format": "date-time"},
        "data": {
            "type": "object",
            "required": ["meter", "quantity"],
            "properties": {
                "meter": {"type": "string"},
                "quantity": {"type": "integer", "minimum": 0},
            },
        },
    },
}


@events.delivering(
    "/events",
    scope="events:write",
    answers=ResultsOut,
    summary="Deliver one usage event, or up to 1,000",
    contents={
        STRUCTURED: _EVENT,
        BATCHED: {"type": "array", "maxItems": 1_000, "items": _EVENT},
    },
    body_bytes_max=_BODY_BYTES_MAX,
)
def deliver_events(request: ApiRequest) -> ResultsOut:
    kind = request.content_type or ""
    try:
        parsed = parse_events(request.body, kind, as_of=request.as_of)
    except NotCloudEvents as refusal:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{refusal}.") from refusal
    results = store_events(parsed, as_of=request.as_of)
    return ResultsOut(results=[_shown(index, each) for index, each in enumerate(results)])


def _shown(index: int, result: EventResult) -> ResultOut:
    return ResultOut(
        index=index,
        id=result.id,
        source=result.source,
        status=result.outcome,
        reason=result.reason,
    )
