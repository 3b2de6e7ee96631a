"""Routers whose operations all come through one gate: key, rate, scope, bounds, transaction."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial, wraps
from http import HTTPStatus
from typing import Any, Final, TypeVar

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.decorators import decorate_view
from ninja.operation import Operation

from tenants import audit
from tenants.api.caller import ApiRequest, authenticated
from tenants.api.document import described
from tenants.api.errors import unprocessable
from tenants.api.etags import unless_known
from tenants.api.idempotency import Naming, answered_once, key_of
from tenants.api.limits import counted_request
from tenants.authorship import acting
from tenants.bodies import body_of, problem_response
from tenants.middleware import REQUEST_ID
from tenants.problems import Problem
from tenants.scope import tenant_scope

_BODY_BYTES_MAX: Final = 256 * 1024
_RETRY_SECONDS: Final = 5

_View = TypeVar("_View", bound=Callable[..., Any])
_Run = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What one operation asks of a request."""

    scope: str
    parameters: frozenset[str]
    reads: bool
    takes_body: bool
    naming: Naming
    body_bytes_max: int
    content_types: tuple[str, ...]
    tells_secret: bool


class Resources(Router):
    """Declares operations of the API. `answers` is what a 2xx holds; views raise Problem."""

    def reading(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        return self._operation("GET", path, scope, {200: answers}, summary)

    def downloading(
        self,
        path: str,
        *,
        scope: str,
        content_types: Collection[str],
        summary: str,
        streamed: bool = False,
    ) -> Callable[[_View], _View]:
        """A GET of a file of one of the content types; the view returns the whole answer, which has
        no ETag where it is streamed."""
        return self._operation(
            *("GET", path, scope, {200: None}, summary),
            conflicts=True,
            files=content_types,
            streamed=streamed,
        )

    def creating(
        self, path: str, *, scope: str, answers: Any, summary: str, tells_secret: bool = False
    ) -> Callable[[_View], _View]:
        """A POST that needs its Idempotency-Key and answers 201."""
        return self._operation(
            *("POST", path, scope, {201: answers}, summary),
            naming="required",
            tells_secret=tells_secret,
        )

    def creating_once(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        """As `creating`; the view answers 200 where the thing is there already, and returns
        Status."""
        both = {200: answers, 201: answers}
        return self._operation("POST", path, scope, both, summary, naming="required")

    def acting(
        self, path: str, *, scope: str, answers: Any, summary: str, tells_secret: bool = False
    ) -> Callable[[_View], _View]:
        """A POST that needs its Idempotency-Key, makes nothing new and answers 200."""
        return self._operation(
            *("POST", path, scope, {200: answers}, summary),
            naming="required",
            tells_secret=tells_secret,
        )

    def computing(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        """A POST that works something out and keeps nothing, so that it may be repeated."""
        return self._operation("POST", path, scope, {200: answers}, summary)

    def changing(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        """A PATCH of what is there: it may be repeated as it is."""
        return self._operation("PATCH", path, scope, {200: answers}, summary, conflicts=True)

    def replacing(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        """A PUT of all that something holds: it may be repeated as it is."""
        return self._operation("PUT", path, scope, {200: answers}, summary, conflicts=True)

    def removing(
        self, path: str, *, scope: str, answers: Any, summary: str
    ) -> Callable[[_View], _View]:
        """A DELETE that answers with what is left, or 204 where `answers` is None."""
        status = 204 if answers is None else 200
        return self._operation("DELETE", path, scope, {status: answers}, summary, conflicts=True)

    def delivering(
        self,
        path: str,
        *,
        scope: str,
        answers: Any,
        summary: str,
        contents: dict[str, Any],
        body_bytes_max: int,
    ) -> Callable[[_View], _View]:
        """A POST of things that name themselves, so that the request need not; the view reads the
        body, of the content types and schemas in `contents`."""
        return self._operation(
            "POST",
            path,
            scope,
            {200: answers},
            summary,
            naming="optional",
            contents=contents,
            body_bytes_max=body_bytes_max,
        )

    def _operation(
        self,
        method: str,
        path: str,
        scope: str,
        answers: dict[int, Any],
        summary: str,
        *,
        naming: Naming = "none",
        conflicts: bool = False,
        contents: dict[str, Any] | None = None,
        files: Collection[str] = (),
        streamed: bool = False,
        body_bytes_max: int = _BODY_BYTES_MAX,
        tells_secret: bool = False,
    ) -> Callable[[_View], _View]:
        def declare(view: _View) -> _View:
            self.api_operation(
                [method],
                path,
                response=answers,
                operation_id=view.__name__,
                summary=summary,
                url_name=_route_name(path),
                openapi_extra=described(
                    scope=scope,
                    method=method,
                    has_id="{" in path,
                    naming=naming,
                    conflicts=conflicts,
                    good=answers,
                    contents=contents,
                    files=files,
                    tagged=method == "GET" and not streamed,
                ),
            )(view)
            operation: Operation = view._ninja_operation  # type: ignore[attr-defined]
            terms = _Terms(
                scope=scope,
                parameters=_parameters_of(operation),
                reads=method == "GET",
                takes_body=contents is not None or _has(operation, "body"),
                naming=naming,
                body_bytes_max=body_bytes_max,
                content_types=tuple(contents or {"application/json": None}),
                tells_secret=tells_secret,
            )
            decorate_view(partial(_guarded, terms))(view)
            return view

        return declare


def _route_name(path: str) -> str:
    """/customers/{uuid:customer_id} → customers-customer-id."""
    words = re.findall(r"[a-z]+", re.sub(r"\{\w+:", "", path))
    return "-".join(words)


def _parameters_of(operation: Operation) -> frozenset[str]:
    return frozenset(
        name
        for model in operation.models
        if model.__ninja_param_source__ == "query"
        for name in getattr(model, "__ninja_flatten_map__", {})
    )


def _has(operation: Operation, source: str) -> bool:
    return any(model.__ninja_param_source__ == source for model in operation.models)


def _guarded(terms: _Terms, run: _Run) -> _Run:
    @wraps(run)
    def answer(request: ApiRequest, **path: Any) -> HttpResponse:
        try:
            return _answer(terms, run, request, path)
        except Problem as problem:
            return problem_response(request, problem)
        except (OperationalError, InterfaceError):
            return problem_response(request, _unavailable())

    return answer


def _answer(terms: _Terms, run: _Run, request: ApiRequest, path: dict[str, Any]) -> HttpResponse:
    request.as_of = timezone.now()
    request.caller = authenticated(request, as_of=request.as_of)
    left = counted_request(request.caller, as_of=request.as_of)
    try:
        response = _admitted(terms, run, request, path)
    except Problem as problem:
        problem.headers = {**left, **problem.headers}
        raise
    for name, value in left.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    return response


def _admitted(terms: _Terms, run: _Run, request: ApiRequest, path: dict[str, Any]) -> HttpResponse:
    request.caller.require(terms.scope)
    _refuse_unknown_parameters(request, terms.parameters)
    key = key_of(request, terms.naming)
    if terms.takes_body:
        _require_content_type(request, terms.content_types)
    # Where Django keeps a body that it has read.
    request._body = body_of(request, terms.body_bytes_max)
    who = acting(request.caller.in_words, request=request.META.get(REQUEST_ID, ""))
    origin = audit.acting(audit.origin_of_program(request, request.caller.in_words))
    with who, origin, tenant_scope(request.caller.tenant_id):
        if key is not None:
            return answered_once(
                request, key, lambda: run(request, **path), sealed=terms.tells_secret
            )
        response = run(request, **path)
    return unless_known(request, response) if terms.reads else response


def _refuse_unknown_parameters(request: HttpRequest, known: frozenset[str]) -> None:
    """A filter that is misspelt, or of which one part is ignored, would answer another question."""
    wrong = [(name[:100], "the operation has no such parameter") for name in request.GET
             if name not in known]  # fmt: skip
    wrong += [(name, "give it once") for name in known if len(request.GET.getlist(name)) > 1]
    if wrong:
        raise unprocessable(*wrong)


def _require_content_type(request: HttpRequest, content_types: tuple[str, ...]) -> None:
    charset = (request.content_params or {}).get("charset", "utf-8")
    if request.content_type not in content_types or charset.lower() != "utf-8":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Use the content type {' or '.join(content_types)}, in UTF-8.",
        )
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it without a content coding.")


def _unavailable() -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database is away, or too busy; nothing was stored.",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )
