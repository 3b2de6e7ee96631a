"""The language of a page: what its reader chose in the footer, else what their browser asks for."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation import get_language_from_request

# Programs and operators read English.
_ENGLISH = ("/admin/", "/api/", "/webhooks/", "/health/")


class PortalLanguage(LocaleMiddleware):
    """Activates a language for the portal's pages, and English for everything else."""

    def process_request(self, request: HttpRequest) -> None:
        english = request.path.startswith(_ENGLISH)
        language = "en" if english else get_language_from_request(request)
        translation.activate(language)
        request.LANGUAGE_CODE = translation.get_language()

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if request.path.startswith(_ENGLISH):
            return response
        return super().process_response(request, response)
