"""Dunning in the admin: its schedule, what holds it for an invoice, and who is suspended."""

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin_invoice_asking import InvoiceQuestions
from billing.models import DunningAction, DunningStep, Invoice, Suspension
from billing.operations.dunning import hold_dunning, resume_dunning
from billing.operations.suspending import end_suspension
from tenants.admin_pages import ActionsAdmin, ScopedAdmin, action, display, form_page, in_a_tenant

_USUAL: Final = (
    (DunningAction.REMIND, 1, 3),
    (DunningAction.COLLECT, 1, 1),
    (DunningAction.COLLECT, 2, 5),
    (DunningAction.COLLECT, 3, 12),
    (DunningAction.REMIND, 2, 10),
    (DunningAction.REMIND, 3, 21),
)


class HoldForm(forms.Form):
    """Why an invoice is not dunned for a while."""

    reason = forms.CharField(
        max_length=300,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="For your colleagues; the customer does not see it.",
    )


class DunningActions(InvoiceQuestions):
    """For the invoices' admin."""

    @action(description="Hold dunning", permissions=["finalize"], url_path="hold-dunning")
    def hold_dunning_of_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def hold(invoice: Invoice, given: dict[str, Any]) -> str:
            author = str(request.user)
            hold_dunning(invoice, given["reason"], author=author, as_of=timezone.now())
            return "Dunning is held until you resume it."

        return self.ask(
            request,
            object_id,
            HoldForm,
            hold,
            title="Hold dunning?",
            text="The customer is not reminded, nothing is collected by itself and nobody is "
            "suspended for this invoice until you resume it.",
            submit="Hold",
        )

    @action(description="Resume dunning", permissions=["finalize"], url_path="resume-dunning")
    def resume_dunning_of_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def resume(invoice: Invoice, _: dict[str, Any]) -> str:
            resumed = resume_dunning(invoice, as_of=timezone.now())
            return "Dunning goes on." if resumed else "Dunning was not held by hand."

        return self.ask(
            request,
            object_id,
            forms.Form,
            resume,
            title="Resume dunning?",
            text="Days are counted on from where they stood when it was held.",
            submit="Resume",
        )


@admin.register(DunningStep)
class DunningStepAdmin(ScopedAdmin):
    empty_hint = (
        "Nothing happens by itself to invoices that are not paid. Add steps, or take the usual "
        "ones and change them."
    )
    list_display = ("days_after_due", "action", "number")
    list_display_links = ("days_after_due", "action")
    list_filter = ("action",)
    search_fields = ("action",)
    fields = ("action", "number", "days_after_due")
    actions_list = ("use_the_usual",)

    def has_usual_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("billing.add_dunningstep")

    @action(description="Use the usual steps", permissions=["usual"], url_path="usual")
    def use_the_usual(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title="Use the usual steps?",
                text="Collecting is tried again after 1, 5 and 12 days, and reminders go out after "
                "3, 10 and 21. Nobody is suspended. Steps that you have stay as they are.",
                submit="Use them",
            )
        for step, number, days in _USUAL:
            DunningStep.objects.get_or_create(
                action=step, number=number, defaults={"days_after_due": days}
            )
        messages.success(request, "The usual steps are in place.")
        return HttpResponseRedirect(reverse("admin:billing_dunningstep_changelist"))


class OpenFilter(admin.SimpleListFilter):
    """Those that hold, or those that are over."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "suspended"), ("over", "over")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"open", "over"}:
            return queryset.filter(ends_at__isnull=self.value() == "open")
        return queryset


@admin.register(Suspension)
class SuspensionAdmin(ActionsAdmin):
    empty_hint = "Nobody is suspended. A dunning step suspends customers, if you add one."
    list_display = ("customer", "invoice", "state", "starts_at", "ends_at", "ended_because")
    list_filter = (OpenFilter,)
    list_select_related = ("customer", "invoice")
    search_fields = ("customer__name", "customer__reference")
    fields = ("customer", "invoice", "state", "starts_at", "ends_at", "ended_because")
    readonly_fields = fields
    actions = ("lift",)

    @display(description="State", label={"suspended": "danger", "over": "info"})
    def state(self, suspension: Suspension) -> str:
        return "suspended" if suspension.ends_at is None else "over"

    @admin.action(description="Lift", permissions=["change"])
    def lift(self, request: HttpRequest, chosen: "QuerySet[Suspension]") -> None:
        lifted = 0
        for each in chosen.filter(ends_at__isnull=True):
            why = f"lifted by {request.user}"
            lifted += end_suspension(each.invoice, why, as_of=timezone.now())
            self.log_change(request, each, "Lifted.")
        messages.success(request, f"Lifted: {lifted}.")
