"""What each application used and what that costs in the current period."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from hostmeter_agent.wire import METERS

from billing.queries.upcoming import application_charges
from metering.allocation_rules import meters_with_rules
from metering.core.posting import allocated_meter
from metering.core.quality import UNAVAILABLE
from metering.gaps import gaps_in
from metering.models import UNATTRIBUTED
from portal.access import Reader, customer_page
from portal.freshness import freshness_of
from portal.kept import invoice_so_far
from portal.limits import breaches_of
from portal.queries import (
    application_rows,
    applications_by_charge,
    applications_of,
    hosts_of,
    measured_in,
    own_periods,
    period_of,
    quantities_by_day,
    usage_chart,
    usage_of,
)

_PER_PAGE: Final = 50
_METERS: Final = tuple(meter.name for meter in METERS)
_SHOWN_FIRST: Final = "cpu.time"


@customer_page
@require_safe
def application_list(request: HttpRequest, reader: Reader) -> HttpResponse:
    upcoming = invoice_so_far(reader.customer, as_of=reader.as_of)
    period = period_of(reader.customer, as_of=reader.as_of)
    charged = None
    if upcoming is not None:
        charged = {each.application_id: each.amount for each in upcoming.head.charges}
    ordered = applications_by_charge(reader.customer, charged or {})
    pages = Paginator(ordered, _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "reader": reader,
        "section": "applications",
        "period": period,
        "upcoming": upcoming,
        "pages": pages,
        "rows": application_rows(reader.customer, list(pages), charged, period),
    }
    return render(request, "portal/applications.html", context)


@customer_page
@require_safe
def application_page(request: HttpRequest, reader: Reader, application_id: UUID) -> HttpResponse:
    application = get_object_or_404(applications_of(reader.customer), pk=application_id)
    upcoming = invoice_so_far(reader.customer, as_of=reader.as_of)
    period = period_of(reader.customer, as_of=reader.as_of)
    own = own_periods(reader.customer, application_id, period)
    meters = (*_METERS, *(allocated_meter(each) for each in meters_with_rules()))
    used = usage_of(own, meters)
    meter = _chosen_meter(request, meters)
    lines = [] if upcoming is None else upcoming.lines_of([application_id])
    measured = measured_in(own, meters)
    quantities = quantities_by_day(own, meter, reader.customer.time_zone)
    context = {
        "reader": reader,
        "section": "applications",
        "application": application,
        "hosts": hosts_of(application),
        "freshness": freshness_of([application_id], as_of=reader.as_of),
        "period": period,
        "upcoming": upcoming,
        "charge": next(iter(application_charges(lines)), None),
        "used": [(name, used[name], measured[name]) for name in meters if name in used],
        "unavailable": [
            name
            for name, hows in measured.items()
            if name not in used and any(how.quality == UNAVAILABLE for how in hows)
        ],
        "breaches": breaches_of(reader.customer, application, as_of=reader.as_of),
        "gaps": gaps_in(own),
        "is_unattributed": application.name == UNATTRIBUTED,
        "meter": meter,
        "chart": usage_chart(quantities, meter, period, reader.zone, as_of=reader.as_of),
    }
    return render(request, "portal/application.html", context)


def _chosen_meter(request: HttpRequest, meters: Collection[str]) -> str:
    wanted = request.GET.get("meter", _SHOWN_FIRST)
    return wanted if wanted in meters else _SHOWN_FIRST
