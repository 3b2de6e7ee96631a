"""A customer's people and API keys. Owners keep them; everyone of the team sees who is on it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from portal.access import Reader, customer_page
from portal.words import ROLE_MEANINGS, ROLES, SCOPE_MEANINGS
from tenants.invitations import LastOwner
from tenants.models import ApiKey, Member
from tenants.scopes import CUSTOMER_SCOPES
from tenants.team import (
    KEYS_MAX,
    MEMBERS_MAX,
    AlreadyMember,
    NotInvited,
    TooMany,
    change_role,
    invite_colleague,
    invite_colleague_again,
    issue_customer_key,
    remove_member,
    revoke_customer_key,
)
from tenants.team import ROLES as CUSTOMER_ROLES

_DAYS = (30, 90, 365)


class InviteForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        label=gettext_lazy("E-mail"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), initial=Member.Role.VIEWER)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["role"].choices = [(each, ROLES[each]) for each in CUSTOMER_ROLES]  # type: ignore[attr-defined]


class KeyForm(forms.Form):
    """What uses the key, what it may read, and until when."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("May read"), widget=forms.CheckboxSelectMultiple
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Expires"), coerce=int, empty_value=None, required=False
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope, SCOPE_MEANINGS[scope]) for scope in CUSTOMER_SCOPES
        ]
        self.fields["days"].choices = [  # type: ignore[attr-defined]
            ("", _("When it is revoked")),
            *((days, _("After %(days)s days") % {"days": days}) for days in _DAYS),
        ]


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def team(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Who is on the customer's team; an owner invites more."""
    if request.method != "POST":
        return _team_page(request, reader, InviteForm())
    _require_owner(reader)
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _team_page(request, reader, form, status=400)
    email, role = form.cleaned_data["email"], form.cleaned_data["role"]
    try:
        invitation = invite_colleague(reader.customer, email, role, as_of=reader.as_of)
    except AlreadyMember:
        form.add_error("email", _("This person is on the team already, or invited."))
    except TooMany:
        form.add_error(None, _("A team has at most %(most)s people.") % {"most": MEMBERS_MAX})
    if not form.is_valid():
        return _team_page(request, reader, form, status=400)
    return _invited(request, reader, email, invitation)


def _team_page(
    request: HttpRequest, reader: Reader, form: InviteForm, status: int = 200
) -> HttpResponse:
    members = (
        Member.objects.filter(customer=reader.customer)
        .select_related("user")
        .order_by("user__email")[:MEMBERS_MAX]
    )
    context = {
        "reader": reader,
        "section": "team",
        "members": [(each, ROLES[each.role]) for each in members],
        "roles": [(str(each), ROLES[each], ROLE_MEANINGS[each]) for each in CUSTOMER_ROLES],
        "form": form,
    }
    return render(request, "portal/team.html", context, status=status)


def _invited(request: HttpRequest, reader: Reader, email: str, invitation: str) -> HttpResponse:
    link = request.build_absolute_uri(reverse("portal:join", args=[invitation]))
    context = {"reader": reader, "section": "team", "email": email, "link": link}
    return render(request, "portal/team_invited.html", context)


@customer_page
@require_POST
def member_invited_again(request: HttpRequest, reader: Reader, member_id: UUID) -> HttpResponse:
    """A fresh link in place of the last."""
    _require_owner(reader)
    member = _member(reader, member_id)
    try:
        invitation = invite_colleague_again(reader.customer, member_id, as_of=reader.as_of)
    except NotInvited:
        messages.error(request, _("This person has accepted the invitation already."))
        return redirect("portal:team")
    return _invited(request, reader, member.user.email, invitation)


@customer_page
@require_POST
def member_role(request: HttpRequest, reader: Reader, member_id: UUID) -> HttpResponse:
    """Give a colleague another role."""
    _require_owner(reader)
    member, role = _member(reader, member_id), request.POST.get("role", "")
    if role not in CUSTOMER_ROLES:
        raise Http404
    try:
        change_role(reader.customer, member_id, role, as_of=reader.as_of)
    except LastOwner:
        messages.error(request, _("A team keeps an owner: make someone else an owner first."))
    else:
        said = {"email": member.user.email, "role": ROLES[role]}
        messages.success(request, _("%(email)s is now: %(role)s.") % said)
    return redirect("portal:team")


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def member_removed(request: HttpRequest, reader: Reader, member_id: UUID) -> HttpResponse:
    """Take a colleague off the team, once that is confirmed."""
    _require_owner(reader)
    member = _member(reader, member_id)
    if request.method != "POST":
        context = {"reader": reader, "section": "team", "member": member}
        return render(request, "portal/team_remove.html", context)
    try:
        remove_member(reader.customer, member_id, as_of=reader.as_of)
    except LastOwner:
        messages.error(request, _("A team keeps an owner: make someone else an owner first."))
    else:
        messages.success(request, _("%(email)s is off the team.") % {"email": member.user.email})
    return redirect("portal:team")


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: HttpRequest, reader: Reader) -> HttpResponse:
    """The customer's API keys; an owner makes one, which is shown this once."""
    if request.method != "POST":
        return _keys_page(request, reader, KeyForm(initial={"days": 90}))
    _require_owner(reader)
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _keys_page(request, reader, form, status=400)
    days = form.cleaned_data["days"]
    try:
        key = issue_customer_key(
            reader.customer,
            form.cleaned_data["name"],
            form.cleaned_data["scopes"],
            expires_at=reader.as_of + timedelta(days=days) if days else None,
            as_of=reader.as_of,
        )
    except TooMany:
        form.add_error(
            None, _("There are %(most)s keys in use; revoke one first.") % {"most": KEYS_MAX}
        )
        return _keys_page(request, reader, form, status=400)
    context = {"reader": reader, "section": "team", "key": key, "name": form.cleaned_data["name"]}
    return render(request, "portal/key_made.html", context)


def _keys_page(
    request: HttpRequest, reader: Reader, form: KeyForm, status: int = 200
) -> HttpResponse:
    found = ApiKey.objects.filter(customer=reader.customer).order_by("revoked_at", "-created_at")
    shown = [
        (key, [SCOPE_MEANINGS[scope] for scope in key.scopes], key.is_usable(timezone.now()))
        for key in found[: 4 * KEYS_MAX]
    ]
    context = {"reader": reader, "section": "team", "keys": shown, "form": form}
    return render(request, "portal/keys.html", context, status=status)


@customer_page
@require_POST
def key_revoked(request: HttpRequest, reader: Reader, key_id: UUID) -> HttpResponse:
    """End a key."""
    _require_owner(reader)
    try:
        revoke_customer_key(reader.customer, key_id, as_of=reader.as_of)
    except ApiKey.DoesNotExist as missing:
        raise Http404 from missing
    messages.success(request, _("The key is revoked; nothing can use it any more."))
    return redirect("portal:keys")


def _require_owner(reader: Reader) -> None:
    if not reader.may_keep_people:
        raise PermissionDenied


def _member(reader: Reader, member_id: UUID) -> Member:
    """One of the reader's own team. Raises Http404."""
    found = Member.objects.filter(pk=member_id, customer=reader.customer).select_related("user")
    member = found.first()
    if member is None:
        raise Http404
    return member
