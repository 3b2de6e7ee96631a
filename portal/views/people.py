"""Becoming a member, and changing one's own password."""

from typing import Any

from allauth.usersessions.models import UserSession
from django import forms
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods

from tenants.audit import acting, note, origin_of
from tenants.invitations import InvitationNotUsable, accept, invited_member
from tenants.middleware import SESSION_KEY
from tenants.models import Member, User

_BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, invitation: str) -> HttpResponse:
    """Accept an invitation: a new person chooses a password, another one signs in first."""
    try:
        with invited_member(invitation, as_of=timezone.now()) as member:
            response = _joining(request, member)
    except InvitationNotUsable:
        response = render(request, "portal/join_over.html", status=404)
    add_never_cache_headers(response)
    return response


def _joining(request: HttpRequest, member: Member) -> HttpResponse:
    user = member.user
    is_new = not user.has_usable_password()
    data = request.POST if request.method == "POST" else None
    form = SetPasswordForm(user, data) if is_new else forms.Form(data)
    may_accept = is_new or request.user == user
    if request.method == "POST" and may_accept and form.is_valid():
        if isinstance(form, SetPasswordForm):
            form.save()
            login(request, user, _BACKEND)
            UserSession.objects.create_from_request(request)
        with acting(origin_of(request, user)):
            accept(member, as_of=timezone.now())
        request.session[SESSION_KEY] = str(member.pk)
        return redirect("portal:overview")
    context = {"member": member, "is_new": is_new, "may_accept": may_accept, "form": form}
    return render(request, "portal/join.html", context)


class ChangePassword(LoginRequiredMixin, auth_views.PasswordChangeView):
    """One's own password; the other sessions end."""

    template_name = "portal/password.html"

    def get_success_url(self) -> str:
        return f"{reverse('portal:password')}?changed"

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        user = self.request.user
        # The installation's owner belongs to no tenant, and so stands in nobody's log.
        if isinstance(user, User) and user.membership is not None:
            of = user.membership.customer_id
            note("password_changed", as_of=timezone.now(), customer=of, subject=user.email)
        return response

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        add_never_cache_headers(response)
        return response
