"""Paying an invoice, and what to pay with."""

from typing import Final
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from billing.gateway import GatewayError, NoAccount
from billing.models import PaymentAttempt
from billing.operations.collecting import AttemptOpen, begin_attempt
from billing.operations.lifecycle import InvoiceNotPayable
from billing.payers import (
    MethodUnknown,
    finish_card_setup,
    remove_payment_method,
    saved_payment_methods,
    set_default_payment_method,
    start_card_setup,
)
from billing.payment_tasks import hand_on_attempt
from billing.queries.collecting import current_attempt, last_attempt
from portal.access import Reader, customer_page, require_may_pay
from portal.queries import invoices_of

# While a worker asks the processor; the answer comes within a second or two.
_REFRESH_SECONDS: Final = 2
_Way = PaymentAttempt.Way


@customer_page
@require_POST
def pay(request: HttpRequest, reader: Reader, invoice_id: UUID) -> HttpResponse:
    """Begin to pay all that is open, with a saved method or on the processor's page."""
    invoice = get_object_or_404(invoices_of(reader.customer), pk=invoice_id)
    require_may_pay(reader)
    method = request.POST.get("method", "")[:255]
    try:
        if method and method not in {each.id for each in saved_payment_methods(reader.customer)}:
            raise Http404
        way = _Way.SAVED if method else _Way.CHECKOUT
        attempt = begin_attempt(invoice, way, method_id=method, as_of=reader.as_of)
        hand_on_attempt(attempt)
    except AttemptOpen:
        # It is shown where it leads; nothing is paid twice.
        return redirect("portal:payment", invoice.pk)
    except InvoiceNotPayable:
        messages.info(request, _("Nothing is to be paid of this invoice any more."))
        return redirect("portal:invoice", invoice.pk)
    except (GatewayError, NoAccount):
        messages.error(request, _not_reached())
        return redirect("portal:invoice", invoice.pk)
    return redirect("portal:payment", invoice.pk)


@customer_page
@require_safe
def payment(request: HttpRequest, reader: Reader, invoice_id: UUID) -> HttpResponse:
    """How the paying of an invoice stands: it goes on by itself, on to the processor's page where
    the customer has to confirm something."""
    invoice = get_object_or_404(invoices_of(reader.customer), pk=invoice_id)
    attempt = current_attempt(invoice) or last_attempt(invoice)
    if attempt is None:
        return redirect("portal:invoice", invoice.pk)
    returned = "returned" in request.GET or "session_id" in request.GET
    if request.headers.get("HX-Request") and attempt.hand_over_url and not returned:
        return HttpResponseClientRedirect(attempt.hand_over_url)
    context = {
        "reader": reader,
        "section": "invoices",
        "invoice": invoice,
        "attempt": attempt,
        "hand_over": bool(attempt.hand_over_url) and not returned,
        "refresh_seconds": _REFRESH_SECONDS if attempt.is_open and not attempt.hand_over_url else 0,
    }
    return render(request, "portal/payment.html", context)


@customer_page
@require_safe
def payment_methods(request: HttpRequest, reader: Reader) -> HttpResponse:
    """What invoices can be paid with. The processor sends the customer back here with what was
    entered."""
    session_id = request.GET.get("session", "")[:255]
    context: dict[str, object] = {"reader": reader, "section": "billing"}
    try:
        if session_id and finish_card_setup(reader.customer, session_id):
            messages.success(request, _("Your payment method is saved."))
            return redirect("portal:payment-methods")
        context["methods"] = saved_payment_methods(reader.customer)
    except NoAccount:
        context["unavailable"] = True
    except GatewayError:
        context["not_reached"] = True
    return render(request, "portal/payment_methods.html", context)


@customer_page
@require_POST
def add_payment_method(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Lead to the processor's page: card numbers never come here."""
    require_may_pay(reader)
    back = request.build_absolute_uri(reverse("portal:payment-methods"))
    try:
        session = start_card_setup(
            reader.customer,
            # The processor puts its own id in the place of the braces.
            success_url=f"{back}?session={{CHECKOUT_SESSION_ID}}",
            cancel_url=back,
            key=uuid4().hex,
        )
    except (GatewayError, NoAccount):
        messages.error(request, _not_reached())
        return redirect("portal:payment-methods")
    # A form of ours may lead to pages of ours alone; from one of those it goes on by itself.
    context = {"reader": reader, "section": "billing", "url": session.url}
    return render(request, "portal/hand_over.html", context)


@customer_page
@require_POST
def change_payment_method(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Choose what is charged by itself, or remove one."""
    require_may_pay(reader)
    chosen, removed = request.POST.get("default", ""), request.POST.get("remove", "")
    try:
        if removed:
            remove_payment_method(reader.customer, removed[:255])
            messages.success(request, _("The payment method is removed."))
        else:
            set_default_payment_method(reader.customer, chosen[:255])
            messages.success(request, _("Invoices are now paid with this method."))
    except MethodUnknown as error:
        raise Http404 from error
    except (GatewayError, NoAccount):
        messages.error(request, _not_reached())
    return redirect("portal:payment-methods")


def _not_reached() -> str:
    return _("The payment service cannot be reached just now. Try again in a minute.")
