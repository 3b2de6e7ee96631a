"""A tenant's own domain: whose pages a host name shows, and where its people reach them.

The installation answers under ALLOWED_HOSTS, and to each tenant's people under the tenant's domain
too. There only that tenant exists, before sign-in as after.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port

from tenants.models import DOMAIN, Tenant
from tenants.scope import current_tenant_id, installation_scope

_ATTRIBUTE: Final = "tenant_of_domain"


class TenantDomainMiddleware:
    """Lets a request pass whose Host is a tenant's domain, and says whose it is. All other names
    that are not the installation's own are refused as Django does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            host = request.META.get("HTTP_HOST", "").lower()
            tenant_id = _tenant_of(host)
            if tenant_id is None:
                raise
            setattr(request, _ATTRIBUTE, tenant_id)
            # Held against the tenants' domains just now, not against ALLOWED_HOSTS.
            request.get_host = lambda: host  # type: ignore[method-assign]
        return self.get_response(request)


def tenant_of_domain(request: HttpRequest) -> UUID | None:
    """The tenant whose domain the request came under; None under the installation's own names."""
    found: UUID | None = getattr(request, _ATTRIBUTE, None)
    return found


def address_of(path: str) -> str:
    """Where the people of the tenant whose scope it is open a page, in full: under its domain where
    it has one, with the scheme and port of BASE_URL."""
    domain = Tenant.objects.values_list("domain", flat=True).get(pk=current_tenant_id())
    if not domain:
        return address_at_the_installation(path)
    base = urlsplit(settings.BASE_URL)
    return f"{base.scheme}://{domain}{'' if base.port is None else f':{base.port}'}{path}"


def address_at_the_installation(path: str) -> str:
    """Where everyone opens a page, in full, whatever domains there are."""
    base = urlsplit(settings.BASE_URL)
    return f"{base.scheme}://{base.netloc}{path}"


def _tenant_of(host: str) -> UUID | None:
    domain, _ = split_domain_port(host)
    # What is no name is nobody's; and the database is not asked about everything.
    if not re.fullmatch(DOMAIN, domain):
        return None
    with installation_scope():
        return Tenant.objects.filter(domain=domain).values_list("pk", flat=True).first()
