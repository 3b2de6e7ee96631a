"""Invoices and notes in the admin: what they say, what they wait for, what is done with them."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.admin_bank_transfers import BankActions
from billing.admin_dunning import DunningActions
from billing.admin_invoice_actions import InvoiceActions, shown_period
from billing.admin_invoice_files import InvoiceFiles
from billing.admin_refunds import RefundActions
from billing.admin_reviews import MarkFilter, ReviewMarks, SeverityFilter
from billing.admin_rows import InvoiceRows
from billing.amounts import written_amount
from billing.core.exact import plain
from billing.models import DunningTaken, Invoice, InvoiceLine, InvoiceTax, Payment
from billing.queries import changes_since_finalized
from billing.waiting import what_it_waits_for
from metering.core.quality import written
from tenants.admin_import import Exports
from tenants.admin_pages import ActionsAdmin, ReadOnlyInline, display, name_with_badge

_BADGES = {
    "draft": "warning",
    "in review": "warning",
    "finalized": "success",
    "sent": "success",
    "paid": "success",
    "partly paid": "info",
    "overdue": "danger",
    "uncollectible": "danger",
}


def link_to(invoice: Invoice) -> SafeString:
    page = reverse("admin:billing_invoice_change", args=[invoice.pk])
    return format_html(
        '<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', page, invoice
    )


class ReviewFilter(admin.SimpleListFilter):
    """Drafts by how far they are."""

    title = "waits for"
    parameter_name = "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [
            ("drafts", "being issued: all drafts"),
            ("review", "the end of its review"),
            ("more", "usage, tax or an operator"),
            ("payment", "payment"),
            ("dunning", "payment, in dunning"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        if self.value() == "review":
            return queryset.filter(status=Invoice.Status.IN_REVIEW, review_until__gt=now)
        if self.value() == "drafts":
            return queryset.filter(finalized_at__isnull=True)
        if self.value() == "more":
            return queryset.filter(finalized_at__isnull=True).exclude(review_until__gt=now)
        if self.value() in {"payment", "dunning"}:
            waiting = ["finalized", "sent", "partly_paid", "overdue"]
            if self.value() == "dunning":
                queryset = queryset.filter(pk__in=DunningTaken.objects.values("invoice"))
            return queryset.filter(status__in=waiting).exclude(kind=Invoice.Kind.CREDIT_NOTE)
        return queryset


class LineInline(ReadOnlyInline):
    model = InvoiceLine
    fields = (
        "application_name",
        "environment_name",
        "label",
        "shown_quantity",
        "measured_how",
        "shown_tax",
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

    @display(description="Tax")
    def shown_tax(self, line: InvoiceLine) -> str:
        percent = "" if line.tax_percent is None else f" {plain(line.tax_percent)}%"
        return f"{line.tax_category}{percent}" or "-"

    @display(description="Amount")
    def shown_amount(self, line: InvoiceLine) -> str:
        return written_amount(line.amount, line.invoice.currency)

    @display(description="How")
    def explanation(self, line: InvoiceLine) -> str:
        windows = [
            f"{window['from']} to {window['to']}"
            f"{' (had been refused as too late)' if window.get('refused') else ''}"
            for window in line.facts.get("windows", [])
        ]
        changed = [f"changed: {', '.join(windows)}"] if windows else []
        corrected = dict.fromkeys(
            f"corrected by {each['author']}: {each['reason']}"
            for window in line.facts.get("windows", [])
            for each in window.get("corrections", [])
        )
        return "; ".join([*(str(step["words"]) for step in line.steps), *changed, *corrected])


class TaxInline(ReadOnlyInline):
    model = InvoiceTax
    fields = ("category", "shown_percent", "shown_taxable", "shown_tax", "reason")
    readonly_fields = fields
    verbose_name_plural = "taxes"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[InvoiceTax]":
        return super().get_queryset(request).select_related("invoice")

    @display(description="Percent")
    def shown_percent(self, tax: InvoiceTax) -> str:
        return f"{plain(tax.percent)}%"

    @display(description="Taxable")
    def shown_taxable(self, tax: InvoiceTax) -> str:
        return written_amount(tax.taxable, tax.invoice.currency)

    @display(description="Tax")
    def shown_tax(self, tax: InvoiceTax) -> str:
        return written_amount(tax.tax, tax.invoice.currency)


class DunningInline(ReadOnlyInline):
    model = DunningTaken
    fields = ("taken_at", "action", "number", "outcome")
    readonly_fields = fields


class PaymentInline(ReadOnlyInline):
    model = Payment
    fields = ("received_on", "reference", "shown_amount", "shown_credit")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Payment]":
        return super().get_queryset(request).select_related("invoice")

    @display(description="Received")
    def shown_amount(self, payment: Payment) -> str:
        return written_amount(payment.amount, payment.invoice.currency)

    @display(description="Of it to the customer's credit")
    def shown_credit(self, payment: Payment) -> str:
        return written_amount(payment.to_credit, payment.invoice.currency)


@admin.register(Invoice)
class InvoiceAdmin(
    ReviewMarks,
    InvoiceActions,
    RefundActions,
    DunningActions,
    BankActions,
    InvoiceFiles,
    Exports,
    ActionsAdmin,
):
    resource_classes = (InvoiceRows,)
    empty_hint = (
        "A billing period's draft appears here within minutes after it has ended; until then the "
        "portal shows the customer a preview."
    )
    list_display = (
        "shown_number",
        "shown_kind",
        "customer_name",
        "shown_period",
        "shown_total",
        "shown_open",
        "state",
        "unusual",
        "waits_for",
    )
    list_filter = (ReviewFilter, SeverityFilter, MarkFilter, "status", "kind", "customer")
    list_select_related = ("customer", "refers_to")
    search_fields = ("number", "customer__name", "customer__reference")
    date_hierarchy = "period_start"
    fields = (
        ("shown_number", "shown_kind", "state", "waits_for"),
        "marks_in_words",
        ("corrects", "reason"),
        ("billed_to", "customer_reference", "plan_label"),
        "documents",
        "shown_period",
        ("shown_total", "shown_tax", "shown_gross"),
        ("shown_credit_applied", "shown_paid", "shown_credited", "shown_open"),
        "changed_since",
        "notes_on_it",
        ("created_at", "review_until"),
        ("finalized_at", "due_at", "sent_at"),
        "dunning_held",
    )
    inlines = (LineInline, TaxInline, PaymentInline, DunningInline)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        named = (group if isinstance(group, tuple) else (group,) for group in self.fields)
        return tuple(name for group in named for name in group)

    @display(description="Number", ordering="number")
    def shown_number(self, invoice: Invoice) -> str:
        return invoice.reference or "draft"

    @display(description="Kind", ordering="kind")
    def shown_kind(self, invoice: Invoice) -> str:
        return invoice.kind_in_words

    @display(description="Corrects")
    def corrects(self, invoice: Invoice) -> SafeString | str:
        return "-" if invoice.refers_to is None else link_to(invoice.refers_to)

    @display(description="Dunning")
    def dunning_held(self, invoice: Invoice) -> str:
        held = [each for each in invoice.holds.all() if each.ends_at is None]
        said = [f"held: {each.reason} {each.author}".strip() for each in held]
        return "; ".join(said) or "not held"

    @display(description="Notes")
    def notes_on_it(self, invoice: Invoice) -> SafeString | str:
        notes = invoice.notes.order_by("finalized_at")
        found = [
            (link_to(note), _amount(note, note.gross), note.get_status_display(), note.reason)
            for note in notes
        ]
        return format_html_join("; ", "{}, {}, {}: {}", found) or "none"

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, invoice: Invoice) -> SafeString | str:
        return name_with_badge(invoice.billed_to, invoice.customer.generated)

    @display(description="Period", ordering="period_start")
    def shown_period(self, invoice: Invoice) -> str:
        return shown_period(invoice)

    @display(description="Total", ordering="total")
    def shown_total(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.total)

    @display(description="Tax")
    def shown_tax(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.tax_total)

    @display(description="With tax")
    def shown_gross(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.gross)

    @display(description="Paid from credit")
    def shown_credit_applied(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.credit_applied)

    @display(description="Paid")
    def shown_paid(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.amount_paid)

    @display(description="Taken off by credit notes")
    def shown_credited(self, invoice: Invoice) -> SafeString:
        return _amount(invoice, invoice.amount_credited)

    @display(description="Open")
    def shown_open(self, invoice: Invoice) -> SafeString | str:
        return _amount(invoice, invoice.open_amount) if invoice.is_issued else "-"

    @display(description="Waits for")
    def waits_for(self, invoice: Invoice) -> str:
        return what_it_waits_for(invoice, as_of=timezone.now()) or "-"

    @display(description="Usage of this period has changed since")
    def changed_since(self, invoice: Invoice) -> str:
        changes = changes_since_finalized(invoice)
        if changes is None:
            return "no"
        sign = "+" if changes.amount >= 0 else ""
        return f"{sign}{written_amount(changes.amount, invoice.currency)}, not on this invoice"

    @display(description="Status", ordering="status", label=_BADGES)
    def state(self, invoice: Invoice) -> str:
        return invoice.get_status_display().lower()


def _amount(invoice: Invoice, amount: Any) -> SafeString:
    written_out = written_amount(amount, invoice.currency)
    return format_html('<span class="whitespace-nowrap">{}</span>', written_out)
