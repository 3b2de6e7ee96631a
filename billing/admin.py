"""Invoices in the admin; plans stand in admin_plans, what is agreed in admin_contracts."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import admin_contracts, admin_plans, admin_runs  # noqa: F401 register their pages
from billing.amounts import written_amount
from billing.billable import billable_periods
from billing.core.periods import Period
from billing.models import Invoice, InvoiceLine
from billing.operations import (
    InvoiceAlreadyFinalized,
    UsageNotRolledUp,
    finalize_invoice,
    recompute_draft,
)
from billing.queries import changes_since_finalized
from metering.core.quality import written
from metering.queries import completeness
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    action,
    chosen_again,
    display,
    form_page,
    name_with_badge,
)


def shown_period(invoice: Invoice) -> str:
    """The period in the invoice's zone: its days, both included, or its instants where one of
    them is no midnight."""
    zone = ZoneInfo(invoice.time_zone)
    start, end = invoice.period_start.astimezone(zone), invoice.period_end.astimezone(zone)
    if start.time() == end.time() == time.min:
        return f"{start:%Y-%m-%d} to {end - timedelta(days=1):%Y-%m-%d}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} ({zone})"


def known_usage(invoice: Invoice, as_of: datetime) -> str:
    """How far the usage of an invoice's period is known, and who is silent."""
    period = Period(invoice.period_start, invoice.period_end)
    own = {usage.application_id for usage in billable_periods(invoice.customer, period)}
    known = completeness(as_of, list(own))
    if known.complete_to is None:
        facts = [] if known.silent_hosts else ["no host has delivered usage"]
    elif known.complete_to >= period.end:
        facts = ["usage is complete"]
    else:
        facts = [f"usage is known up to {_minute(known.complete_to)}"]
    for host in known.silent_hosts:
        since = "" if host.complete_to is None else f" since {_minute(host.complete_to)}"
        facts.append(f"{host.name} is silent{since}")
    return ", ".join(facts)


def _prospect(invoice: Invoice, as_of: datetime) -> str:
    """What finalizing it would rest on."""
    drafted = invoice.status == Invoice.Status.DRAFT
    return known_usage(invoice, as_of) if drafted else "finalized already"


