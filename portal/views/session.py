"""Signing in and out, and choosing whose pages to read."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django import forms
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from portal import sign_in_limit
from portal.access import impersonation_of, is_uuid, may_switch, membership_of
from portal.accounts import note_failure
from portal.queries import customers_matching
from tenants.access_models import Impersonation
from tenants.domains import tenant_of_domain
from tenants.impersonation import (
    LASTS,
    REASON_MAX,
    ChangesNotAllowed,
    ReasonMissing,
    begin,
    end,
    may_allow_changes,
    running,
)
from tenants.middleware import (
    SESSION_KEY,
    VISITED_CUSTOMER_KEY,
    VISITED_TENANT_KEY,
    choose_membership,
    memberships_of,
    only_tenant,
)
from tenants.models import Customer, Member
from tenants.sign_in_providers import provider_of

_CUSTOMERS_PER_PAGE = 50


class SignInForm(AuthenticationForm):
    """E-mail and password; one answer for everything that does not fit."""

    error_messages = {
        "invalid_login": gettext_lazy(
            "This e-mail and password do not belong together. "
            "Check both; the password is case-sensitive."
        ),
        "inactive": gettext_lazy("This e-mail and password do not belong together."),
        "uncounted": gettext_lazy("Signing in is not possible just now. Try again in a minute."),
        "blocked": gettext_lazy(
            "Too many failed attempts for this e-mail. Try again in 15 minutes."
        ),
    }

    def clean(self) -> dict[str, Any]:
        try:
            return self._limited()
        except sign_in_limit.FailuresNotCounted as uncounted:
            raise forms.ValidationError(
                self.error_messages["uncounted"], code="uncounted"
            ) from uncounted

    def confirm_login_allowed(self, user: Any) -> None:
        """Under a tenant's domain whoever is not of it is nobody."""
        super().confirm_login_allowed(user)
        of_domain = None if self.request is None else tenant_of_domain(self.request)
        if of_domain is not None and choose_membership(user, None, of_domain) is None:
            raise self.get_invalid_login_error()

    def _limited(self) -> dict[str, Any]:
        email = str(self.cleaned_data.get("username", ""))
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        if sign_in_limit.is_blocked(email, address):
            raise forms.ValidationError(self.error_messages["blocked"], code="blocked")
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            sign_in_limit.note_failure(email, address)
            if self.request:
                note_failure(self.request, email)
            raise
        sign_in_limit.forget_failures(email, address)
        return cleaned


class SignIn(auth_views.LoginView):
    form_class = SignInForm
    template_name = "portal/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """Under a tenant's domain with its provider; elsewhere nobody is told who has one."""
        of_domain = tenant_of_domain(self.request)
        context["provider"] = None if of_domain is None else provider_of(of_domain)
        return super().get_context_data(**context)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password fits: allauth asks for the second factor of who has one."""
        user = form.get_user()
        response: HttpResponse = perform_password_login(
            self.request, {"email": user.email}, Login(user, redirect_url=self.get_success_url())
        )
        return response


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Where the admin sends whoever may not open it: to the one page for signing in, unless they
    are signed in already. Raises PermissionDenied."""
    if request.user.is_authenticated:
        raise PermissionDenied
    query = urlencode({"next": request.GET.get("next", reverse("admin:index"))})
    return redirect(f"{reverse('portal:sign-in')}?{query}")


class SignOut(auth_views.LogoutView):
    """By POST alone, so that no link on another site signs anyone out."""

    http_method_names = ["post", "options"]


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def switch(request: HttpRequest) -> HttpResponse:
    """Choose another membership or, for a tenant's staff, which customer's pages to read, and say
    why."""
    member = membership_of(request)
    if member is None:
        return redirect("portal:overview")
    impersonation = impersonation_of(request, member)
    if request.method == "POST":
        return _switched(request, member, impersonation)
    return _choice(request, member, impersonation)


def _choice(
    request: HttpRequest,
    member: Member,
    impersonation: Impersonation | None,
    *,
    error: str = "",
) -> HttpResponse:
    # PostgreSQL takes no NUL in a text.
    sought = request.GET.get("q", "").replace("\0", "")[:120]
    customers = customers_matching(member, sought)
    context = {
        "member": member,
        "may_switch": may_switch(member, only_tenant(request)),
        "impersonation": impersonation,
        "own_customer": customers.first() if member.customer_id else None,
        "may_allow_changes": may_allow_changes(member.user),
        "error": error,
        "reason": request.POST.get("reason", "")[:REASON_MAX],
        "reason_max": REASON_MAX,
        "next": request.POST.get("next", request.GET.get("next", "")),
        "minutes": LASTS.seconds // 60,
        "sought": sought,
        "query": urlencode({"q": sought}),
        "memberships": memberships_of(member.user, only_tenant(request)),
        "customers": Paginator(customers, _CUSTOMERS_PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "portal/switch.html", context, status=400 if error else 200)


def _switched(
    request: HttpRequest, member: Member, impersonation: Impersonation | None
) -> HttpResponse:
    membership, customer_id = request.POST.get("membership"), request.POST.get("customer")
    own = memberships_of(member.user, only_tenant(request))
    if membership in {str(each.pk) for each in own}:
        _ended(request, impersonation)
        request.session[SESSION_KEY] = membership
        return redirect("portal:overview")
    customer = _customer_of(member, customer_id)
    try:
        begun = begin(
            member.user,
            customer,
            request.POST.get("reason", "").replace("\0", ""),
            may_change="may_change" in request.POST,
            as_of=timezone.now(),
        )
    except ReasonMissing:
        return _choice(
            request, member, impersonation, error=_("Say why: the customer reads it in their log.")
        )
    except ChangesNotAllowed as refused:
        raise PermissionDenied from refused
    _ended(request, impersonation)
    request.session[VISITED_CUSTOMER_KEY] = str(begun.pk)
    onward = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(onward, {request.get_host()}):
        return redirect(onward)
    return redirect("portal:overview")


def _customer_of(member: Member, customer_id: str | None) -> Customer:
    """One whose pages staff may ask to read; to all others there is none."""
    if member.customer_id is not None or not customer_id or not is_uuid(customer_id):
        raise Http404
    return get_object_or_404(Customer, pk=customer_id)


@login_required
@require_POST
def end_impersonation(request: HttpRequest) -> HttpResponse:
    """Back to one's own pages: from a customer's to the choice, from a tenant's to the list."""
    member = membership_of(request)
    if member is None:
        return redirect("admin:index")
    impersonation = impersonation_of(request, member)
    if impersonation is not None or not member.is_visiting:
        _ended(request, impersonation)
        return redirect("portal:switch")
    _, _, visit = request.session.pop(VISITED_TENANT_KEY).partition("/")
    found = running(UUID(visit), member.user, of_a_customer=False, as_of=timezone.now())
    if found is not None:
        end(found, as_of=timezone.now())
    return redirect("admin:index")


def _ended(request: HttpRequest, impersonation: Impersonation | None) -> None:
    request.session.pop(VISITED_CUSTOMER_KEY, None)
    if impersonation is not None:
        end(impersonation, as_of=timezone.now())
