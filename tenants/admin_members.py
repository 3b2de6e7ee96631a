"""The people of a tenant in the admin: invited, given a role, invited again."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldBooleanSwitchWidget

from tenants.admin_pages import ScopedAdmin, ScopedForm, action, display, form_page, secret_page
from tenants.admin_sign_in import ShowsSignIn
from tenants.audit import note
from tenants.invitations import (
    LastOwner,
    MemberElsewhereToo,
    invite,
    invite_again,
    require_another_owner,
)
from tenants.models import Member, Tenant
from tenants.scope import current_tenant_id
from tenants.second_factor import require
from tenants.team import ROLES as CUSTOMER_ROLES


class MemberForm(ScopedForm):
    """A member by e-mail: choosing from all people would show other tenants' ones."""

    email = forms.EmailField(widget=UnfoldAdminEmailInputWidget)

    class Meta:
        model = Member
        fields = ("role", "customer")
        help_texts = {
            "role": "Owners do everything; operators run hosts and environments; billing sets "
            "prices and invoices; viewers read.",
            "customer": "With a customer the person sees that customer's portal alone, and not "
            "the admin. There, owners keep the customer's people and keys, billing its details "
            "and payment methods, and viewers read.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not self.instance._state.adding and "email" in self.fields:
            self.fields["email"].initial = self.instance.user.email
            self.fields["email"].disabled = True

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        role, customer = data.get("role"), data.get("customer")
        if customer and role not in CUSTOMER_ROLES:
            self.add_error("role", "Operators run hosts; a customer's people do not.")
        email = str(data.get("email", "")).lower()
        known = Member.objects.filter(user__email=email, customer=customer)
        if known.exclude(pk=self.instance.pk).exists():
            self.add_error("email", "This person is a member already.")
        if (role != Member.Role.OWNER or customer) and _is_last_owner(self.instance):
            self.add_error(
                "role", "A tenant keeps at least one owner; make someone else an owner first."
            )
        return data

    def _get_validation_exclusions(self) -> set[str]:
        # The person may not exist before the form is saved; clean() looks for doubles.
        return super()._get_validation_exclusions() | {"user", "tenant"}


class SecondFactorForm(forms.Form):
    of_staff = forms.BooleanField(
        label="Your team", required=False, widget=UnfoldBooleanSwitchWidget
    )
    of_customers = forms.BooleanField(
        label="Your customers' people", required=False, widget=UnfoldBooleanSwitchWidget
    )


def _is_last_owner(member: Member) -> bool:
    """Of the tenant; a customer without an owner still has the operator."""
    if Member.objects.filter(pk=member.pk, customer__isnull=False).exists():
        return False
    try:
        require_another_owner(member)
    except LastOwner:
        return True
    return False


def invitation_page(
    page: ScopedAdmin, request: HttpRequest, email: str, invitation: str
) -> HttpResponse:
    """Shows an invitation this once."""
    link = request.build_absolute_uri(reverse("portal:join", args=[invitation]))
    return secret_page(
        page,
        request,
        title=f"Invitation of {email}",
        text="It is sent to them by e-mail. If you hand it over yourself, give it to this person "
        "and nobody else: whoever opens it can accept it. It works once, within 7 days, and cannot "
        "be shown again.",
        secret=link,
    )


@admin.register(Member)
class MemberAdmin(ShowsSignIn):
    form = MemberForm
    empty_hint = "Invite the people who run this tenant, and a viewer for each customer."
    list_display = ("user", "role", "customer", "state", "second_factor")
    list_filter = ("role", "customer")
    list_select_related = ("user", "customer")
    search_fields = ("user__email", "customer__name")
    fields = ("email", "role", "customer")
    sign_in_fields = ("factors", "sessions")
    actions_list = ("require_second_factor",)
    actions_detail = ("invite_again", "end_sessions", "reset_second_factors", "unlink")

    @display(description="State", label={"member": "success", "invited": "warning"})
    def state(self, member: Member) -> str:
        return "invited" if member.is_invited else "member"

    def get_actions(self, request: HttpRequest) -> Any:
        # One by one: the tenant's last owner has to stay.
        return {
            name: each
            for name, each in super().get_actions(request).items()
            if name != "delete_selected"
        }

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and not (isinstance(obj, Member) and _is_last_owner(obj))

    def save_model(self, request: HttpRequest, obj: Member, form: Any, change: bool) -> None:
        now = timezone.now()
        if change:
            super().save_model(request, obj, form, change)
            _note("member_role_changed", obj, now)
            return
        email = form.cleaned_data["email"]
        self._remember(request, invite(obj, email, as_of=now))
        _note("member_invited", obj, now)

    def delete_model(self, request: HttpRequest, obj: Member) -> None:
        super().delete_model(request, obj)
        _note("member_removed", obj, timezone.now())

    def response_add(
        self, request: HttpRequest, obj: Member, post_url_continue: str | None = None
    ) -> HttpResponse:
        return invitation_page(self, request, obj.user.email, request.META.pop(_INVITATION))

    def _remember(self, request: HttpRequest, invitation: str) -> None:
        # From saving to answering; the page's object is shared by all requests.
        request.META[_INVITATION] = invitation

    @action(
        description="Second factors",
        icon="lock",
        permissions=["change"],
        url_path="second-factors",
    )
    def require_second_factor(self, request: HttpRequest) -> HttpResponse:
        tenant = Tenant.objects.get(pk=current_tenant_id())
        before = {
            "of_staff": tenant.staff_need_second_factor,
            "of_customers": tenant.customers_need_second_factor,
        }
        form = SecondFactorForm(request.POST if request.method == "POST" else None, initial=before)
        if not form.is_valid():
            return form_page(
                self,
                request,
                form,
                title="Who needs a second factor?",
                text="Whoever needs one and has none is led to set one up before anything else, "
                "from their next page on: you as well. API keys are not asked.",
                submit="Save",
            )
        require(**form.cleaned_data, as_of=timezone.now())
        messages.success(request, "Saved. It holds from everyone's next page on.")
        return HttpResponseRedirect(reverse("admin:tenants_member_changelist"))

    @action(
        description="Invite again", icon="mail", permissions=["change"], url_path="invite-again"
    )
    def invite_again(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        member = self.get_object(request, object_id)
        if member is None:
            return HttpResponseRedirect(reverse("admin:tenants_member_changelist"))
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title=f"Invite {member.user} again?",
                text="The last invitation ends. Someone who had accepted it is signed out, and "
                "chooses a new password with this one.",
                submit="Invite again",
            )
        try:
            invitation = invite_again(member, as_of=timezone.now())
        except MemberElsewhereToo as refusal:
            messages.error(
                request,
                f"{refusal}: whoever runs the installation can give them a new password "
                f"(manage.py new_password {member.user}).",
            )
            return HttpResponseRedirect(reverse("admin:tenants_member_change", args=[member.pk]))
        _note("member_invited_again", member, timezone.now())
        self.log_change(request, member, "Invited again.")
        return invitation_page(self, request, member.user.email, invitation)


def _note(action: str, member: Member, as_of: datetime) -> None:
    note(
        action,
        as_of=as_of,
        customer=member.customer_id,
        subject=member.user.email,
        role=str(member.role),
    )


_INVITATION = "hostmeter.invitation"
