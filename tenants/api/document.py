"""What the OpenAPI document says of every operation alike: key, headers, errors."""

from collections.abc import Collection
from typing import Any, Final

from tenants.api import idempotency
from tenants.api.idempotency import Naming

PROBLEM_TYPE: Final = "application/problem+json"

PROBLEM: Final = {
    "title": "Problem",
    "description": "Problem details, RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "scope": {"type": "string", "description": "The scope that is missing."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}

KEY_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key from the admin or from `manage.py api_key`: it begins with hmk_.",
}

_ERRORS: Final = {
    400: "The request could not be read.",
    401: "The key is missing, unknown, revoked or expired.",
    403: "The key lacks the scope.",
    404: "There is no such thing, or it is another's.",
    409: "Something stands against it; `type` says what.",
    413: "The body is too large.",
    415: "Another content type, or a content coding.",
    422: "Out of bounds; `errors` says which field and why.",
    429: "Over the rate of the key or the tenant.",
    503: "The database is away, or too busy; nothing was stored.",
}
_ALWAYS: Final = (400, 401, 403, 422, 429, 503)
_RETRY_AFTER: Final = {
    "Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "Seconds."}
}
_RATE: Final = {
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": "Each bucket: q requests when it is full, which takes w seconds from empty.",
        "example": '"key";q=300;w=30, "tenant";q=3000;w=30',
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "What each bucket holds: r requests now, one more in t seconds.",
        "example": '"key";r=299;t=1, "tenant";r=2999;t=1',
    },
}
_ETAG: Final = {
    "ETag": {"schema": {"type": "string"}, "description": "Send it as If-None-Match next time."}
}
_REPLAYED: Final = {
    "Idempotency-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "Present where this is the answer that the same request had before.",
    }
}


def described(
    *,
    scope: str,
    method: str,
    has_id: bool,
    naming: Naming,
    conflicts: bool,
    good: Collection[int],
    contents: dict[str, Any] | None,
    files: Collection[str],
    tagged: bool,
) -> dict[str, Any]:
    """An operation's part of the document beside its own parameters and answers, of which `good`
    are the statuses and, of a file, `files` the content types. Answers that are `tagged` have an
    ETag."""
    statuses = [*_ALWAYS]
    # A body can name what does not exist, too.
    if has_id or method == "POST":
        statuses.append(404)
    if method != "GET":
        statuses += [413, 415]
    if conflicts or naming != "none":
        statuses.append(409)
    responses: dict[int, Any] = {status: _error(status) for status in sorted(statuses)}
    known = (_ETAG if tagged else {}) | ({} if naming == "none" else _REPLAYED)
    for status in good:
        responses[status] = {"headers": _RATE | known}
        if files:
            responses[status]["content"] = {kind: {"schema": _file_schema(kind)} for kind in files}
    if tagged:
        responses[304] = {
            "description": "It is what If-None-Match names.",
            "headers": _RATE | _ETAG,
        }
    body = {
        "required": True,
        "content": {kind: {"schema": schema} for kind, schema in (contents or {}).items()},
    }
    return {
        **({"requestBody": body} if contents else {}),
        "security": [{"key": [scope]}],
        "parameters": _parameters(tagged, naming),
        "responses": responses,
    }


def _file_schema(content_type: str) -> dict[str, Any]:
    if content_type == "application/json":
        return {"type": "object"}
    return {"type": "string", "format": "binary"}


def _error(status: int) -> dict[str, Any]:
    described = {
        "description": _ERRORS[status],
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    headers = {} if status == 401 else _RATE
    return described | {"headers": headers | (_RETRY_AFTER if status in {429, 503} else {})}


def _parameters(tagged: bool, naming: Naming) -> list[dict[str, Any]]:
    if tagged:
        return [_header("If-None-Match", "The ETag of the answer that is known.", required=False)]
    if naming == "none":
        return []
    meaning = "A fresh random value for each request, the same one when it is repeated."
    return [
        _header(
            idempotency.HEADER,
            meaning,
            required=naming == "required",
            pattern=idempotency.PATTERN,
            maxLength=255,
            minLength=1,
        )
    ]


def _header(name: str, meaning: str, *, required: bool, **schema: Any) -> dict[str, Any]:
    return {
        "in": "header",
        "name": name,
        "required": required,
        "description": meaning,
        "schema": {"type": "string", **schema},
    }
