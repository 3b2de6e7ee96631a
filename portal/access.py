"""Who reads a page, and which customer's: every page of the portal goes through `customer_page`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Concatenate, Final, ParamSpec
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from tenants.models import Customer, Member, Tenant, User
from tenants.roles import staff_may
from tenants.scope import user_scope

CUSTOMER_KEY: Final = "hostmeter_customer"

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Reader:
    """A signed-in person, the customer whose pages they read, and the moment they ask."""

    user: User
    membership: Member
    customer: Customer
    may_switch: bool
    as_of: datetime

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
        if member is None and request.user.is_superuser:
            # The installation's owner has no customer to read; the list of tenants is in the admin.
            return redirect("admin:index")
        if member is None:
            return render(request, "portal/no_access.html", status=403)
        customer = chosen_customer(member, request.session.get(CUSTOMER_KEY))
        if customer is None:
            return render(request, "portal/no_customer.html")
        reader = Reader(
            member.user, member, customer, may_switch=_may_switch(member), as_of=timezone.now()
        )
        with timezone.override(reader.zone):
            return view(request, reader, *args, **kwargs)

    return answer


def membership_of(request: HttpRequest) -> Member | None:
    """What TenantMiddleware found for this request."""
    user = request.user
    if not isinstance(user, User) or user.membership is None:
        return None
    user.membership.user = user
    return user.membership


def chosen_customer(member: Member, wanted: str | None) -> Customer | None:
    """The member's own customer; for staff the one they chose, else the first real one."""
    if member.customer_id is not None:
        return Customer.objects.get(pk=member.customer_id)
    chosen = Customer.objects.filter(pk=wanted).first() if wanted and is_uuid(wanted) else None
    return chosen or Customer.objects.order_by("generated", "name", "id").first()


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


def _may_switch(member: Member) -> bool:
    if member.customer_id is None:
        return True
    with user_scope(member.user_id):
        return Member.objects.accepted().filter(user_id=member.user_id).count() > 1


def may_change(reader: Reader, permission: str) -> bool:
    """Whether the reader may change what is the customer's own: its people may, and of the
    provider's staff those whose role may do `permission` in the admin."""
    member = reader.membership
    return member.customer_id is not None or staff_may(member.role, permission)
