"""Contesting a line of an issued invoice, and talking about it with the provider."""

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from billing.models import Dispute, Invoice, InvoiceLine
from billing.models.disputes import WORDS_MAX
from billing.operations import (
    DisputeEnded,
    DisputeFull,
    DocumentNotIssued,
    LineNotDisputable,
    Saying,
    open_dispute,
    say_as_customer,
    withdraw_dispute,
)
from billing.queries import contested, threads_of
from portal import proof
from portal.access import Reader, customer_page, require_may_pay
from portal.proof import LineNotFound


class SayingForm(forms.Form):
    """What the customer says. The form has an id of its own: sent twice, it is said once."""

    saying = forms.UUIDField(widget=forms.HiddenInput)
    words = forms.CharField(
        label=gettext_lazy("Your message"),
        max_length=WORDS_MAX,
        widget=forms.Textarea(attrs={"rows": 5}),
    )


class ObjectionForm(SayingForm):
    """Why a line is contested."""

    reason = forms.ChoiceField(
        label=gettext_lazy("What is wrong"),
        choices=[(code, gettext_lazy(label)) for code, label in Dispute.Reason.choices],
    )
    field_order = ("saying", "reason", "words")


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def line_dispute(
    request: HttpRequest, reader: Reader, invoice_id: UUID, line_id: UUID
) -> HttpResponse:
    """All that was said of the line, and the form for the customer's next words."""
    line = _line(reader, invoice_id, line_id)
    threads = threads_of(line)
    pending = next((each for each in threads if each.is_pending), None)
    form = _form(request, pending)
    if request.method == "POST":
        require_may_pay(reader)
        if form.is_valid() and _said(reader, line, pending, form):
            messages.success(request, gettext("Your message is with the provider."))
            return redirect("portal:line-dispute", invoice_id, line_id)
    invoice: Invoice = line.invoice
    context = {
        "reader": reader,
        "section": "invoices",
        "invoice": invoice,
        "currency": invoice.currency,
        "line": line,
        "threads": threads,
        "pending": pending,
        "form": form,
        "contested": contested(invoice),
        "is_disputable": _is_disputable(invoice),
    }
    return render(request, "portal/line_dispute.html", context)


@customer_page
@require_POST
def withdraw(request: HttpRequest, reader: Reader, invoice_id: UUID, line_id: UUID) -> HttpResponse:
    line = _line(reader, invoice_id, line_id)
    require_may_pay(reader)
    pending = next((each for each in threads_of(line) if each.is_pending), None)
    if pending is not None:
        try:
            withdraw_dispute(pending, by=reader.user.email, as_of=reader.as_of)
        except DisputeEnded:
            messages.error(request, gettext("The provider has decided it meanwhile."))
        else:
            messages.success(request, gettext("The dispute is withdrawn."))
    return redirect("portal:line-dispute", invoice_id, line_id)


def _line(reader: Reader, invoice_id: UUID, line_id: UUID) -> InvoiceLine:
    try:
        line = proof.stored_line(reader.customer, invoice_id, line_id)
    except LineNotFound as absent:
        raise Http404 from absent
    if not line.invoice.is_issued:
        raise Http404
    return line


def _is_disputable(invoice: Invoice) -> bool:
    in_force = invoice.status != Invoice.Status.VOID
    return in_force and invoice.issued_as != Invoice.Kind.CREDIT_NOTE


def _form(request: HttpRequest, pending: Dispute | None) -> SayingForm:
    kind = ObjectionForm if pending is None else SayingForm
    data: Any = request.POST if request.method == "POST" else None
    return kind(data, initial={"saying": uuid4()})


def _said(reader: Reader, line: InvoiceLine, pending: Dispute | None, form: SayingForm) -> bool:
    """Whether it could be said; why not is on the form."""
    data = form.cleaned_data
    saying = Saying(data["saying"], reader.user.email, data["words"])
    try:
        if pending is None:
            open_dispute(line, data["reason"], saying, as_of=reader.as_of)
        else:
            say_as_customer(pending, saying, as_of=reader.as_of)
    except (LineNotDisputable, DocumentNotIssued):
        form.add_error(None, gettext("Nothing of this document is asked of you any more."))
    except DisputeEnded:
        form.add_error(None, gettext("The provider has decided it meanwhile. Reload the page."))
    except DisputeFull:
        form.add_error(None, gettext("As much was said here as fits. Write to the provider."))
    else:
        return True
    return False
