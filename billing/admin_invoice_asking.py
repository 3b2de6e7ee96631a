"""Asking before something is done with one invoice, and saying how it went."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from billing.amounts import written_amount
from billing.models import Invoice
from billing.operations import (
    DocumentNotIssued,
    InvoiceNotPayable,
    InvoiceNotVoidable,
    PaymentDiffers,
    PaymentExceedsOpen,
    PaymentNotUsable,
    ReasonMissing,
    TransitionNotAllowed,
)
from billing.waiting import known_usage
from tenants.admin_pages import ScopedAdmin, form_page
from tenants.refusals import sentence

if TYPE_CHECKING:
    _Admin = ScopedAdmin
else:
    _Admin = object

_REFUSED = (
    DocumentNotIssued,
    InvoiceNotPayable,
    InvoiceNotVoidable,
    PaymentDiffers,
    PaymentExceedsOpen,
    PaymentNotUsable,
    ReasonMissing,
    TransitionNotAllowed,
)


class InvoiceQuestions(_Admin):
    """For the invoices' admin."""

    def ask(
        self,
        request: HttpRequest,
        object_id: str,
        form_class: type[forms.Form],
        work: Callable[[Invoice, dict[str, Any]], str | None],
        **page: str,
    ) -> HttpResponse:
        """The form, and once it is sent `work`, whose words are logged and shown; None where it
        has said all itself."""
        invoice: Invoice | None = self.get_object(request, object_id)
        if invoice is None:
            return to_list()
        form = form_class(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            try:
                said = work(invoice, form.cleaned_data)
            except _REFUSED as refusal:
                form.add_error(None, sentence(refusal))
            else:
                if said is not None:
                    self.log_change(request, invoice, said)
                    messages.success(request, said)
                return page_of(invoice)
        open_amount = written_amount(invoice.open_amount, invoice.currency)
        state = f"{open_amount} open" if invoice.is_issued else prospect(invoice, timezone.now())
        objects = [f"{invoice} of {invoice.customer}: {state}"]
        return form_page(self, request, form, objects=objects, **page)


def prospect(invoice: Invoice, as_of: datetime) -> str:
    """What finalizing it would rest on."""
    return "finalized already" if invoice.is_issued else known_usage(invoice, as_of)


def page_of(invoice: Invoice) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:billing_invoice_change", args=[invoice.pk]))


def to_list() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:billing_invoice_changelist"))
