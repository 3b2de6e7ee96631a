"""The list of tenants in the admin: who they are, how they do, what they may, and suspending."""

import re
import zoneinfo
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import validate_host
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextInputWidget,
)

from tenants.admin_look_inside import LooksInside
from tenants.admin_members import invitation_page
from tenants.admin_pages import (
    ScopedAdmin,
    ScopedForm,
    action,
    ago,
    display,
    form_page,
    in_a_tenant,
)
from tenants.export_models import TenantExport
from tenants.exports import ExportUnderWay, ask_for_export
from tenants.invitations import make_tenant
from tenants.models import DOMAIN, Tenant
from tenants.refusals import sentence
from tenants.suspension import lift_suspension, suspend_tenant
from tenants.usage_models import TenantUsage

# Carries an owner's invitation from saving to answering.
_INVITATION = "hostmeter.invitation"
_FIGURES = ("hosts", "late_hosts", "samples_per_minute", "storage_bytes", "last_batch_at",
            "waiting_buckets", "open_jobs", "counted_at")  # fmt: skip
_DAYS_SHOWN = 31
_DAY_HEADERS = ("Day", "Hosts", "Late hosts", "Applications", "Samples in all", "Storage, about")
_COUNTED_LATE_AFTER = timedelta(minutes=30)


class ZoneField(forms.ChoiceField):
    """One of the IANA time zones."""

    def __init__(self, **options: Any) -> None:
        names = sorted(zoneinfo.available_timezones())
        widget = UnfoldAdminSelect2Widget(choices=[(name, name) for name in names])
        super().__init__(choices=[(name, name) for name in names], widget=widget, **options)


class TenantForm(ScopedForm):
    """A tenant; a new one names its owner, who then invites everyone else."""

    time_zone = ZoneField(initial="UTC")
    owner = forms.EmailField(
        required=False,
        widget=UnfoldAdminEmailInputWidget,
        help_text="Who runs the tenant and adds its other members.",
    )

    class Meta:
        model = Tenant
        fields = (
            "name", "slug", "domain", "currency", "time_zone", "mail_sender_name",
            "mail_sender_address", "hosts_max", "samples_per_second_max", "retention_days",
        )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "owner" in self.fields:
            self.fields["owner"].required = self.instance._state.adding

    def clean_domain(self) -> str | None:
        # Empty is no name: two tenants may have none.
        domain = str(self.cleaned_data["domain"] or "").lower() or None
        is_name = re.fullmatch(DOMAIN, domain or "")
        if is_name and validate_host(is_name.string, settings.ALLOWED_HOSTS):
            raise forms.ValidationError(
                "That is a name of the installation itself (ALLOWED_HOSTS); take another."
            )
        return domain

    def clean_retention_days(self) -> int | None:
        days: int | None = self.cleaned_data["retention_days"]
        if days is not None and days > settings.SAMPLE_RETENTION_DAYS:
            raise forms.ValidationError(
                f"The installation keeps samples for {settings.SAMPLE_RETENTION_DAYS} days; a "
                "tenant's may be kept shorter, not longer (SAMPLE_RETENTION_DAYS)."
            )
        return days


class SuspendForm(forms.Form):
    """Why; its people read it."""

    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its operators and customers read this. Such as: An invoice of ours is unpaid.",
    )


