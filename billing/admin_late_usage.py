"""Late usage in the admin: what waits to be billed, and what came too late."""

from datetime import datetime

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from billing.admin_invoice_rating import say_how_restating_went
from billing.admin_invoices import link_to
from billing.closing import restate_now
from billing.models import LateUsage
from tenants.admin_pages import ActionsAdmin, chosen_again, display, form_page
from tenants.scope import current_tenant_id


@admin.register(LateUsage)
class LateUsageAdmin(ActionsAdmin):
    """What changed of invoiced periods and is on no document yet."""

    empty_hint = "Usage that changes after its period's invoice was made is listed here."
    list_display = ("what_changed", "hour", "shown_invoice", "noted_at", "outcome")
    list_filter = (("refused_at", admin.EmptyFieldListFilter), "application")
    list_select_related = ("application", "invoice")
    date_hierarchy = "hour"
    actions = ("accept",)

    @admin.action(description="Bill what was refused after all", permissions=["change"])
    def accept(self, request: HttpRequest, late: "QuerySet[LateUsage]") -> HttpResponse | None:
        refused = late.filter(refused_at__isnull=False)
        chosen = list(refused.select_related("invoice__customer", "application"))
        if not chosen:
            messages.info(request, "None of those chosen was refused; they are billed anyway.")
            return None
        if "confirmed" not in request.POST:
            return self._question(request, chosen)
        ids = {each.invoice_id for each in chosen}
        outcome = restate_now(
            current_tenant_id(),
            as_of=timezone.now(),
            wanted=lambda each: each.pk in ids,
            also_refused=True,
        )
        say_how_restating_went(self, request, outcome)
        return None

    def _question(self, request: HttpRequest, chosen: list[LateUsage]) -> HttpResponse:
        invoices = {each.invoice_id: each.invoice for each in chosen}
        return form_page(
            self,
            request,
            forms.Form(),
            title="Bill usage that came too late?",
            text="A period is rated as a whole: all that was refused of it is billed, also what "
            "you have not chosen, by a note or on the next invoice, as your billing settings say.",
            objects=[f"{each} of {each.customer}" for each in invoices.values()],
            hidden=chosen_again("accept", chosen),
            submit="Bill it",
        )

    @display(description="Usage of", ordering="application__name")
    def what_changed(self, late: LateUsage) -> str:
        return "an earlier period" if late.application is None else late.application.name

    @display(description="Period of", ordering="invoice__number")
    def shown_invoice(self, late: LateUsage) -> SafeString:
        return link_to(late.invoice)

    @display(description="Outcome", ordering="refused_at")
    def outcome(self, late: LateUsage) -> str:
        if late.refused_at is not None:
            return (
                f"refused {_day(late.refused_at)}: past your deadline for late usage; billed only "
                "if you say so, or another change has the period rated again"
            )
        if late.accepted_at is not None:
            return f"to be billed, though it came past your deadline: {_day(late.accepted_at)}"
        return "to be billed"


def _day(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d}"
