"""How the customer is billed: address, VAT id, recipients, language, time zone, currency."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from billing.models import Invoice, Subscription
from billing.operations import VatIdNotOfCountry, change_customer
from billing.queries.parties import billing_currency, billing_details
from portal.access import Reader, customer_page, require_may_pay
from portal.billing_form import BillingForm
from tenants.models import Customer


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def billing_page(request: HttpRequest, reader: Reader) -> HttpResponse:
    """The form for who may change it, and what it says for everybody else."""
    fixed = _fixed(reader.customer)
    data = request.POST if request.method == "POST" else None
    form = BillingForm(reader.customer, fixed, data)
    if request.method == "POST":
        require_may_pay(reader)
        if form.is_valid() and _changed(reader, form, fixed):
            messages.success(request, gettext("Saved. Invoices from now on say so."))
            return redirect("portal:billing")
    context = {
        "reader": reader,
        "section": "billing",
        "form": form,
        "details": billing_details(reader.customer),
        "currency": billing_currency(reader.customer),
        "fixed": fixed,
    }
    return render(request, "portal/billing.html", context)


def _fixed(customer: Customer) -> frozenset[str]:
    """What only the provider changes by now: the currency once something is issued in it, and the
    time zone once periods are counted in it."""
    fixed = set()
    if Invoice.objects.filter(customer=customer, number__isnull=False).exists():
        fixed.add("currency")
    if Subscription.objects.filter(customer=customer).exists():
        fixed.add("time_zone")
    return frozenset(fixed)


def _changed(reader: Reader, form: BillingForm, fixed: frozenset[str]) -> bool:
    """Whether it could be saved; why not is on the form. What was not touched is not written: who
    saves at the same time loses nothing of theirs."""
    given = {name: form.cleaned_data[name] for name in form.changed_data if name not in fixed}
    zone = {"time_zone": given.pop("time_zone")} if "time_zone" in given else {}
    try:
        change_customer(reader.customer, zone, given, as_of=reader.as_of)
    except VatIdNotOfCountry:
        form.add_error("vat_id", gettext("The form or a digit of it is wrong."))
        return False
    return True
