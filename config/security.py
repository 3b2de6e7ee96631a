"""What a browser may load for a page of ours, said on every answer."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

_HEADER: Final = "Content-Security-Policy"
# Scripts are files of ours: nothing written into a page is ever run.
PORTAL: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicy:
    """Adds the portal's policy to every answer that brings none of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/admin/"):
            response.headers.setdefault(_HEADER, PORTAL)
        return response
