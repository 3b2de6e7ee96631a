"""Who reads a page, and which customer's: every page of the portal goes through `customer_page`.

Staff have no customer of their own. They read one's pages by an impersonation, which the customer
sees in their audit log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from portal.running import BeingCounted
from tenants.access_models import Impersonation
from tenants.audit import acting, origin_of
from tenants.impersonation import running
from tenants.middleware import VISITED_CUSTOMER_KEY, memberships_of, only_tenant
from tenants.models import Customer, Member, Tenant, User
from tenants.roles import staff_may

# While a worker counts what a page shows.
_LOOK_AGAIN_SECONDS = 3
_READS = frozenset({"GET", "HEAD", "OPTIONS"})

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Reader:
    """A signed-in person, the customer whose pages they read, and the moment they ask."""

    user: User
    membership: Member
    customer: Customer
    may_switch: bool
    as_of: datetime
    impersonation: Impersonation | None = None

    @property
    def tenant(self) -> Tenant:
        return self.membership.tenant

    @property
    def may_pay(self) -> bool:
        """Whether they may spend the customer's money, which the provider's staff may not."""
        spends = self.membership.role in {Member.Role.OWNER, Member.Role.BILLING}
        return spends and self.membership.customer_id is not None

    @property
    def may_run_hosts(self) -> bool:
        """Whether they add the customer's own hosts and revoke their keys: its owners do."""
        own = self.membership.customer_id is not None
        return own and self.membership.role == Member.Role.OWNER

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.customer.time_zone)

    @property
    def may_keep_people(self) -> bool:
        """The customer's own owners keep its people and keys; the operator does so in the admin."""
        own = self.membership.customer_id is not None
        return own and self.membership.role == Member.Role.OWNER


def customer_page(
    view: Callable[Concatenate[HttpRequest, Reader, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page about one customer, in that customer's time zone, for a signed-in member."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        response = _page(request, *args, **kwargs)
        # Neither a proxy nor the back button of the next person at this screen shows it again; a
        # view that says something else of its file is left to it.
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        return response

    def _page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        member = membership_of(request)
        if member is None and request.user.is_superuser and only_tenant(request) is None:
            # The installation's owner has no customer to read; the list of tenants is in the admin.
            return redirect("admin:index")
        if member is None:
            return render(request, "portal/no_access.html", status=403)
        impersonation = impersonation_of(request, member)
        customer = impersonation.customer if impersonation else _own_customer(member)
        if customer is None:
            return _choose_first(request)
        reader = Reader(
            member.user,
            member,
            customer,
            may_switch(member, only_tenant(request)),
            timezone.now(),
            impersonation,
        )
        origin = origin_of(request, impersonation_id=impersonation.pk if impersonation else None)
        with timezone.override(reader.zone), acting(origin):
            if impersonation and not impersonation.may_change and request.method not in _READS:
                return render(request, "portal/read_only.html", {"reader": reader}, status=403)
            try:
                return view(request, reader, *args, **kwargs)
            except BeingCounted:
                context = {"reader": reader, "refresh_seconds": _LOOK_AGAIN_SECONDS}
                return render(request, "portal/counting.html", context)

    return answer


def membership_of(request: HttpRequest) -> Member | None:
    """What TenantMiddleware found for this request."""
    user = request.user
    if not isinstance(user, User) or user.membership is None:
        return None
    user.membership.user = user
    return user.membership


def impersonation_of(request: HttpRequest, member: Member) -> Impersonation | None:
    """What staff read a customer's pages by; None for the customer's own people."""
    chosen = request.session.get(VISITED_CUSTOMER_KEY)
    if member.customer_id is not None or not chosen:
        return None
    return running(UUID(chosen), member.user, of_a_customer=True, as_of=timezone.now())


def _own_customer(member: Member) -> Customer | None:
    return Customer.objects.get(pk=member.customer_id) if member.customer_id else None


def _choose_first(request: HttpRequest) -> HttpResponseBase:
    """Staff say whose pages they want to read and why."""
    if not Customer.objects.exists():
        return render(request, "portal/no_customer.html")
    if request.method in _READS:
        return redirect_to_login(request.get_full_path(), reverse("portal:switch"))
    return redirect("portal:switch")


def require_may_pay(reader: Reader) -> None:
    """Raises PermissionDenied."""
    if not reader.may_pay:
        raise PermissionDenied


def require_may_run_hosts(reader: Reader) -> None:
    """Raises PermissionDenied."""
    if not reader.may_run_hosts:
        raise PermissionDenied


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def may_switch(member: Member, of_domain: UUID | None) -> bool:
    """Whether there is something else to look at: for staff their customers, for everyone else
    their other memberships, under a tenant's domain the ones there."""
    if member.customer_id is None:
        return True
    return len(memberships_of(member.user, of_domain)) > 1


def may_change(reader: Reader, permission: str) -> bool:
    """Whether the reader may change what is the customer's own: its people may who do more than
    look, and of the provider's staff those whose role may do `permission` in the admin, where their
    impersonation allows changes."""
    member = reader.membership
    if reader.impersonation is not None and not reader.impersonation.may_change:
        return False
    if member.customer_id is not None:
        return member.role != Member.Role.VIEWER
    return staff_may(member.role, permission)
