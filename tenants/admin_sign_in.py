"""A member's sessions and second factors in the admin: seen, ended and reset by owners."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join

from tenants.admin_pages import ScopedAdmin, action, ago, display, form_page
from tenants.models import Member, User
from tenants.people_access import (
    NotTheirsToEnd,
    end_sessions,
    factors_of,
    reset_second_factors,
    sessions_of,
)
from tenants.refusals import sentence
from tenants.second_factor import FACTORS
from tenants.sign_in_providers import unlink

_FACTOR_NAMES = {
    Authenticator.Type.TOTP: "authenticator app",
    Authenticator.Type.WEBAUTHN: "passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery codes",
}
_End = Callable[..., int]


class ShowsSignIn(ScopedAdmin):
    """The pages of members, with how each signs in. What changes it is for who changes members."""

    sign_in_fields: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Member]":
        rows: QuerySet[Member] = super().get_queryset(request)
        factors = Authenticator.objects.filter(user_id=OuterRef("user_id"), type__in=FACTORS)
        return rows.annotate(has_second_factor=Exists(factors))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        shown = obj is not None and self.has_change_permission(request, obj)
        return (*fields, *self.sign_in_fields) if shown else fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *self.sign_in_fields)

    @display(description="Second factor", boolean=True)
    def second_factor(self, member: Any) -> bool:
        return bool(member.has_second_factor)

    @display(description="Second factors")
    def factors(self, member: Member) -> str:
        try:
            found = factors_of(member)
        except NotTheirsToEnd as refusal:
            return sentence(refusal)
        now = timezone.now()
        lines = [(_FACTOR_NAMES[each.type], _used(each.last_used_at, now)) for each in found]
        return format_html_join("", "<div>{}, {}</div>", lines) or "none"

    @display(description="Signed in")
    def sessions(self, member: Member) -> str:
        try:
            found = sessions_of(member)
        except NotTheirsToEnd as refusal:
            return sentence(refusal)
        now = timezone.now()
        lines = [(each.ip, each.user_agent, ago(each.created_at, now)) for each in found]
        return format_html_join("", "<div>{} · {} · {}</div>", lines) or "nowhere"

    @action(
        description="End sessions", icon="logout", permissions=["change"], url_path="end-sessions"
    )
    def end_sessions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ended(
            request,
            object_id,
            end_sessions,
            "End all sessions of",
            "They are signed out everywhere and get an e-mail that says so. Whoever knows the "
            "password can sign in again.",
        )

    @action(
        description="Reset second factors",
        icon="lock_reset",
        permissions=["change"],
        url_path="reset-second-factors",
    )
    def reset_second_factors(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ended(
            request,
            object_id,
            reset_second_factors,
            "Remove all second factors of",
            "For a lost device. Make sure that it is they who ask: afterwards the password alone "
            "signs in. Passkeys and recovery codes go too, all sessions end, and they get an "
            "e-mail that says so.",
        )

    @action(
        description="Unlink from the sign-in provider",
        icon="link_off",
        permissions=["change"],
        url_path="unlink",
    )
    def unlink(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ended(
            request,
            object_id,
            _unlinked,
            "Unlink from the sign-in provider",
            "For an account at the provider that was made anew. Whoever next comes through it with "
            "this e-mail address signs in as this member.",
        )

    def _ended(
        self, request: HttpRequest, object_id: str, end: _End, title: str, text: str
    ) -> HttpResponse:
        member, user = self.get_object(request, object_id), request.user
        if member is None or not isinstance(user, User):
            return HttpResponseRedirect(reverse("admin:tenants_member_changelist"))
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title=f"{title} {member.user}?",
                text=text,
                submit="Yes, do it",
            )
        try:
            ended = end(member, by=user.email, as_of=timezone.now())
        except NotTheirsToEnd as refusal:
            messages.error(request, sentence(refusal))
        else:
            messages.success(request, f"Ended: {ended}." if ended else "There was nothing to end.")
        return HttpResponseRedirect(reverse("admin:tenants_member_change", args=[member.pk]))


def _unlinked(member: Member, *, by: str, as_of: datetime) -> int:
    return int(unlink(member, as_of=as_of))


def _used(last: datetime | None, now: datetime) -> str:
    return "never used" if last is None else f"used {ago(last, now)}"
