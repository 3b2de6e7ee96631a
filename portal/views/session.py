"""Signing in and out, and choosing whose pages to read."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from portal import sign_in_limit
from portal.access import CUSTOMER_KEY, Reader, customer_page, is_uuid
from portal.queries import customers_matching, memberships_of
from tenants.middleware import SESSION_KEY

_CUSTOMERS_PER_PAGE = 50


class SignInForm(AuthenticationForm):
    """E-mail and password; one answer for everything that does not fit."""

    error_messages = {
        "invalid_login": _(
            "This e-mail and password do not belong together. "
            "Check both; the password is case-sensitive."
        ),
        "inactive": _("This e-mail and password do not belong together."),
        "uncounted": _("Signing in is not possible just now. Try again in a minute."),
        "blocked": _("Too many failed attempts for this e-mail. Try again in 15 minutes."),
    }

    def clean(self) -> dict[str, Any]:
        try:
            return self._limited()
        except sign_in_limit.FailuresNotCounted as uncounted:
            raise forms.ValidationError(
                self.error_messages["uncounted"], code="uncounted"
            ) from uncounted

    def _limited(self) -> dict[str, Any]:
        email = str(self.cleaned_data.get("username", ""))
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        if sign_in_limit.is_blocked(email, address):
            raise forms.ValidationError(self.error_messages["blocked"], code="blocked")
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            sign_in_limit.note_failure(email, address)
            raise
        sign_in_limit.forget_failures(email, address)
        return cleaned


class SignIn(auth_views.LoginView):
    form_class = SignInForm
    template_name = "portal/sign_in.html"
    redirect_authenticated_user = True


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


@customer_page
@require_http_methods(["GET", "POST"])
def switch(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Choose another membership or, for a tenant's staff, another of its customers."""
    if request.method == "POST":
        return _switched(request, reader)
    # PostgreSQL takes no NUL in a text.
    sought = request.GET.get("q", "").replace("\0", "")[:120]
    customers = customers_matching(reader.membership, sought)
    context = {
        "reader": reader,
        "sought": sought,
        "query": urlencode({"q": sought}),
        "memberships": memberships_of(reader.user),
        "customers": Paginator(customers, _CUSTOMERS_PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "portal/switch.html", context)


def _switched(request: HttpRequest, reader: Reader) -> HttpResponse:
    membership, customer = request.POST.get("membership"), request.POST.get("customer")
    if membership in {str(each.pk) for each in memberships_of(reader.user)}:
        request.session[SESSION_KEY] = membership
        request.session.pop(CUSTOMER_KEY, None)
    elif customer and is_uuid(customer) and _may_read(reader, customer):
        request.session[CUSTOMER_KEY] = customer
    else:
        raise Http404
    return redirect("portal:overview")


def _may_read(reader: Reader, customer_id: str) -> bool:
    return customers_matching(reader.membership).filter(pk=customer_id).exists()
