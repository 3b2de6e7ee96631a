"""What agents are to do, in the admin, and what each host made of it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from metering.control import desired_states, is_too_old
from metering.control_models import AgentSettings, AppliedState
from metering.core.desired_state import DesiredState
from metering.host_state import key_state
from metering.models import Host, HostKey
from tenants.admin_history import HistoryPages
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    ago,
    display,
    form_page,
    in_words,
)

if TYPE_CHECKING:
    from tenants.admin_pages import MarkedAdmin as _Pages
else:
    _Pages = object

SKEW_WARNED = timedelta(seconds=5)


def clock_in_words(host: Host) -> str:
    """How far the host's clock is off, and whether that is too much."""
    if host.clock_skew_ms is None:
        return "-"
    skew = timedelta(milliseconds=abs(host.clock_skew_ms))
    if skew < timedelta(seconds=1):
        return "right"
    side = "ahead" if host.clock_skew_ms > 0 else "behind"
    words = f"{skew.total_seconds():.1f} s {side}"
    return f"{words}: set it" if skew >= SKEW_WARNED else words


def settings_status(applied: AppliedState | None, desired: DesiredState) -> str:
    """ "applied", "refused", "pending" (it has not fetched them yet) or "none" (it never did)."""
    if applied is None:
        return "none"
    if applied.etag != desired.etag:
        return "pending"
    return "refused" if applied.refused else "applied"


def agent_in_words(applied: AppliedState | None, desired: DesiredState, as_of: datetime) -> str:
    """The agent's version, and whether that is below the minimum."""
    if applied is None:
        return "-"
    if not is_too_old(applied.agent_version, desired):
        return applied.agent_version
    wanted = f"{applied.agent_version}, older than {desired.minimum_version}"
    by = desired.minimum_version_by
    if by is None:
        return wanted
    when = f"{timezone.localtime(by):%Y-%m-%d %H:%M}"
    return f"{wanted}, due since {when}" if by <= as_of else f"{wanted}, due by {when}"


class HostKeys(ReadOnlyInline):
    """What a host signs with. Only public parts are known here."""

    model = HostKey
    fields = ("short_id", "state", "age", "expires", "revoking")
    readonly_fields = fields
    verbose_name_plural = "keys"
    ordering = ("-created_at",)
    per_page = 20

    @display(description="Key")
    def short_id(self, key: HostKey) -> str:
        # Before the dot stands the tenant, in all of them.
        return key.key_id.rpartition(".")[2]

    @display(
        description="Status",
        label={
            "valid": "success",
            "not used yet": "info",
            "expiring": "warning",
            "expired": "danger",
            "revoked": "danger",
        },
    )
    def state(self, key: HostKey) -> str:
        return key_state(key, timezone.now())

    @display(description="Age")
    def age(self, key: HostKey) -> str:
        return in_words(timezone.now() - key.created_at)

    @display(description="Expires")
    def expires(self, key: HostKey) -> str:
        now = timezone.now()
        if key.expires_at is None or key.revoked_at is not None:
            return "-"
        return f"in {in_words(key.expires_at - now)}" if now < key.expires_at else "expired"

    @display(description="Revoke")
    def revoking(self, key: HostKey) -> SafeString | str:
        if not key.is_valid(timezone.now()):
            return "-"
        page = reverse("admin:metering_host_revoke_key", args=[key.host_id, key.pk])
        return format_html('<a href="{}" class="underline">Revoke</a>', page)


class ControlPages(_Pages):
    """What the hosts' admin shows of agents: settings, version, clock, keys one by one."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        _look_at(changes.result_list)
        return changes

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        host = super().get_object(request, object_id, from_field)
        if host is not None:
            _look_at([host])
        return host

    @display(
        description="Settings",
        label={"applied": "success", "pending": "warning", "refused": "danger"},
    )
    def settings(self, host: Any) -> str:
        return settings_status(host.told, host.desired)

    @display(description="Agent")
    def agent(self, host: Any) -> str:
        return agent_in_words(host.told, host.desired, timezone.now())

    @display(description="Clock")
    def clock(self, host: Host) -> str:
        return clock_in_words(host)

    @display(description="The agent says")
    def told_errors(self, host: Any) -> str:
        return "; ".join(host.told.errors) if host.told is not None and host.told.errors else "-"

    @display(description="Probes")
    def told_probes(self, host: Any) -> str:
        probes = host.told.probes if host.told is not None else {}
        return "; ".join(f"{name}: {words}" for name, words in sorted(probes.items())) or "-"

    @display(description="Reported")
    def told_at(self, host: Any) -> str:
        return ago(host.told.reported_at if host.told is not None else None, timezone.now())

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "<uuid:host_id>/keys/<uuid:key_id>/revoke/",
            self.admin_site.admin_view(self.revoke_key),
            name="metering_host_revoke_key",
        )
        return [page, *super().get_urls()]

    def revoke_key(self, request: HttpRequest, host_id: UUID, key_id: UUID) -> HttpResponse:
        """Revoke one key of a host; the others stay."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        key = HostKey.objects.select_related("host").filter(host_id=host_id, pk=key_id).first()
        if key is None:
            raise Http404("There is no such key.")
        now = timezone.now()
        if request.method == "POST":
            HostKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now)
            messages.success(request, "Key revoked. Within a minute it is turned away.")
            return HttpResponseRedirect(reverse("admin:metering_host_change", args=[host_id]))
        others = any(other.is_valid(now) for other in key.host.keys.exclude(pk=key.pk))
        text = "Within a minute nothing that is signed with it is taken. "
        text += (
            "The host has another valid key."
            if others
            else "The host has no other: what it measures is not billed until it enrols again."
        )
        return form_page(
            self, request, forms.Form(), title="Revoke the key?", text=text,
            objects=[f"{key.host}: {key.key_id.rpartition('.')[2]}"], submit="Revoke",
        )  # fmt: skip


def _look_at(hosts: Iterable[Any]) -> None:
    """What each host is to do, and what it said last, as attributes `desired` and `told`."""
    hosts = list(hosts)
    states = desired_states(hosts, as_of=timezone.now())
    told = {row.host_id: row for row in AppliedState.objects.filter(host__in=hosts)}
    for host in hosts:
        host.desired, host.told = states[host.pk], told.get(host.pk)


@admin.register(AgentSettings)
class AgentSettingsAdmin(HistoryPages, ScopedAdmin):
    empty_hint = (
        "Agents go by their own file and defaults. Add settings to have all of them, an "
        "environment's or one host's do otherwise."
    )
    list_display = ("scope", "scrape_interval_seconds", "minimum_agent_version", "rule_count")
    list_select_related = ("environment", "host")
    search_fields = ("environment__name", "host__name")
    fields = (
        "environment", "host", "scrape_interval_seconds", "own_cgroups", "probes_off",
        "key_rotation_days", "minimum_agent_version", "minimum_version_by", "rules",
    )  # fmt: skip

    @display(description="For")
    def scope(self, row: AgentSettings) -> str:
        return str(row)

    @display(description="Rules")
    def rule_count(self, row: AgentSettings) -> int:
        return len(row.rules)
