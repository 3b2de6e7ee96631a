"""Addresses: the portal at /, the admin at /admin/, the API under /api/v1/."""

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path

from billing.admin_guide import guide_view
from billing.admin_usage_export import usage_export_view
from metering.views import unknown_endpoint
from portal.views.session import admin_sign_in


def health(request: HttpRequest) -> HttpResponse:
    """200 when this process can reach the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("health/", health, name="health"),
    # One way in, with its limit on guessing.
    path("admin/login/", admin_sign_in, name="admin-sign-in"),
    path("admin/first-steps/", guide_view, name="admin-first-steps"),
    path("admin/usage-export/", usage_export_view, name="admin-usage-export"),
    path("admin/", admin.site.urls),
    path("api/v1/", include(("config.api", "api"))),
    path("api/v1/", include("metering.urls")),
    re_path(r"^api(?:/|$)", unknown_endpoint, name="unknown-api"),
    path("account/", include("portal.account_urls")),
    path("", include("billing.urls")),
    path("", include("portal.urls")),
]

handler400 = "config.errors.bad_request"
handler500 = "config.errors.failed"
