"""Puts each signed-in request inside its person's tenant, and gives each request a name."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid4

from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from tenants import audit
from tenants.authorship import acting
from tenants.domains import tenant_of_domain
from tenants.impersonation import running
from tenants.models import Member, User
from tenants.scope import installation_scope, tenant_scope, user_scope
from tenants.second_factor import is_missing
from tenants.sign_in_providers import vouches_for

SESSION_KEY = "hostmeter_membership"
# What the session impersonates: of a tenant "<tenant's id>/<impersonation's id>", of a customer of
# the current tenant the impersonation's id.
VISITED_TENANT_KEY: Final = "hostmeter_visited_tenant"
VISITED_CUSTOMER_KEY: Final = "hostmeter_visited_customer"
# The tenant whose sign-in provider began the session, which shows no other.
PROVIDERS_TENANT_KEY: Final = "hostmeter_providers_tenant"
# As what the provider knew the person: after another issuer's sign-in elsewhere it is another.
PROVIDERS_LINK_KEY: Final = "hostmeter_providers_link"
# Their tenant is the credential's, whoever is signed in.
_SCOPED_BY_CREDENTIAL = ("/api/", "/join/", "/forgotten-password/", "/account/with/")
# What a person whose tenant is suspended may still do: leave it, for another or for good.
_WAYS_OUT = ("portal:switch", "portal:sign-out", "portal:password")
# Where somebody without a second factor sets one up; the last is how the pages look.
_SETS_UP = ("/account/", "/language/", "/brand/")

REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Names each request: as the proxy in front did, or afresh. The answer tells the name, and it
    is kept with what the request changes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(REQUEST_ID, "")
        request.META[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        response = self.get_response(request)
        response.headers[REQUEST_ID] = request.META[REQUEST_ID]
        return response


def memberships_of(user: User, of_domain: UUID | None = None) -> list[Member]:
    """A person's memberships in every tenant, or in the one whose domain they are under. The
    customer of none is named (`customer` is None, `customer_id` is not): only its tenant's own
    scope may read it."""
    with user_scope(user.pk):
        members = Member.objects.accepted().filter(user=user)
        if of_domain is not None:
            members = members.filter(tenant=of_domain)
        return list(members.select_related("tenant", "customer").order_by("tenant__name", "id"))


def choose_membership(
    user: User, wanted: str | None, of_domain: UUID | None = None
) -> Member | None:
    """The membership picked in this session, else the first of a tenant that is not suspended;
    None for a person who has none."""
    memberships = memberships_of(user, of_domain)
    by_id = {str(membership.pk): membership for membership in memberships}
    memberships.sort(key=lambda each: each.tenant.is_suspended)
    chosen = by_id.get(wanted or "") or next(iter(memberships), None)
    # The installation's owner is not shut out by what only the owner can lift.
    shut_out = chosen is not None and chosen.tenant.is_suspended and user.is_superuser
    return None if shut_out else chosen


def visiting_membership(user: User, visited: str | None) -> Member | None:
    """What the installation's owner may do in the tenant that they look into: read."""
    if not user.is_superuser or not visited:
        return None
    tenant_id, impersonation_id = map(UUID, visited.split("/"))
    with tenant_scope(tenant_id):
        impersonation = running(impersonation_id, user, of_a_customer=False, as_of=timezone.now())
        if impersonation is None:
            return None
        tenant = impersonation.tenant
    member = Member(user=user, tenant=tenant, role=Member.Role.VIEWER)
    member.impersonation = impersonation
    return member


class TenantMiddleware:
    """Runs the view, its template included, in one transaction that sees one tenant.

    A person without a membership sees no tenant's data; the installation's owner sees the list of
    tenants. Programs (the API) and invitations open their own scope.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(_SCOPED_BY_CREDENTIAL) or not request.user.is_authenticated:
            return self.get_response(request)
        user = request.user
        began = _of_provider(request)
        # No tenant's provider vouches for who has become the installation's owner since.
        if began is not None and (
            user.is_superuser
            or not vouches_for(user, began, request.session.get(PROVIDERS_LINK_KEY))
        ):
            logout(request)
            return redirect("portal:sign-in")
        user.membership = membership = _membership_in(request, user)
        scope = _scope_of(request, user, membership)
        who = acting(user.email, request=request.META.get(REQUEST_ID, ""))
        origin = audit.acting(audit.origin_of(request))
        with who, origin, scope, _time_zone_of(request, membership):
            if membership is not None and membership.tenant.is_suspended and _enters(request):
                return _suspended(request, membership)
            if began is not None:
                # The provider answers for second factors, and for nothing beyond its tenant.
                if _is_of_the_account(request):
                    return render(request, "account_elsewhere.html", status=HTTPStatus.FORBIDDEN)
            elif membership is not None and _leads_inside(request) and is_missing(membership):
                return _second_factor_first(request, membership)
            response = self.get_response(request)
            # Django has turned an exception into this answer already: nothing may stay half done.
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response


def only_tenant(request: HttpRequest) -> UUID | None:
    """The one tenant that a request may see: its domain's, else that of the provider which began
    its session; None where every tenant of the person is open to it."""
    return tenant_of_domain(request) or _of_provider(request)


def _of_provider(request: HttpRequest) -> UUID | None:
    began = request.session.get(PROVIDERS_TENANT_KEY)
    return None if began is None else UUID(began)


def _membership_in(request: HttpRequest, user: User) -> Member | None:
    wanted, only = request.session.get(SESSION_KEY), only_tenant(request)
    if only is not None:
        # A session of one tenant's provider is none under another tenant's domain.
        is_elsewhere = _of_provider(request) not in {None, only}
        return None if is_elsewhere else choose_membership(user, wanted, only)
    visiting = visiting_membership(user, request.session.get(VISITED_TENANT_KEY))
    return visiting or choose_membership(user, wanted)


def _enters(request: HttpRequest) -> bool:
    return request.path not in {reverse(name) for name in _WAYS_OUT}


def _is_of_the_account(request: HttpRequest) -> bool:
    """Whether a page changes how the person signs in, to all of their tenants."""
    leaves = reverse("account_logout")
    own = request.path.startswith("/account/") and request.path != leaves
    return own or request.path == reverse("portal:password")


def _leads_inside(request: HttpRequest) -> bool:
    return _enters(request) and not request.path.startswith(_SETS_UP)


def _second_factor_first(request: HttpRequest, membership: Member) -> HttpResponse:
    """What every page of the tenant's answers to who has none, the admin's as well."""
    context = {"tenant": membership.tenant}
    return render(request, "second_factor_first.html", context, status=HTTPStatus.FORBIDDEN)


def _suspended(request: HttpRequest, membership: Member) -> HttpResponse:
    """One plain answer to every page of the tenant's, the admin's as well."""
    tenant = membership.tenant
    return render(request, "suspended.html", {"tenant": tenant}, status=HTTPStatus.FORBIDDEN)


def _time_zone_of(
    request: HttpRequest, membership: Member | None
) -> AbstractContextManager[object]:
    """The admin's times are the tenant's; the portal shows each customer's own."""
    in_admin = membership is not None and request.path.startswith(reverse("admin:index"))
    return timezone.override(membership.tenant.time_zone if membership and in_admin else None)


def _scope_of(
    request: HttpRequest, user: User, membership: Member | None
) -> AbstractContextManager[None]:
    if membership is not None:
        return tenant_scope(membership.tenant.pk)
    # Under a tenant's domain nobody runs the installation.
    runs_all = user.is_superuser and only_tenant(request) is None
    return installation_scope() if runs_all else user_scope(user.pk)
