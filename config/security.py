"""What a browser may load for a page of ours, said on every answer."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

_HEADER: Final = "Content-Security-Policy"
_SIGN_IN: Final = "/admin/login/"
# Scripts are files of ours: nothing written into a page is ever run.
PORTAL: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Unfold's Alpine makes functions of the expressions in its attributes, and its theme and charts
# write styles into the page; scripts are files here as well.
ADMIN: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicy:
    """Adds the portal's policy, or the admin's, to every answer that brings none of its own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Signing in to the admin is a page of the portal's.
        in_admin = request.path.startswith("/admin/") and request.path != _SIGN_IN
        response.headers.setdefault(_HEADER, ADMIN if in_admin else PORTAL)
        return response
