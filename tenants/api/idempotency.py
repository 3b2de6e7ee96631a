"""Requests that may come twice: the answer is kept in the transaction of the effect."""

import re
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Final, Literal

from django.db import connection
from django.http import HttpRequest, HttpResponse

from tenants.api.caller import ApiRequest
from tenants.models import IdempotencyRecord
from tenants.problems import Problem
from tenants.sealing import seal, unseal

HEADER: Final = "Idempotency-Key"
PATTERN: Final = "^[!-~]{1,255}$"
REPLAYED: Final = "Idempotency-Replayed"
_PURPOSE: Final = "answer of the API"

# Whether a request must, may or cannot name itself.
Naming = Literal["required", "optional", "none"]


def key_of(request: HttpRequest, naming: Naming) -> str | None:
    """The request's name for itself. Raises Problem 400 where it is missing or no such name."""
    key = request.headers.get(HEADER)
    if naming == "none" or (key is None and naming == "optional"):
        return None
    if key is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"The header {HEADER} is missing: name the request with a fresh random value, and send "
            "the same one when you repeat it.",
            kind="idempotency-key-missing",
        )
    if not re.fullmatch(PATTERN, key):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"The header {HEADER} takes 1 to 255 visible ASCII characters.",
            kind="idempotency-key-malformed",
        )
    return key


def answered_once(
    request: ApiRequest, key: str, run: Callable[[], HttpResponse], *, sealed: bool = False
) -> HttpResponse:
    """The answer of `run`, or the one that was kept for the same request. It is called in the
    tenant's transaction; what `run` refuses raises, and nothing is kept. An answer with a secret in
    it is kept `sealed`.

    Raises Problem 422 where the key named another request, and 409 while one with it is at work.
    """
    endpoint = f"{request.method} {request.path}"
    digest = sha256(request.body).digest()
    _hold(request, key)
    kept = IdempotencyRecord.objects.filter(api_key=request.caller.key_id, key=key).first()
    if kept is None:
        response = run()
        IdempotencyRecord.objects.create(
            api_key_id=request.caller.key_id,
            key=key,
            endpoint=endpoint,
            body_digest=digest,
            status=response.status_code,
            body=_kept(response.content.decode(), sealed),
            created_at=request.as_of,
        )
        return response
    if (kept.endpoint, bytes(kept.body_digest)) != (endpoint, digest):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"This {HEADER} named another request before; give each request its own.",
            kind="idempotency-key-reused",
        )
    return HttpResponse(
        unseal(kept.body, _PURPOSE) if sealed else kept.body,
        status=kept.status,
        content_type="application/json",
        headers={REPLAYED: "true"},
    )


def _kept(body: str, sealed: bool) -> str:
    return seal(body, _PURPOSE) if sealed else body


def _hold(request: ApiRequest, key: str) -> None:
    name = sha256(f"{request.caller.key_id}:{key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name[:8], signed=True)]
        )
        (held,) = cursor.fetchone() or (False,)
    if not held:
        raise Problem(
            HTTPStatus.CONFLICT,
            f"A request with this {HEADER} is at work; ask again in a second.",
            kind="idempotency-key-in-use",
            headers={"Retry-After": "1"},
        )
