"""A provider's look, as files that a browser keeps."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from billing.logo import clean_logo
from portal.branding import brand_of, logo_svg, style_sheet

_YEAR_S = 365 * 24 * 3600


@require_safe
@cache_control(public=True, max_age=_YEAR_S, immutable=True)
def brand_style(request: HttpRequest, colour: str) -> HttpResponse:
    """The same for everyone: it follows from the colour in its address."""
    return HttpResponse(style_sheet(colour), content_type="text/css")


@require_safe
@cache_control(private=True, max_age=_YEAR_S, immutable=True)
def brand_logo(request: HttpRequest, digest: str) -> HttpResponse:
    """The logo of the reader's own provider, if it is still the one that the address names."""
    if brand_of(request).logo != digest:
        raise Http404
    svg = clean_logo(logo_svg(request))
    response = HttpResponse(svg, content_type="image/svg+xml")
    # A drawing, opened by itself, loads nothing and runs nothing.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response
