"""What ninja refuses, as problems."""

from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from tenants.problems import Problem

_ERRORS_MAX: Final = 100
_REASON_MAX: Final = 300


def unprocessable(*errors: tuple[str, str]) -> Problem:
    """422 with what is wrong with which field."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The request is not what the operation takes; see errors.",
        errors=[
            {"field": field, "reason": reason[:_REASON_MAX]}
            for field, reason in errors[:_ERRORS_MAX]
        ],
    )


def not_found(what: str) -> Problem:
    """One answer for what does not exist and for what another tenant or customer has."""
    return Problem(HTTPStatus.NOT_FOUND, f"There is no such {what}.")


def conflict(kind: str, detail: str) -> Problem:
    """409: the request is fine, and what is there already stands against it."""
    return Problem(HTTPStatus.CONFLICT, detail, kind=kind)


def raise_problems(api: NinjaAPI) -> None:
    """Let errors pass ninja as exceptions, so that the transaction around it is undone."""
    api.add_exception_handler(ValidationError, _raise_invalid)
    api.add_exception_handler(HttpError, _raise_http_error)
    api.add_exception_handler(Exception, _raise_again)


def _raise_again(request: HttpRequest, error: Any) -> HttpResponse:
    raise error


def _raise_http_error(request: HttpRequest, error: Any) -> HttpResponse:
    raise Problem(HTTPStatus(error.status_code), f"{error}.") from error


def _raise_invalid(request: HttpRequest, error: Any) -> HttpResponse:
    errors = [(_field(each["loc"]), str(each["msg"])) for each in error.errors]
    raise unprocessable(*errors) from error


def _field(location: tuple[Any, ...]) -> str:
    """("body", "payload", "prices", 0, "unit") → prices.0.unit: how the caller wrote it."""
    source, *names = location
    if source == "body":
        names = names[1:]
    return ".".join(map(str, names))[:200] or str(source)
