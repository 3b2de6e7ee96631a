"""Payments in the admin: attempts to collect, refunds, the processor's events, and its account."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from billing.admin_invoices import link_to
from billing.amounts import written_amount
from billing.gateway.account import sealed
from billing.models import PaymentAttempt, ProcessorAccount, ProcessorEvent, Refund
from billing.operations.collecting import AttemptOpen, NoPaymentMethod, collect
from billing.operations.lifecycle import InvoiceNotPayable
from billing.operations.payers import forget_payers
from billing.payment_tasks import hand_on_attempt, hand_on_event, hand_on_reconciling
from tenants.admin_pages import ReadOnlyAdmin, ScopedAdmin, ScopedForm, display
from tenants.scope import current_tenant_id

_SECRET = forms.PasswordInput(attrs={"autocomplete": "off", "class": "border rounded px-3 py-2"})


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin):
    """What was asked of the processor, what is in doubt first."""

    empty_hint = (
        "Attempts appear when customers pay in the portal, or by themselves where a customer has "
        "saved a payment method."
    )
    list_display = (
        "shown_invoice", "number", "shown_amount", "state", "way", "created_at", "failure_message",
    )  # fmt: skip
    list_filter = ("state", "way")
    list_select_related = ("invoice", "invoice__customer")
    search_fields = ("intent_id", "invoice__customer__name", "invoice__number")
    actions = ("find_out", "collect_again")
    fields = (
        "shown_invoice", "number", "way", "shown_amount", "state", "intent_id",
        ("failure_code", "failure_message"),
        ("created_at", "submitted_at", "checked_at", "ended_at"),
    )  # fmt: skip
    readonly_fields = ("shown_invoice", "shown_amount")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PaymentAttempt]":
        doubt = Case(When(state="unknown", then=Value(0)), default=Value(1))
        attempts: QuerySet[PaymentAttempt] = super().get_queryset(request)
        return attempts.annotate(doubt=doubt).order_by("doubt", "-created_at", "-number")

    @display(description="Invoice", ordering="invoice__number")
    def shown_invoice(self, attempt: PaymentAttempt) -> SafeString:
        return link_to(attempt.invoice)

    @display(description="Amount", ordering="amount")
    def shown_amount(self, attempt: PaymentAttempt) -> str:
        return written_amount(attempt.amount, attempt.currency)

    @admin.action(description="Ask the processor what became of it", permissions=["view"])
    def find_out(self, request: HttpRequest, chosen: "QuerySet[PaymentAttempt]") -> None:
        waiting = list(chosen.filter(ended_at__isnull=True))
        for attempt in waiting:
            hand_on_reconciling(attempt)
        messages.info(request, f"{len(waiting)} of those chosen are open, and are looked into.")

    @admin.action(description="Collect the invoice again now", permissions=["collect"])
    def collect_again(self, request: HttpRequest, chosen: "QuerySet[PaymentAttempt]") -> None:
        for invoice in {each.invoice_id: each.invoice for each in chosen}.values():
            try:
                hand_on_attempt(collect(invoice, as_of=timezone.now()))
                messages.success(request, f"{invoice} is being collected.")
            except (AttemptOpen, NoPaymentMethod, InvoiceNotPayable) as reason:
                messages.warning(request, f"{invoice} is not collected: {reason}.")

    def has_collect_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_invoice"))


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Money that was given back."""

    empty_hint = (
        "Open the credit note of an invoice that was paid by card and choose Give money back."
    )
    list_display = (
        "shown_note", "shown_amount", "state", "payment", "author", "created_at", "failure_message",
    )  # fmt: skip
    list_filter = ("state",)
    list_select_related = ("note", "note__customer", "payment")
    search_fields = ("refund_id", "note__customer__name")

    @display(description="Credit note")
    def shown_note(self, refund: Refund) -> SafeString:
        return link_to(refund.note)

    @display(description="Amount", ordering="amount")
    def shown_amount(self, refund: Refund) -> str:
        return written_amount(refund.amount, refund.currency)


@admin.register(ProcessorEvent)
class ProcessorEventAdmin(ReadOnlyAdmin):
    """What the processor told, as it came."""

    empty_hint = (
        "Stripe's webhooks are stored here before anything is done about them. Their address ends "
        "in /webhooks/stripe/ and your short name."
    )
    list_display = ("event_id", "type", "received_at", "handled_at", "tries", "error")
    list_filter = (("handled_at", admin.EmptyFieldListFilter), "type")
    search_fields = ("event_id", "type")
    actions = ("replay",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ProcessorEvent]":
        waits = Case(
            When(handled_at=None, then=Value(0)), default=Value(1), output_field=IntegerField()
        )
        events: QuerySet[ProcessorEvent] = super().get_queryset(request)
        return events.annotate(waits=waits).order_by("waits", "-received_at")

    @admin.action(description="Look into it again", permissions=["view"])
    def replay(self, request: HttpRequest, chosen: "QuerySet[ProcessorEvent]") -> None:
        ids: list[UUID] = list(chosen.values_list("pk", flat=True))
        for row_id in ids:
            hand_on_event(current_tenant_id(), row_id, again=True)
        messages.info(request, f"{len(ids)} are looked into again.")


class AccountForm(ScopedForm):
    """Both secrets are written and never shown."""

    secret_key = forms.CharField(
        widget=_SECRET, max_length=255, help_text="Stripe's secret key: sk_live_… or rk_live_…."
    )
    webhook_secret = forms.CharField(
        widget=_SECRET, max_length=255, help_text="The signing secret of your endpoint: whsec_…."
    )

    class Meta:
        model = ProcessorAccount
        fields = ()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if PaymentAttempt.objects.open().exists():
            raise ValidationError(
                "Payments are under way with the account as it is. Wait until none is open, so "
                "that each is found again where it was made."
            )
        return cleaned


@admin.register(ProcessorAccount)
class ProcessorAccountAdmin(ScopedAdmin):
    """Where the tenant's money goes."""

    form = AccountForm
    empty_hint = (
        "Without an account of your own, payments go to the installation's. Enter your Stripe "
        "secret key and the signing secret of your webhook endpoint."
    )
    list_display = ("__str__", "updated_at")
    fields = ("secret_key", "webhook_secret")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not ProcessorAccount.objects.exists()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.sealed_secret_key = sealed(form.cleaned_data["secret_key"])
        obj.sealed_webhook_secret = sealed(form.cleaned_data["webhook_secret"])
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
        # Another account knows none of them.
        forget_payers()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        forget_payers()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and not PaymentAttempt.objects.open().exists()
