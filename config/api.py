"""/api/v1/ for programs: the resources of all applications, put together."""

import json
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from billing.api import routers as billing_routers
from config.api_reference import reference_of
from metering.api import routers as metering_routers
from tenants.api.document import KEY_SCHEME, PROBLEM
from tenants.api.errors import raise_problems
from tenants.api.webhooks import webhooks
from tenants.bodies import problem_response
from tenants.problems import Problem

PREFIX = "/api/v1"


class _StrictJson(Parser):
    """JSON as the RFC has it: neither NaN nor halves of characters."""

    def parse_body(self, request: HttpRequest) -> Any:
        return msgspec.json.decode(request.body)


class Api(NinjaAPI):
    """The API with the parts of its document that ninja cannot know."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: Any = None
    ) -> OpenAPISchema:
        schema = super().get_openapi_schema(path_prefix=PREFIX, path_params=path_params)
        components = schema["components"]
        components["schemas"]["Problem"] = PROBLEM
        components["securitySchemes"] = {"key": KEY_SCHEME}
        return schema


def _assembled() -> Api:
    made = Api(
        title="Hostmeter",
        version="1",
        description="Usage, customers, plans and invoices of one hosting provider.",
        urls_namespace="api",
        openapi_url=None,
        docs_url=None,
        parser=_StrictJson(),
    )
    raise_problems(made)
    for tag, router in {**metering_routers, **billing_routers, "webhooks": webhooks}.items():
        made.add_router("", router, tags=[tag])
    return made


def _speaking_problems(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @csrf_exempt
    def answer(request: HttpRequest, **arguments: Any) -> HttpResponse:
        response = view(request, **arguments)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return response
        allowed = response.headers["Allow"]
        problem = Problem(
            HTTPStatus.METHOD_NOT_ALLOWED, f"Use {allowed}.", headers={"Allow": allowed}
        )
        return problem_response(request, problem)

    return answer


def openapi_document(request: HttpRequest) -> HttpResponse:
    """GET /api/v1/openapi.json: the same for everyone, so it needs no key."""
    return HttpResponse(json.dumps(api.get_openapi_schema()), content_type="application/json")


@cache
def _reference() -> dict[str, Any]:
    return reference_of(api.get_openapi_schema())


def api_reference(request: HttpRequest) -> HttpResponse:
    """GET /api/v1/docs: the same for everyone, so it needs no key."""
    return render(request, "portal/api_reference.html", _reference())


def _addresses() -> list[URLPattern]:
    addresses = [
        path("openapi.json", openapi_document, name="openapi"),
        path("docs", api_reference, name="docs"),
    ]
    for each in api.urls[0]:
        # Ninja's own page at the root is not one of ours.
        if isinstance(each, URLPattern) and each.name != "api-root":
            each.callback = _speaking_problems(each.callback)
            addresses.append(each)
    return addresses


api = _assembled()
urlpatterns = _addresses()
