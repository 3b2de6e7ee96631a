"""Giving back money that came by card, from the credit note that it is for."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from billing.admin_invoice_asking import page_of, to_list
from billing.amounts import written_amount
from billing.core.currencies import currency_of
from billing.models import Invoice
from billing.operations import CreditNotLeft
from billing.operations.refunds import NotRefundable, Refundable, begin_refund, refundable_payments
from billing.payment_tasks import hand_on_refund
from tenants.admin_pages import ScopedAdmin, action, form_page
from tenants.refusals import sentence

if TYPE_CHECKING:
    _Admin = ScopedAdmin
else:
    _Admin = object


class RefundForm(forms.Form):
    """Which payment, and how much of it."""

    payment = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget, help_text="The money goes back on the way that it came."
    )
    amount = forms.DecimalField(
        max_digits=50,
        decimal_places=4,
        min_value=Decimal("0.0001"),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    # Which refund of the note this is: a form sent twice gives nothing back twice.
    number = forms.IntegerField(min_value=1, widget=forms.HiddenInput)

    def __init__(
        self, note: Invoice, payments: list[Refundable], data: Any = None, **options: Any
    ) -> None:
        super().__init__(data, **options)
        self._payments = {str(each.payment.pk): each for each in payments}
        self.fields["payment"].choices = [  # type: ignore[attr-defined]
            (key, f"{each.payment.reference}: {written_amount(each.left, note.currency)} left")
            for key, each in self._payments.items()
        ]

    def clean_payment(self) -> Refundable:
        return self._payments[self.cleaned_data["payment"]]


class RefundActions(_Admin):
    """For the invoices' admin."""

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)

    @action(
        description="Give money back",
        icon="undo",
        permissions=["refund"],
        url_path="refund",
    )
    def refund_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        note: Invoice | None = self.get_object(request, object_id)
        if note is None:
            return to_list()
        payments = refundable_payments(note)
        if not payments:
            messages.warning(
                request,
                f"{note} has no payment by card that could be given back; pay it out by hand.",
            )
            return page_of(note)
        form = _form(request, note, payments)
        if form.is_bound and form.is_valid() and self._refunded(request, note, form):
            return page_of(note)
        return form_page(
            self,
            request,
            form,
            title="Give money back?",
            text="It is taken out of the credit that this note left, and the payment processor "
            "sends it back. Until it has, or where it fails, the refund says so; a failed one is "
            "credit again.",
            objects=[
                f"{note} of {note.customer}: {written_amount(abs(note.gross), note.currency)}"
            ],
            submit="Give it back",
        )

    def _refunded(self, request: HttpRequest, note: Invoice, form: RefundForm) -> bool:
        data = form.cleaned_data
        try:
            refund = begin_refund(
                note,
                data["payment"].payment,
                data["amount"],
                number=data["number"],
                author=str(request.user),
                as_of=timezone.now(),
            )
        except (NotRefundable, CreditNotLeft) as refusal:
            form.add_error(None, sentence(refusal))
            return False
        hand_on_refund(refund)
        said = f"{written_amount(refund.amount, refund.currency)} of {refund.payment.reference}"
        self.log_change(request, note, f"Refund {refund.number}: {said}.")
        messages.success(request, f"{said} is on its way back; see Refunds for how it went.")
        return True


def _form(request: HttpRequest, note: Invoice, payments: list[Refundable]) -> RefundForm:
    if request.method == "POST":
        return RefundForm(note, payments, request.POST)
    newest = payments[0]
    first = {
        "payment": str(newest.payment.pk),
        "amount": min(newest.left, abs(note.gross)).quantize(currency_of(note.currency).minor_unit),
        "number": note.refunds.count() + 1,
    }
    return RefundForm(note, payments, initial=first)
