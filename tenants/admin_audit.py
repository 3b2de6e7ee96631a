"""The tenant's audit log in the admin. It is read; the database refuses the rest."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from tenants.access_models import AuditEntry
from tenants.admin_pages import ReadOnlyAdmin, display
from tenants.audit import ACTIONS


class ActionFilter(admin.SimpleListFilter):
    """What was done, in words."""

    title = "what was done"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted(ACTIONS.items(), key=lambda each: each[1])

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    empty_hint = (
        "Sign-ins, invitations, roles, keys, changes of billing and downloads are noted here."
    )
    list_display = ("occurred_at", "who", "what", "subject", "customer", "reason", "address")
    list_filter = (ActionFilter, "customer")
    list_select_related = ("customer",)
    search_fields = ("actor", "subject", "reason")
    date_hierarchy = None
    fields = (
        "occurred_at",
        "who",
        "what",
        "subject",
        "customer",
        "reason",
        "details",
        "address",
        "user_agent",
        "impersonation",
    )
    readonly_fields = fields

    @display(description="Who", ordering="actor")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor or "Hostmeter"

    @display(description="What", ordering="action")
    def what(self, entry: AuditEntry) -> str:
        return ACTIONS.get(entry.action, entry.action)