def _minute(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


class LineInline(ReadOnlyInline):
    model = InvoiceLine
    fields = (
        "application_name",
        "environment_name",
        "label",
        "shown_quantity",
        "measured_how",
        "shown_amount",
        "explanation",
    )
    readonly_fields = fields
    verbose_name_plural = "lines"
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[InvoiceLine]":
        return super().get_queryset(request).select_related("invoice")

    @display(description="Quantity")
    def shown_quantity(self, line: InvoiceLine) -> str:
        return f"{line.quantity:,.4f} {line.unit}"

    @display(description="Measured")
    def measured_how(self, line: InvoiceLine) -> str:
        return written(line.provenance.measured)

    @display(description="Amount")
    def shown_amount(self, line: InvoiceLine) -> str:
        return written_amount(line.amount, line.invoice.currency)

    @display(description="How")
    def explanation(self, line: InvoiceLine) -> str:
        return "; ".join(str(step["words"]) for step in line.steps[2:])


@admin.register(Invoice)
class InvoiceAdmin(ScopedAdmin):
    empty_hint = (
        "A billing period's draft appears here within minutes after it has ended; until then the "
        "portal shows the customer a preview."
    )
    list_display = ("shown_number", "customer_name", "shown_period", "shown_total", "state")
    list_filter = ("status", "customer")
    list_select_related = ("customer",)
    search_fields = ("number", "customer__name", "customer__reference")
    date_hierarchy = "period_start"
    fields = (
        ("shown_number", "state"),
        ("billed_to", "customer_reference", "plan_label"),
        "shown_period",
        "shown_total",
        "changed_since",
        ("created_at", "finalized_at"),
    )
    readonly_fields = (
        "shown_number",
        "state",
        "billed_to",
        "customer_reference",
        "plan_label",
        "shown_period",
        "shown_total",
        "changed_since",
        "created_at",
        "finalized_at",
    )
    inlines = (LineInline,)
    actions = ("finalize", "recompute")
    actions_detail = ("finalize_one",)

    @display(description="Number", ordering="number")
    def shown_number(self, invoice: Invoice) -> str:
        return str(invoice.number or "draft")

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, invoice: Invoice) -> SafeString | str:
        return name_with_badge(invoice.billed_to, invoice.customer.generated)

    @display(description="Period", ordering="period_start")
    def shown_period(self, invoice: Invoice) -> str:
        return shown_period(invoice)

    @display(description="Total", ordering="total")
    def shown_total(self, invoice: Invoice) -> SafeString:
        amount = written_amount(invoice.total, invoice.currency)
        return format_html('<span class="whitespace-nowrap">{}</span>', amount)

    @display(description="Usage of this period has changed since")
    def changed_since(self, invoice: Invoice) -> str:
        changes = changes_since_finalized(invoice)
        if changes is None:
            return "no"
        sign = "+" if changes.amount >= 0 else ""
        return f"{sign}{written_amount(changes.amount, invoice.currency)}, not on this invoice"

    @display(
        description="Status", ordering="status", label={"draft": "warning", "finalized": "success"}
    )
    def state(self, invoice: Invoice) -> str:
        return invoice.status

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Without an object it is asked for the actions; an invoice is for reading.
        return obj is None and bool(super().has_change_permission(request, obj))

    def has_finalize_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        invoice = self.get_object(request, object_id)
        if invoice is None or invoice.status != Invoice.Status.DRAFT:
            return []
        actions: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return actions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Finalize: number them for good", permissions=["change"])
    def finalize(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> HttpResponse | None:
        chosen = list(invoices.order_by("period_start", "customer__name"))
        drafts = [each for each in chosen if each.status == Invoice.Status.DRAFT]
        if drafts and "confirmed" not in request.POST:
            return self._finalize_page(request, chosen, chosen_again("finalize", chosen))
        done = [self._finalize(request, draft) for draft in drafts].count(True)
        messages.info(request, f"Finalized: {done}, were so already: {len(chosen) - len(drafts)}.")
        return None

    @admin.action(description="Recompute drafts from the newest usage", permissions=["change"])
    def recompute(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        for invoice in invoices:
            try:
                draft = recompute_draft(invoice)
            except InvoiceAlreadyFinalized:
                messages.warning(request, f"{invoice} is finalized and stays as it is.")
            except UsageNotRolledUp as refusal:
                messages.error(request, f"{invoice} of {invoice.customer}: {refusal}.")
            else:
                messages.success(
                    request, f"{draft.customer}: {written_amount(draft.total, draft.currency)}"
                )

    @action(description="Finalize", permissions=["finalize"], url_path="finalize")
    def finalize_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.get_object(request, object_id)
        if invoice is None:
            return HttpResponseRedirect(reverse("admin:billing_invoice_changelist"))
        if invoice.status == Invoice.Status.DRAFT and request.method != "POST":
            return self._finalize_page(request, [invoice])
        self._finalize(request, invoice)
        return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=[invoice.pk]))

    def _finalize_page(
        self,
        request: HttpRequest,
        chosen: Sequence[Invoice],
        hidden: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        one, as_of = len(chosen) == 1, timezone.now()
        return form_page(
            self,
            request,
            forms.Form(),
            title="Finalize this invoice?" if one else f"Finalize {len(chosen)} invoices?",
            text="Each draft is rated once more from the newest usage, gets the next number and "
            "can never be changed afterwards.",
            objects=[
                f"{each.customer}: {shown_period(each)} ({_prospect(each, as_of)})"
                for each in chosen
            ],
            hidden=hidden,
            submit="Finalize",
        )

    def _finalize(self, request: HttpRequest, invoice: Invoice) -> bool:
        """Whether the invoice was finalized just now; a message says how it went."""
        as_of = timezone.now()
        try:
            done = finalize_invoice(invoice, as_of=as_of)
        except UsageNotRolledUp as refusal:
            messages.error(request, f"{invoice} of {invoice.customer}: {refusal}.")
            return False
        if done.finalized_at != as_of:
            messages.info(request, f"{done} is finalized already.")
            return False
        self.log_change(request, done, f"Finalized with number {done.number}.")
        messages.success(
            request,
            f"{done}: {done.customer}, {written_amount(done.total, done.currency)}",
        )
        return True
