"""Hosts in the admin; applications stand in admin_applications."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from metering import (  # noqa: F401 register their pages
    admin_applications,
    admin_breaches,
    admin_corrections,
    admin_environments,
    admin_policies,
)
from metering.admin_allocation import AllocationPages
from metering.admin_control import ControlPages, HostKeys
from metering.admin_credentials import CredentialPages
from metering.admin_enrolment import EnrolmentPages, first_batch_in_words, key_age_in_words
from metering.admin_retiring import NoticeFilter, RetiringActions, ServiceFilter
from metering.host_keys import revoke_keys
from metering.host_state import host_status
from metering.models import Host, Instance
from tenants.admin_history import HistoryPages
from tenants.admin_pages import (
    MarkedAdmin,
    ReadOnlyInline,
    ago,
    chosen_again,
    display,
    form_page,
    in_words,
)


class HostInstances(ReadOnlyInline):
    model = Instance
    fields = ("application", "name", "first_seen_at")
    readonly_fields = fields
    verbose_name_plural = "instances"
    per_page = 20


@admin.register(Host)
class HostAdmin(
    CredentialPages,
    HistoryPages,
    AllocationPages,
    ControlPages,
    EnrolmentPages,
    RetiringActions,
    MarkedAdmin,
):
    empty_hint = (
        "Add a host shows one command to run on it, which installs the agent, enrols the host and "
        "begins to deliver."
    )
    list_display = (
        "name", "status", "last_seen", "lag", "key_age", "environment", "clock", "agent",
        "settings",
    )  # fmt: skip
    list_filter = (ServiceFilter, NoticeFilter, "environment", "generated")
    list_select_related = ("environment__policy",)
    search_fields = ("name", "environment__name")
    readonly_fields = (
        "status", "last_seen", "lag", "known_to", "enrolled_at", "first_batch", "retired_at",
        "clock", "agent", "settings", "told_errors", "told_probes", "told_at",
    )  # fmt: skip
    fields = (
        "name", "environment", ("region", "host_class"), ("cpu_count", "memory_bytes"),
        *readonly_fields,
    )  # fmt: skip
    inlines = (HostKeys, HostInstances)
    actions = ("retire", "bring_back", "revoke_keys")
    actions_list = ("enrol",)
    actions_detail = ("allocation",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        is_retired = obj is not None and obj.retired_at is not None
        return [field for field in fields if is_retired or field != "retired_at"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Host]":
        return super().get_queryset(request).prefetch_related("keys")

    @display(
        description="Status",
        label={
            "live": "success",
            "silent": "danger",
            "no key": "danger",
            "waiting": "warning",
            "generated": "info",
            "retired": "info",
        },
    )
    def status(self, host: Host) -> str:
        return host_status(host, timezone.now())

    @display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, host: Host) -> str:
        return ago(host.last_seen_at, timezone.now())

    @display(description="Lag", ordering="last_window_end")
    def lag(self, host: Host) -> str:
        lag = host.lag(timezone.now())
        waited_for = not host.generated and host.retired_at is None
        return in_words(lag) if lag is not None and waited_for else "-"

    @display(description="Key's age")
    def key_age(self, host: Host) -> str:
        return key_age_in_words(host)

    @display(description="First batch")
    def first_batch(self, host: Host) -> str:
        return first_batch_in_words(host)

    @display(description="Usage known up to")
    def known_to(self, host: Host) -> str:
        # On a host's own page Django would write a method's moment out in UTC.
        return str(display_for_value(host.last_window_end, "-"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Revoke the keys: it may deliver no more", permissions=["change"])
    def revoke_keys(self, request: HttpRequest, hosts: "QuerySet[Host]") -> HttpResponse | None:
        chosen = list(hosts)
        if "confirmed" not in request.POST:
            return self._revoke_page(request, chosen)
        revoked = revoke_keys([host.pk for host in chosen], as_of=timezone.now())
        messages.success(
            request, f"Keys revoked: {revoked}. Within a minute the hosts are turned away."
        )
        return None

    def _revoke_page(self, request: HttpRequest, chosen: Sequence[Host]) -> HttpResponse:
        return form_page(
            self,
            request,
            forms.Form(),
            title="Revoke the keys?",
            text="Within a minute these hosts are turned away. What they measure from then on is "
            "not billed until they are enrolled again.",
            objects=[f"{host}: {host_status(host, timezone.now())}" for host in chosen],
            hidden=chosen_again("revoke_keys", chosen),
            submit="Revoke",
        )
