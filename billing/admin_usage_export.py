"""The page from which operators take usage away as a file: whose, of which meter and days."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, ClassVar, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from hostmeter_agent.wire import METERS
from unfold.widgets import UnfoldAdminSelectWidget

from billing.documents.files import safe_name
from billing.documents.tabular import csv_rows
from billing.downloads import note_download, spooled_response
from billing.usage_export import COLUMNS, ROWS_MAX, TooManyRows, Wanted, usage_rows
from metering.allocation_rules import meters_with_rules
from metering.core.posting import allocated_meter
from metering.models import Application
from tenants.admin_figures import DaysForm
from tenants.admin_pages import form_page, in_a_tenant
from tenants.models import Customer

# Whoever may see on pages what the file holds.
_NEEDED: Final = ("metering.view_application", "metering.view_assignment", "tenants.view_customer")


class UsageExportForm(DaysForm):
    """Which usage; the days are those of each customer's time zone."""

    days_max: ClassVar[int] = 92

    customer = forms.ModelChoiceField(
        queryset=Customer.objects.none(),
        required=False,
        empty_label="all customers",
        widget=UnfoldAdminSelectWidget,
    )
    meter = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the query would run outside of any tenant.
        self.fields["customer"].queryset = Customer.objects.all()  # type: ignore[attr-defined]
        self.meters = [
            *(meter.name for meter in METERS),
            *(allocated_meter(each) for each in meters_with_rules()),
        ]
        choices = [("", "all meters"), *((meter, meter) for meter in self.meters)]
        self.fields["meter"].choices = choices  # type: ignore[attr-defined]

    @property
    def wanted(self) -> Wanted:
        """Of a valid form."""
        said = self.cleaned_data
        meters = [said["meter"]] if said["meter"] else self.meters
        return Wanted(said["first"], said["last"], meters, said["customer"])


@require_http_methods(["GET", "POST"])
def usage_export(request: HttpRequest) -> HttpResponseBase:
    """The form; and what it asks for as CSV."""
    if not in_a_tenant(request):
        return HttpResponseRedirect(reverse("admin:index"))
    if not request.user.has_perms(_NEEDED):
        raise PermissionDenied
    form = UsageExportForm(request.POST or None, initial=_last_month())
    answer = _file(form.wanted, form) if request.method == "POST" and form.is_valid() else None
    if answer is not None:
        return answer
    return form_page(
        admin.site.get_model_admin(Application),
        request,
        form,
        title="Usage as a file",
        text="CSV with a row for each customer, application, day and meter. Quantities are exact "
        "integers of the meter's small unit, days are those of the customer's time zone, and an "
        "application counts while it was assigned to the customer. "
        f"At most {UsageExportForm.days_max} days and {ROWS_MAX:,} rows; the download is noted in "
        "the audit log.",
        submit="Download",
    )


def _file(wanted: Wanted, form: UsageExportForm) -> HttpResponseBase | None:
    """None where the form says why there is none."""
    owner = f"-{safe_name(wanted.customer.reference)}" if wanted.customer else ""
    meter = f"-{wanted.meters[0]}" if len(wanted.meters) == 1 else ""
    name = f"usage{owner}{meter}-{wanted.first}-{wanted.last}.csv"
    try:
        answer = spooled_response(
            partial(_write, records=csv_rows(COLUMNS, usage_rows(wanted))),
            name,
            "text/csv; charset=utf-8",
        )
    except TooManyRows:
        words = f"That is over {ROWS_MAX:,} rows: choose fewer days, one meter or one customer."
        form.add_error(None, words)
        return None
    customer = None if wanted.customer is None else wanted.customer.pk
    note_download(name, customer=customer, as_of=timezone.now())
    return answer


def _write(file: BinaryIO, records: Iterator[str]) -> None:
    for record in records:
        file.write(record.encode())


def _last_month() -> dict[str, Any]:
    """The form's days unless others are asked for, in the tenant's time zone."""
    last = timezone.localdate().replace(day=1) - timedelta(days=1)
    return {"first": last.replace(day=1), "last": last}


usage_export_view = admin.site.admin_view(usage_export)
