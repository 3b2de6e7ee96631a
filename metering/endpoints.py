"""What the agents' interface has in common: methods, bodies, errors, and who signed a request."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from hostmeter_agent.wire import TRANSFERRED_BYTES_MAX

from metering import signatures
from metering.bodies import CODINGS
from metering.host_keys import confirm_key
from metering.known_hosts import KnownHost, known_hosts
from metering.rates import count_batch
from metering.signatures import Proof, SignatureRejected, SignedRequest
from tenants.bodies import body_of, problem_response, too_large
from tenants.problems import Problem, unauthorized

_RETRY_SECONDS: Final = 5

_View = Callable[[HttpRequest], HttpResponse]


def endpoint(method: str) -> Callable[[_View], _View]:
    """An API view of one method, whose errors are problem details."""

    def decorate(view: _View) -> _View:
        @csrf_exempt
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            try:
                if request.method != method:
                    raise Problem(
                        HTTPStatus.METHOD_NOT_ALLOWED, f"Use {method}.", headers={"Allow": method}
                    )
                return view(request)
            except Problem as problem:
                return problem_response(request, problem)
            except (OperationalError, InterfaceError):
                return problem_response(request, _unavailable())

        return answer

    return decorate


def _unavailable() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database cannot be reached; nothing was stored.",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )


def json_answer(members: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    return HttpResponse(json.dumps(members), status=status, content_type="application/json")


def signed_host(request: HttpRequest, *, as_of: datetime) -> tuple[KnownHost, Proof]:
    """Who sent a request, with what proof, before its body is read.

    Raises Problem: 401 for all that is wrong with the signature, 429 over the host's rate.
    """
    try:
        proof = signatures.verify(
            _signed_request(request),
            as_of=as_of,
            public_key_of=lambda key_id: _public_key(known_hosts.host_of(key_id, as_of=as_of)),
        )
        host = _still_known(proof, as_of)
    except SignatureRejected as error:
        raise unauthorized("Signature") from error
    count_batch(host, as_of=as_of)
    return host, proof


def signed_body(request: HttpRequest, proof: Proof, *, as_of: datetime) -> tuple[KnownHost, bytes]:
    """The body that was signed, and its host, judged again: the body may have taken its time. A
    key that is used for the first time is confirmed by it. Raises Problem."""
    body = body_of(request, TRANSFERRED_BYTES_MAX)
    try:
        proof.check_body(body)
        host = _still_known(proof, max(as_of, timezone.now()))
    except SignatureRejected as error:
        raise unauthorized("Signature") from error
    if host.key_awaits_use:
        confirm_key(host, proof.key_id, as_of=as_of)
        host = known_hosts.fresh_host_of(proof.key_id, as_of=as_of) or host
    return host, body


def _still_known(proof: Proof, as_of: datetime) -> KnownHost:
    host = known_hosts.host_of(proof.key_id, as_of=as_of)
    if host is None:
        raise SignatureRejected("revoked meanwhile")
    return host


def _public_key(host: KnownHost | None) -> Ed25519PublicKey | None:
    return None if host is None else host.public_key


def require_plain_json(request: HttpRequest) -> None:
    if content_coding(request):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it without a content coding.")


def bounded(body: bytes, bytes_max: int) -> bytes:
    """The body as it is. Raises Problem 413 where it is longer."""
    if len(body) > bytes_max:
        raise too_large("as transferred", bytes_max)
    return body


def content_coding(request: HttpRequest) -> str:
    _require_json(request)
    name = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if name not in CODINGS:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Use the content coding zstd, gzip or identity."
        )
    return CODINGS[name]


def _require_json(request: HttpRequest) -> None:
    charset = request.content_params.get("charset", "utf-8") if request.content_params else "utf-8"
    if request.content_type != "application/json" or charset.lower() != "utf-8":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Use the content type application/json, in UTF-8."
        )


def _signed_request(request: HttpRequest) -> SignedRequest:
    target = request.META.get("RAW_URI") or request.get_full_path()
    if not target.startswith("/"):
        absolute = urlsplit(target)
        target = (absolute.path or "/") + (f"?{absolute.query}" if absolute.query else "")
    headers = {
        name[5:].replace("_", "-").lower(): value.strip(" \t")
        for name, value in request.META.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if request.META.get(name):
            headers[name.replace("_", "-").lower()] = request.META[name]
    host = headers.get("host") or request.get_host()
    url = f"{request.scheme}://{host}{target}"
    return SignedRequest(request.method or "", url, target, headers)
