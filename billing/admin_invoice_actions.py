"""What operators do with invoices: each asks in a form, makes one call and says how it went."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.admin_invoice_asking import page_of, prospect, to_list
from billing.admin_invoice_rating import RatingActions
from billing.admin_reviews import to_progress
from billing.amounts import written_amount
from billing.core.lifecycle import DRAFTS, PAYABLE, may_follow
from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.finalizing import begin_finalizing
from billing.models import Invoice
from billing.operations import (
    InvoiceCurrencyDiffers,
    TransitionNotAllowed,
    UsageNotRolledUp,
    begin_review,
    finalize_invoice,
    mark_sent,
    record_payment,
    void_invoice,
    write_off,
)
from billing.operations.refunds import refundable_payments
from tenants.admin_pages import action, chosen_again, form_page
from tenants.scope import current_tenant_id

_NOT_FINALIZED = (UsageNotRolledUp, InvoiceCurrencyDiffers, TaxRateUnknown, TaxCountryUnknown)


# What a request does itself; each takes some hundredths of a second.
_AT_ONCE_MAX = 10


class PaymentForm(forms.Form):
    """Money that came in."""

    amount = forms.DecimalField(
        max_digits=50,
        decimal_places=4,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    received_on = forms.DateField(widget=UnfoldAdminSingleDateWidget)
    reference = forms.CharField(
        max_length=120,
        widget=UnfoldAdminTextInputWidget,
        help_text="The bank's name for it. Recorded twice, it is counted once.",
    )
    excess_to_credit = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="What is more than is open becomes the customer's credit",
    )


class ReasonForm(forms.Form):
    """Why an invoice is taken back; it stands on the note."""

    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))


def shown_period(invoice: Invoice) -> str:
    """The period in the invoice's zone: its days, both included, or its instants where one of
    them is no midnight."""
    zone = ZoneInfo(invoice.time_zone)
    start, end = invoice.period_start.astimezone(zone), invoice.period_end.astimezone(zone)
    if start.time() == end.time() == time.min:
        return f"{start:%Y-%m-%d} to {end - timedelta(days=1):%Y-%m-%d}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} ({zone})"


class InvoiceActions(RatingActions):
    """The actions of the list and of one invoice."""

    actions = ("finalize", "recompute", "review", "look_again", "mark_sent", "restate")
    actions_detail = (
        "recompute_one",
        "review_one",
        "finalize_one",
        "record_payment_of_one",
        "mark_one_sent",
        "void_one",
        "write_off_one",
        "restate_one",
        "hold_dunning_of_one",
        "resume_dunning_of_one",
        "refund_one",
    )

    def has_finalize_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        invoice = self.get_object(request, object_id)
        if invoice is None:
            return []
        wanted = _possible(invoice)
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in offered if each.method.__name__ in wanted]

    @admin.action(description="Finalize: number them for good", permissions=["change"])
    def finalize(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> HttpResponse | None:
        chosen = list(invoices.order_by("period_start", "customer__name"))
        drafts = [each for each in chosen if not each.is_issued]
        if drafts and "confirmed" not in request.POST:
            return self._finalize_page(request, chosen, chosen_again("finalize", chosen))
        if len(drafts) > _AT_ONCE_MAX:
            return self._finalize_many(request, drafts)
        done = [self._finalize(request, draft) for draft in drafts].count(True)
        messages.info(request, f"Finalized: {done}, were so already: {len(chosen) - len(drafts)}.")
        return None

    @admin.action(description="Put drafts into review", permissions=["change"])
    def review(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        begun = 0
        for draft in invoices:
            if draft.status != Invoice.Status.DRAFT:
                continue
            # Somebody may have finalized it meanwhile.
            with suppress(TransitionNotAllowed):
                self.log_change(
                    request, begin_review(draft, as_of=timezone.now()), "Put into review."
                )
                begun += 1
        messages.info(request, f"Put into review: {begun}.")

    @admin.action(description="Mark as sent", permissions=["change"])
    def mark_sent(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        issued = [each for each in invoices if each.is_issued]
        sent = 0
        for invoice in issued:
            try:
                mark_sent(invoice, as_of=timezone.now())
            except TransitionNotAllowed as refusal:
                messages.error(request, f"{invoice} of {invoice.customer}: {refusal}.")
            else:
                self.log_change(request, invoice, "Marked as sent.")
                sent += 1
        messages.info(request, f"Sent: {sent}, drafts left: {len(invoices) - len(issued)}.")

    @action(description="Finalize", permissions=["finalize"], url_path="finalize")
    def finalize_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.get_object(request, object_id)
        if invoice is None:
            return to_list()
        if not invoice.is_issued and request.method != "POST":
            return self._finalize_page(request, [invoice])
        self._finalize(request, invoice)
        return page_of(invoice)

    @action(description="Put into review", permissions=["finalize"], url_path="review")
    def review_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def begin(invoice: Invoice, _: dict[str, Any]) -> str:
            until = begin_review(invoice, as_of=timezone.now()).review_until
            return f"In review until {timezone.localtime(until):%Y-%m-%d %H:%M}."

        return self.ask(
            request,
            object_id,
            forms.Form,
            begin,
            title="Put this draft into review?",
            text="It waits as many days as your billing settings say, and is then finalized by "
            "itself once its usage is known.",
            submit="Put into review",
        )

    @action(description="Record a payment", permissions=["finalize"], url_path="payment")
    def record_payment_of_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def record(invoice: Invoice, data: dict[str, Any]) -> str:
            amount = Decimal(data["amount"])
            record_payment(
                invoice,
                amount,
                received_on=data["received_on"],
                reference=data["reference"],
                excess_to_credit=data["excess_to_credit"],
                as_of=timezone.now(),
            )
            return f"Payment {data['reference']}: {written_amount(amount, invoice.currency)}."

        return self.ask(
            request,
            object_id,
            PaymentForm,
            record,
            title="Record a payment",
            text="It is counted towards this invoice and never changes.",
            submit="Record",
        )

    @action(description="Mark as sent", permissions=["finalize"], url_path="sent")
    def mark_one_sent(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def mark(invoice: Invoice, _: dict[str, Any]) -> str:
            mark_sent(invoice, as_of=timezone.now())
            return "Marked as sent."

        return self.ask(
            request,
            object_id,
            forms.Form,
            mark,
            title="Mark as sent?",
            text="Its customer has got it.",
            submit="Mark as sent",
        )

    @action(description="Void", permissions=["finalize"], url_path="void")
    def void_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def void(invoice: Invoice, data: dict[str, Any]) -> str:
            note = void_invoice(invoice, data["reason"], as_of=timezone.now())
            return f"Void: {note} takes it back."

        return self.ask(
            request,
            object_id,
            ReasonForm,
            void,
            title="Take this invoice back?",
            text="A credit note over all that is left of it is issued, or a debit note where "
            "credit notes took off more than it came to. What was paid becomes the customer's "
            "credit, and the period is not billed again.",
            submit="Void it",
        )

    @action(description="Write off", permissions=["finalize"], url_path="write-off")
    def write_off_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def give_up(invoice: Invoice, _: dict[str, Any]) -> str:
            write_off(invoice, as_of=timezone.now())
            return "Written off: what is open is not expected any more."

        return self.ask(
            request,
            object_id,
            forms.Form,
            give_up,
            title="Write off what is open?",
            text="The invoice becomes uncollectible. Money that comes in after all can still be "
            "recorded.",
            submit="Write off",
        )

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
                f"{each.customer}: {shown_period(each)} ({prospect(each, as_of)})"
                for each in chosen
            ],
            hidden=hidden,
            submit="Finalize",
        )

    def _finalize_many(self, request: HttpRequest, drafts: Sequence[Invoice]) -> HttpResponse:
        """More than a request should take are done by the workers."""
        run = begin_finalizing(
            current_tenant_id(), [each.pk for each in drafts], author=str(request.user)
        )
        if run is None:
            messages.info(request, "They are being finalized already.")
            return HttpResponseRedirect(reverse("admin:billing_finalizing_changelist"))
        return to_progress(run)

    def _finalize(self, request: HttpRequest, invoice: Invoice) -> bool:
        """Whether the invoice was finalized just now; a message says how it went."""
        as_of = timezone.now()
        try:
            done = finalize_invoice(invoice, as_of=as_of)
        except _NOT_FINALIZED as refusal:
            messages.error(request, f"{invoice} of {invoice.customer}: {refusal}.")
            return False
        if done.finalized_at != as_of:
            messages.info(request, f"{done} is finalized already.")
            return False
        self.log_change(request, done, f"Finalized with number {done.reference}.")
        messages.success(
            request,
            f"{done}: {done.customer}, {written_amount(done.total, done.currency)}",
        )
        return True


def _possible(invoice: Invoice) -> set[str]:
    """The actions that its status leaves."""
    if invoice.status in DRAFTS:
        review = {"review_one"} if invoice.status == Invoice.Status.DRAFT else set()
        return {"recompute_one", "finalize_one"} | review
    unsent = not invoice.sent_at and invoice.status != Invoice.Status.VOID
    found = {"mark_one_sent"} if unsent else set()
    if invoice.kind != Invoice.Kind.CREDIT_NOTE:
        if may_follow(invoice.status, Invoice.Status.VOID) and invoice.gross >= 0:
            found.add("void_one")
        if invoice.status in {*PAYABLE, Invoice.Status.UNCOLLECTIBLE}:
            found.add("record_payment_of_one")
        if invoice.status in PAYABLE:
            held = invoice.holds.filter(cause="hand", ends_at__isnull=True).exists()
            found.add("resume_dunning_of_one" if held else "hold_dunning_of_one")
        if may_follow(invoice.status, Invoice.Status.UNCOLLECTIBLE):
            found.add("write_off_one")
    elif refundable_payments(invoice):
        found.add("refund_one")
    if invoice.kind == Invoice.Kind.INVOICE and invoice.status != Invoice.Status.VOID:
        found.add("restate_one")
    return found
