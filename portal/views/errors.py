"""Error pages in the portal's style. They say nothing of what was asked for, so that another
customer's invoice answers as one that does not exist."""

from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.views import defaults

from portal.access import close


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return close(defaults.bad_request(request, exception))


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    return close(defaults.permission_denied(request, exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return close(defaults.page_not_found(request, exception))


def failed(request: HttpRequest) -> HttpResponseServerError:
    return close(defaults.server_error(request))
