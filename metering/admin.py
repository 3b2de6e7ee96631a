"""Hosts in the admin; applications stand in admin_applications."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from metering import admin_applications  # noqa: F401 registers its pages
from metering.models import Host, HostKey, Instance
from metering.queries import HOST_SILENT_AFTER
from tenants.admin_pages import (
    MarkedAdmin,
    ReadOnlyInline,
    ago,
    chosen_again,
    display,
    form_page,
    in_words,
)


def silent_after(host: Host) -> timedelta:
    """How long the host may deliver nothing before it counts as silent."""
    policy = host.environment.policy
    return timedelta(seconds=policy.host_silent_after_seconds) if policy else HOST_SILENT_AFTER


def host_status(host: Host, as_of: datetime) -> str:
    """ "live", "silent", "generated", "no key" (it may not deliver) or "waiting" (nothing yet)."""
    if host.generated:
        return "generated"
    if not any(key.revoked_at is None for key in host.keys.all()):
        return "no key"
    if host.last_seen_at is None:
        return "waiting"
    return "silent" if as_of - host.last_seen_at > silent_after(host) else "live"


class HostInstances(ReadOnlyInline):
    model = Instance
    fields = ("application", "name", "first_seen_at")
    readonly_fields = fields
    verbose_name_plural = "instances"
    per_page = 20


@admin.register(Host)
class HostAdmin(MarkedAdmin):
    empty_hint = (
        "Hosts add themselves: issue an enrolment token under Access, then run "
        "hostmeter-agent enrol on the host."
    )
    list_display = ("name", "status", "last_seen", "lag", "environment")
    list_filter = ("environment", "generated")
    list_select_related = ("environment__policy",)
    search_fields = ("name", "environment__name")
    fields = ("name", "environment", "status", "last_seen", "lag", "known_to", "enrolled_at")
    readonly_fields = ("status", "last_seen", "lag", "known_to", "enrolled_at")
    inlines = (HostInstances,)
    actions = ("revoke_keys",)

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
        return "-" if lag is None or host.generated else in_words(lag)

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
        keys = HostKey.objects.filter(host__in=chosen, revoked_at__isnull=True)
        revoked = keys.update(revoked_at=timezone.now())
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
