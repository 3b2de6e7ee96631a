"""The tenant's OpenID Connect provider in the admin: tried before it is kept."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminPasswordWidget

from tenants.admin_pages import ScopedAdmin, ScopedForm, display
from tenants.domains import address_of
from tenants.refusals import sentence
from tenants.scope import current_tenant_id
from tenants.sign_in_models import SignInProvider
from tenants.sign_in_providers import ProviderNotUsable, discover, keep, remove


class ProviderForm(ScopedForm):
    """What the provider's own page for this client says. The secret is never shown again."""

    client_secret = forms.CharField(
        max_length=500,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="Kept sealed, and never shown again.",
        error_messages={"required": "The provider gives one with the client ID."},
    )

    class Meta:
        model = SignInProvider
        fields = ("name", "issuer", "client_id", "proves_emails", "is_enabled")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not self.instance._state.adding:
            secret = self.fields["client_secret"]
            secret.required = False
            secret.help_text = "Leave it empty to keep the one that is there."

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("issuer"):
            try:
                discover(data["issuer"])
            except ProviderNotUsable as refusal:
                self.add_error("issuer", sentence(refusal))
        return data


@admin.register(SignInProvider)
class SignInProviderAdmin(ScopedAdmin):
    form = ProviderForm
    empty_hint = (
        "Let your team and your customers' people sign in with the accounts that they have: at "
        "your provider, make a client for a web application with the redirect URI that the form "
        "shows, and enter what it gives you."
    )
    list_display = ("name", "issuer", "is_enabled")
    fields = (
        "redirect_uri", "name", "issuer", "client_id", "client_secret", "proves_emails",
        "is_enabled", "entrance",
    )  # fmt: skip
    readonly_fields = ("redirect_uri", "entrance")

    def has_add_permission(self, request: HttpRequest) -> bool:
        allowed = super().has_add_permission(request)
        return allowed and not self.get_queryset(request).exists()

    def save_model(
        self, request: HttpRequest, obj: SignInProvider, form: Any, change: bool
    ) -> None:
        keep(obj, form.cleaned_data["client_secret"], as_of=timezone.now())

    def delete_model(self, request: HttpRequest, obj: SignInProvider) -> None:
        remove(obj, as_of=timezone.now())

    def get_actions(self, request: HttpRequest) -> Any:
        # There is one; it is removed from its own page.
        return {}

    @display(description="Redirect URI")
    def redirect_uri(self, provider: SignInProvider) -> str:
        return _address("openid_connect_callback")

    @display(description="Where people sign in")
    def entrance(self, provider: SignInProvider) -> str:
        return _address("openid_connect_login")


def _address(name: str) -> str:
    return address_of(reverse(name, args=[current_tenant_id()]))
