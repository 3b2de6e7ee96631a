"""The installation's owner looks inside a tenant: with a reason, for a while, reading only."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.admin_pages import ScopedAdmin, action, form_page, in_a_tenant
from tenants.audit import acting, origin_of
from tenants.impersonation import REASON_MAX, begin
from tenants.middleware import VISITED_TENANT_KEY
from tenants.scope import tenant_scope


class LookInsideForm(forms.Form):
    """Why the installation's owner reads a tenant's data."""

    reason = forms.CharField(
        label="Why",
        max_length=REASON_MAX,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as the number of their request. The tenant reads it.",
    )


class LooksInside(ScopedAdmin):
    """The pages of tenants, with a way into one."""

    actions_detail: tuple[str, ...] = ("look_inside",)

    def has_look_inside_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False)) and not in_a_tenant(request)

    @action(
        description="Look inside",
        icon="visibility",
        permissions=["look_inside"],
        url_path="look-inside",
    )
    def look_inside(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return HttpResponseRedirect(reverse("admin:tenants_tenant_changelist"))
        form = LookInsideForm(request.POST or None)
        if not (request.method == "POST" and form.is_valid()):
            return form_page(
                self,
                request,
                form,
                title=f"Look inside {tenant}?",
                text="You read the tenant's admin for 60 minutes and change nothing. Who looked, "
                "when and why stands in the tenant's audit log.",
                submit="Look inside",
            )
        with tenant_scope(tenant.pk), acting(origin_of(request)):
            begun = begin(
                request.user,  # type: ignore[arg-type]
                None,
                form.cleaned_data["reason"],
                as_of=timezone.now(),
            )
        request.session[VISITED_TENANT_KEY] = f"{tenant.pk}/{begun.pk}"
        return HttpResponseRedirect(reverse("admin:index"))
