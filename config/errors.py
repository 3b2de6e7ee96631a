"""Errors that no view answers: problem details for programs, pages for people."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views import defaults as pages

from tenants.problems import Problem


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Such as a Host that is not ours."""
    if _is_api(request):
        return Problem(HTTPStatus.BAD_REQUEST, "The request could not be read.").response()
    return pages.bad_request(request, exception)


def failed(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; nothing was stored."
        ).response()
    return pages.server_error(request)
