"""Exports of everything in the admin: asked for, watched and downloaded by the tenant's owners."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone

from billing.downloads import note_download
from billing.tenant_exports import KEPT_FOR, archive_of
from tenants.admin_pages import ReadOnlyAdmin, action, display, form_page
from tenants.export_models import TenantExport
from tenants.exports import ExportUnderWay, ask_for_export
from tenants.refusals import sentence
from tenants.scope import current_tenant_id


@admin.register(TenantExport)
class TenantExportAdmin(ReadOnlyAdmin):
    empty_hint = "Ask for one above; it holds all tables and documents, and no credential."
    list_display = ("created_at", "state", "progress", "size", "asked_by", "finished_at")
    fields = ("state", "progress", "size", "asked_by", ("created_at", "finished_at"), "failure")
    readonly_fields = (
        "state", "progress", "size", "asked_by", "created_at", "finished_at", "failure",
    )  # fmt: skip
    actions_list = ("ask",)
    actions_detail = ("download",)

    @display(
        description="State",
        label={"ready": "success", "being made": "info", "failed": "danger", "removed": "warning"},
    )
    def state(self, export: TenantExport) -> str:
        if export.finished_at is None:
            return "being made"
        if export.failure:
            return "failed"
        return "ready" if archive_of(current_tenant_id(), export.pk).exists() else "removed"

    @display(description="Done")
    def progress(self, export: TenantExport) -> str:
        return f"{export.parts_done:,} of {export.parts:,} parts" if export.parts else "waits"

    @display(description="Size")
    def size(self, export: TenantExport) -> str:
        return "-" if export.size_bytes is None else filesizeformat(export.size_bytes)

    def has_ask_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        # All customers' data is in it: only who may change everything may take it away.
        return request.user.has_perm("tenants.add_tenantexport")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_ask_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_ask_permission(request)

    @action(description="Ask for an export", icon="archive", permissions=["ask"], url_path="ask")
    def ask(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title="Export everything?",
                text="All tables as JSON lines and all issued documents, as one ZIP file. It is "
                f"made in the background and kept for {KEPT_FOR.days} days.",
                submit="Begin",
            )
        try:
            export = ask_for_export(current_tenant_id(), str(request.user))
        except ExportUnderWay as refusal:
            messages.info(request, sentence(refusal))
            return HttpResponseRedirect(reverse("admin:tenants_tenantexport_changelist"))
        self.log_addition(request, export, "Asked for an export of everything.")
        return _page(export)

    @action(description="Download", permissions=["ask"], url_path="download")
    def download(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        export = self.get_object(request, object_id)
        if export is None:
            return HttpResponseRedirect(reverse("admin:tenants_tenantexport_changelist"))
        archive = archive_of(current_tenant_id(), export.pk)
        if export.finished_at is None or not archive.exists():
            messages.info(request, "There is no file: it is still being made, or was removed.")
            return _page(export)
        self.log_change(request, export, "Downloaded.")
        note_download("everything", customer=None, as_of=timezone.now())
        answer = FileResponse(
            archive.open("rb"),
            as_attachment=True,
            filename=f"hostmeter-{export.created_at:%Y-%m-%d}.zip",
        )
        answer["Cache-Control"] = "no-store"
        return answer


def _page(export: TenantExport) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:tenants_tenantexport_change", args=[export.pk]))
