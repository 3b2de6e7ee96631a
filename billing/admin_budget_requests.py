"""What customers ask for at the limits of their budgets, in the admin: a person does it, and ticks
it off with a note."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin_budgets import figure
from billing.models import BudgetRequest
from billing.operations.budgets import RequestDecided, decide_request
from metering.stopping import RUNS, OnHost, where_it_runs
from tenants.admin_pages import (
    ReadOnlyAdmin,
    action,
    ago,
    chosen_again,
    display,
    form_page,
    in_a_tenant,
    in_words,
)


class DecisionForm(forms.Form):
    """What was done, for the customer to read."""

    note = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text="The customer reads it beside the alert.",
    )


@admin.register(BudgetRequest)
class BudgetRequestAdmin(ReadOnlyAdmin):
    empty_hint = (
        "Where a budget is used up whose customer wants you to be asked, or an application "
        "stopped, it is listed here. Nothing is stopped by itself."
    )
    list_display = ("budget", "customer", "kind", "status", "spent", "created_at", "decided_by")
    list_filter = ("state", "kind")
    list_select_related = ("alert__budget__customer", "alert__budget__application")
    search_fields = ("alert__budget__name", "alert__budget__customer__name")
    fields = ("budget", "customer", "application", "kind", "status", "spent", "created_at",
              "how_to_stop", "note", "decided_by", "decided_at")  # fmt: skip
    readonly_fields = fields
    actions = ("done", "decline")
    actions_detail = ("done_one", "decline_one")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        asked = self.get_object(request, object_id)
        if asked is None or asked.state != BudgetRequest.State.OPEN:
            return []
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("billing.change_budgetrequest")

    @display(description="Budget")
    def budget(self, asked: BudgetRequest) -> str:
        return asked.alert.budget.name

    @display(description="Customer")
    def customer(self, asked: BudgetRequest) -> Model:
        return asked.alert.budget.customer

    @display(description="Application")
    def application(self, asked: BudgetRequest) -> str:
        return str(asked.alert.budget.application or "-")

    @display(description="State", label={"open": "warning", "done": "success", "declined": "info"})
    def status(self, asked: BudgetRequest) -> str:
        return asked.state

    @display(description="Spent of")
    def spent(self, asked: BudgetRequest) -> str:
        alert = asked.alert
        spent, limit = figure(alert.spent, alert.budget), figure(alert.limit, alert.budget)
        return f"{spent} of {limit}"

    @display(description="How to stop it")
    def how_to_stop(self, asked: BudgetRequest) -> SafeString | str:
        """The commands for a person on each host. Hostmeter runs none of them."""
        application = asked.alert.budget.application
        if asked.kind != BudgetRequest.Kind.STOP or application is None:
            return "The customer has not asked for it to be stopped."
        if asked.state != BudgetRequest.State.OPEN:
            return "It is decided."
        now = timezone.now()
        found = where_it_runs(application, as_of=now)
        if not found.hosts:
            return f"It was metered on no host in the last {in_words(RUNS)}."
        shown = format_html_join(
            "", "<li>{}</li>", ((_on_host(each, now),) for each in found.hosts)
        )
        more = " It runs on further hosts." if found.more else ""
        return format_html(
            '<p>By hand, as root on each host: first see what it would hit, then stop it.</p>'
            '<ul class="bulleted ml-5">{}</ul><p>Then tick it off above.{}</p>', shown, more,
        )  # fmt: skip

    @action(description="Done", icon="task_alt", permissions=["decide"], url_path="done")
    def done_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide_one(request, object_id, BudgetRequest.State.DONE, "done")

    @action(description="Decline", icon="block", permissions=["decide"], url_path="decline")
    def decline_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide_one(request, object_id, BudgetRequest.State.DECLINED, "decline")

    @admin.action(description="Done", permissions=["decide"])
    def done(self, request: HttpRequest, chosen: "QuerySet[BudgetRequest]") -> HttpResponse | None:
        return self._decide(request, list(chosen), BudgetRequest.State.DONE, "done")

    @admin.action(description="Decline", permissions=["decide"])
    def decline(
        self, request: HttpRequest, chosen: "QuerySet[BudgetRequest]"
    ) -> HttpResponse | None:
        return self._decide(request, list(chosen), BudgetRequest.State.DECLINED, "decline")

    def _decide_one(
        self, request: HttpRequest, object_id: str, state: str, name: str
    ) -> HttpResponse:
        asked: BudgetRequest | None = self.get_object(request, object_id)
        if asked is None:
            return HttpResponseRedirect(reverse("admin:billing_budgetrequest_changelist"))
        page = self._decide(request, [asked], state, name)
        return page or HttpResponseRedirect(
            reverse("admin:billing_budgetrequest_change", args=[asked.pk])
        )

    def _decide(
        self, request: HttpRequest, asked: Sequence[BudgetRequest], state: str, name: str
    ) -> HttpResponse | None:
        """Asks for the note first; None once it is decided."""
        form = DecisionForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return form_page(
                *(self, request, form),
                title="Was this done?" if name == "done" else "Decline this?",
                text="Hostmeter stops nothing by itself: say here what you have done. The customer "
                "reads it in the portal, and gets it by e-mail where they want alerts so.",
                objects=[f"{each} ({each.alert.budget.customer})" for each in asked],
                hidden=chosen_again(name, asked),
                submit=name.capitalize(),
            )
        for each in asked:
            self._decided(request, each, state, form.cleaned_data["note"])
        return None

    def _decided(self, request: HttpRequest, asked: BudgetRequest, state: str, note: str) -> None:
        try:
            decide_request(
                asked, state, note=note, decided_by=str(request.user), as_of=timezone.now()
            )
        except RequestDecided as refusal:
            messages.error(request, f"{asked}: {refusal}.")
        else:
            self.log_change(request, asked, f"{state}. {note}".strip())
            messages.success(request, f"{asked}: {state}.")


def _on_host(each: OnHost, now: datetime) -> SafeString:
    seen = ago(each.seen_at, now)
    if not each.commands:
        return format_html("{} (seen {}): it is no program that can be stopped.", each.host, seen)
    commands = format_html_join(
        "",
        "<p>By {}:</p>" + 2 * '<pre class="hostmeter-command">{}</pre>',
        ((one.known_by, one.look, one.stop) for one in each.commands),
    )
    return format_html("<b>{}</b> (seen {}){}", each.host, seen, commands)