class StateFilter(admin.SimpleListFilter):
    """Tenants that need a look."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("late", "with late hosts"), ("suspended", "suspended")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "late":
            return queryset.filter(usage_late_hosts__gt=0)
        if self.value() == "suspended":
            return queryset.filter(suspended_at__isnull=False)
        return queryset


@admin.register(Tenant)
class TenantAdmin(LooksInside, ScopedAdmin):
    form = TenantForm
    empty_hint = "Add the first hosting provider; its owner then sets everything else up."
    list_display = (
        "name", "state", "hosts", "rate", "storage", "last_batch", "backlog", "counted",
    )  # fmt: skip
    list_filter = (StateFilter,)
    search_fields = ("name", "slug", "domain")
    actions_detail: tuple[str, ...] = ("look_inside", "export", "suspend", "lift")
    readonly_fields: ClassVar[Any] = ("state",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Tenant]":
        newest = TenantUsage.objects.filter(tenant=OuterRef("pk")).order_by("-day")
        tenants: QuerySet[Tenant] = super().get_queryset(request)
        return tenants.annotate(
            **{f"usage_{name}": Subquery(newest.values(name)[:1]) for name in _FIGURES}
        )

    @display(description="State", label={"active": "success", "suspended": "danger"})
    def state(self, tenant: Tenant) -> str:
        return "suspended" if tenant.is_suspended else "active"

    @display(description="Hosts", ordering="usage_hosts")
    def hosts(self, tenant: Any) -> str:
        if tenant.usage_hosts is None:
            return "-"
        of = "" if tenant.hosts_max is None else f" of {tenant.hosts_max}"
        late = f", {tenant.usage_late_hosts} late" if tenant.usage_late_hosts else ""
        return f"{tenant.usage_hosts}{of}{late}"

    @display(description="Samples a second", ordering="usage_samples_per_minute")
    def rate(self, tenant: Any) -> str:
        if tenant.usage_samples_per_minute is None:
            return "-"
        whole, rest = divmod(tenant.usage_samples_per_minute, 60)
        of = tenant.samples_per_second_max
        return f"{whole:,}.{rest // 6}" + ("" if of is None else f" of {of:,}")

    @display(description="Storage, about", ordering="usage_storage_bytes")
    def storage(self, tenant: Any) -> str:
        stored = tenant.usage_storage_bytes
        return "-" if stored is None else filesizeformat(stored)

    @display(description="Last batch", ordering="usage_last_batch_at")
    def last_batch(self, tenant: Any) -> str:
        return ago(tenant.usage_last_batch_at, timezone.now())

    @display(description="Open jobs", ordering="usage_open_jobs")
    def backlog(self, tenant: Any) -> str:
        if tenant.usage_open_jobs is None:
            return "-"
        return f"{tenant.usage_open_jobs} billing, {tenant.usage_waiting_buckets:,} roll-ups"

    @display(description="Counted", ordering="usage_counted_at")
    def counted(self, tenant: Any) -> str:
        now = timezone.now()
        late = tenant.usage_counted_at and now - tenant.usage_counted_at > _COUNTED_LATE_AFTER
        return f"{ago(tenant.usage_counted_at, now)}{' (is the worker running?)' if late else ''}"

    @display(description="Counted each day (UTC)")
    def days(self, tenant: Tenant) -> str:
        newest = TenantUsage.objects.filter(tenant=tenant).order_by("-day")[:_DAYS_SHOWN]
        rows = [
            [
                f"{each.day:%Y-%m-%d}", each.hosts, each.late_hosts, each.applications,
                f"{each.samples:,}", filesizeformat(each.storage_bytes),
            ]
            for each in newest
        ]  # fmt: skip
        table = {"headers": _DAY_HEADERS, "rows": rows}
        return render_to_string(
            "admin/hostmeter/figures.html",
            {"tables": [("", table)] if rows else [], "nothing": "Not counted yet."},
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        # The list of tenants is written from outside all of them.
        may_add: bool = request.user.has_perm("tenants.add_tenant")
        return may_add and not in_a_tenant(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not in_a_tenant(request) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_suspend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        who = ["name", "slug", "domain", "currency", "time_zone"]
        who += ["mail_sender_name", "mail_sender_address"]
        limits = ("hosts_max", "samples_per_second_max", "retention_days")
        if obj is None:
            return [(None, {"fields": [*who, "owner"]}), ("Limits", {"fields": limits})]
        reason = ["suspended_at", "suspended_for"] if obj.is_suspended else []
        return [
            (None, {"fields": ["state", *reason, *who]}),
            ("Limits", {"fields": limits}),
            ("Its last days", {"fields": ("newest_export", "days")}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("state", "suspended_at", "suspended_for", "newest_export", "days")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        tenant = self.get_object(request, object_id)
        unwanted = "suspend" if tenant is None or tenant.is_suspended else "lift"
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in offered if each.method.__name__ != unwanted]

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        email = form.cleaned_data["owner"]
        request.META[_INVITATION] = (email, make_tenant(obj, email, as_of=timezone.now()))

    def response_add(
        self, request: HttpRequest, obj: Tenant, post_url_continue: str | None = None
    ) -> HttpResponse:
        return invitation_page(self, request, *request.META.pop(_INVITATION))

    @display(description="Newest export of everything")
    def newest_export(self, tenant: Tenant) -> str:
        export = TenantExport.objects.filter(tenant=tenant).order_by("-created_at").first()
        if export is None:
            return "-"
        if export.failure:
            return f"failed, and is tried again: {export.failure}"
        if export.finished_at is None:
            return f"{export.parts_done:,} of {export.parts:,} parts"
        return f"ready for its owners since {timezone.localtime(export.finished_at):%Y-%m-%d %H:%M}"

    @action(description="Export everything", permissions=["suspend"], url_path="export")
    def export(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return _to_list()
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title=f"Export everything of {tenant}?",
                text="Its customers' data is in it, so that only the tenant's own owners can "
                "download it, in their admin, for a week. On the machine there is the command "
                f"manage.py export_tenant --tenant {tenant.slug}.",
                submit="Begin",
            )
        try:
            ask_for_export(tenant.pk, str(request.user))
        except ExportUnderWay as refusal:
            messages.info(request, sentence(refusal))
        else:
            self.log_change(request, tenant, "Asked for an export of everything.")
            messages.success(request, "It has begun; this page shows how far it is.")
        return _page_of(tenant)

    @action(description="Suspend", permissions=["suspend"], url_path="suspend")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return _to_list()
        form = SuspendForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            reason = form.cleaned_data["reason"]
            suspend_tenant(tenant, reason, as_of=timezone.now())
            self.log_change(request, tenant, f"Suspended: {reason}")
            messages.success(request, f"{tenant} is suspended; its usage goes on being stored.")
            return _page_of(tenant)
        return form_page(
            self,
            request,
            form,
            title=f"Suspend {tenant}?",
            text="Its admin, portal and API refuse from now on, and no host is added. Its hosts go "
            "on delivering, so nothing is lost; invoices wait and are made once you lift it.",
            submit="Suspend",
        )

    @action(description="Lift the suspension", permissions=["suspend"], url_path="lift")
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is None:
            return _to_list()
        if request.method == "POST":
            lift_suspension(tenant)
            self.log_change(request, tenant, "Suspension lifted.")
            messages.success(request, f"{tenant} works again. What waited is done within minutes.")
            return _page_of(tenant)
        return form_page(
            self,
            request,
            forms.Form(),
            title=f"Lift the suspension of {tenant}?",
            text=f"It was suspended for: {tenant.suspended_for}",
            submit="Lift it",
        )


def _page_of(tenant: Tenant) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:tenants_tenant_change", args=[tenant.pk]))


def _to_list() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:tenants_tenant_changelist"))
