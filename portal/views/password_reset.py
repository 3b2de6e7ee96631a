"""Choosing a new password by a link that goes to one's e-mail address."""

from typing import Any

from django import forms
from django.contrib.auth import views as auth_views
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.password_reset import LinkUsed, is_over_for_address, reset, resettable, send_link
from portal.request_limit import NotCounted
from tenants.audit import origin_of
from tenants.domains import tenant_of_domain
from tenants.models import User


class ForgottenForm(forms.Form):
    email = forms.EmailField(max_length=254)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a link. The answer is the same whether the address is known or not."""
    form = ForgottenForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "portal/forgotten.html", {"form": form}, status=status)
    try:
        if is_over_for_address(request):
            return _refused(request, form, _("Too many requests. Try again in an hour."), 429)
        send_link(request, form.cleaned_data["email"], as_of=timezone.now())
    except NotCounted:
        return _refused(request, form, _("This is not possible just now. Try again later."), 503)
    return redirect("portal:forgotten-sent")


def _refused(request: HttpRequest, form: ForgottenForm, why: str, status: int) -> HttpResponse:
    return render(request, "portal/forgotten.html", {"form": form, "refusal": why}, status=status)


@never_cache
@require_http_methods(["GET", "HEAD"])
def forgotten_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/forgotten_sent.html")


class Reset(auth_views.PasswordResetConfirmView):
    """The page that a link leads to. Nobody is signed in by it: a second factor is asked for as
    ever."""

    template_name = "portal/reset.html"

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        if not isinstance(user, User):
            return None
        return user if resettable(user, tenant_of_domain(self.request)) else None

    def form_valid(self, form: Any) -> HttpResponse:
        token = self.request.session.pop(INTERNAL_RESET_SESSION_TOKEN, "")
        try:
            reset(
                form.user,
                token,
                form.cleaned_data["new_password1"],
                origin_of(self.request, form.user),
                as_of=timezone.now(),
            )
        except LinkUsed:
            self.validlink = False
            return self.render_to_response(self.get_context_data())
        # Whoever was signed in in this browser is no more.
        self.request.session.flush()
        return redirect("portal:reset-done")

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        options.setdefault("status", 200 if self.validlink else 404)
        response: HttpResponse = super().render_to_response(context, **options)
        return response


@never_cache
@require_http_methods(["GET", "HEAD"])
def reset_done(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/reset_done.html")
