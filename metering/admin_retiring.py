"""Hosts leave service and come back, from the hosts' list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from metering.models import Host
from metering.retiring import bring_back_hosts, retire_hosts
from metering.watch_models import HostNotice
from tenants.admin_pages import ago, chosen_again, form_page
from tenants.problems import Problem

if TYPE_CHECKING:
    from tenants.admin_pages import MarkedAdmin as _Pages
else:
    _Pages = object


class ServiceFilter(admin.SimpleListFilter):
    """In service or retired."""

    title = "service"
    parameter_name = "service"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("in", "In service"), ("retired", "Retired"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Host]") -> "QuerySet[Host]":
        if self.value() is None:
            return queryset
        return queryset.filter(retired_at__isnull=self.value() != "retired")


class NoticeFilter(admin.SimpleListFilter):
    """What was noticed of hosts and goes on."""

    title = "noticed"
    parameter_name = "noticed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("silent", "Fell silent"), ("outdated", "Agent is too old"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Host]") -> "QuerySet[Host]":
        if self.value() is None:
            return queryset
        noticed = HostNotice.objects.filter(kind=self.value(), over_at=None)
        return queryset.filter(pk__in=noticed.values("host"))


class RetiringActions(_Pages):
    """The two actions, for the hosts' admin."""

    @admin.action(description="Retire: out of service for good", permissions=["change"])
    def retire(self, request: HttpRequest, hosts: "QuerySet[Host]") -> HttpResponse | None:
        chosen = list(hosts)
        if "confirmed" not in request.POST:
            return self._retire_page(request, chosen)
        retired = retire_hosts([host.pk for host in chosen], as_of=timezone.now())
        messages.success(request, f"Retired: {retired}. Nobody waits for their usage any more.")
        return None

    def _retire_page(self, request: HttpRequest, chosen: Sequence[Host]) -> HttpResponse:
        now = timezone.now()
        return form_page(
            self,
            request,
            forms.Form(),
            title="Retire these hosts?",
            text="Their keys are revoked: within a minute whatever their agents still send is "
            "refused, and stays with the agent. Their usage up to now stays and is billed; they "
            "no longer count as silent. On the host, hostmeter-agent uninstall delivers what is "
            "left: do that first. You can bring a host back.",
            objects=[f"{host}: last seen {ago(host.last_seen_at, now)}" for host in chosen],
            hidden=chosen_again("retire", chosen),
            submit="Retire",
        )

    @admin.action(description="Bring back into service", permissions=["change"])
    def bring_back(self, request: HttpRequest, hosts: "QuerySet[Host]") -> None:
        try:
            back = bring_back_hosts([host.pk for host in hosts])
        except Problem as no_room:
            messages.error(request, str(no_room))
            return
        messages.success(request, f"Back in service: {back}. Their agents deliver as before.")
