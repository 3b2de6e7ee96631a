"""The agents' interface beside the batches: keys, the desired state, what was made of it."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from metering import control, host_keys
from metering.endpoints import (
    bounded,
    endpoint,
    json_answer,
    require_plain_json,
    signed_body,
    signed_host,
)


@endpoint("POST")
def keys(request: HttpRequest) -> HttpResponse:
    """POST /api/v1/hosts/keys"""
    now = timezone.now()
    _, proof = signed_host(request, as_of=now)
    require_plain_json(request)
    host, body = signed_body(request, proof, as_of=now)
    next_key = host_keys.decode_next_key(bounded(body, host_keys.BODY_BYTES_MAX))
    registered = host_keys.register_next_key(host, proof.key_id, next_key, as_of=now)
    return json_answer(
        {"key_id": registered.key_id, "server_time": now.isoformat().replace("+00:00", "Z")},
        HTTPStatus.CREATED if registered.created else HTTPStatus.OK,
    )


@endpoint("GET")
def desired_state(request: HttpRequest) -> HttpResponse:
    """GET /api/v1/hosts/desired-state"""
    now = timezone.now()
    _, proof = signed_host(request, as_of=now)
    host, _ = signed_body(request, proof, as_of=now)
    state = control.desired_state_for(host, as_of=now)
    headers = {"ETag": state.etag, "Cache-Control": "private, no-cache"}
    if state.etag in _tags(request.headers.get("If-None-Match", "")):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return HttpResponse(state.body, content_type="application/json", headers=headers)


def _tags(if_none_match: str) -> set[str]:
    """Tags are hexadecimal, so no comma is inside one; a proxy may have made one weak."""
    return {tag.strip().removeprefix("W/") for tag in if_none_match[:2_000].split(",")}


@endpoint("PUT")
def applied_state(request: HttpRequest) -> HttpResponse:
    """PUT /api/v1/hosts/applied-state"""
    now = timezone.now()
    _, proof = signed_host(request, as_of=now)
    require_plain_json(request)
    host, body = signed_body(request, proof, as_of=now)
    report = control.decode_report(bounded(body, control.APPLIED_BYTES_MAX))
    control.note_applied(host, report, skew_ms=proof.skew_ms(now), as_of=now)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)
