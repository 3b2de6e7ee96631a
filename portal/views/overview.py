"""The first page: what the current period costs so far, and how fresh that figure is."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.queries import MonthToDate, month_to_date
from portal.access import Reader, customer_page
from portal.freshness import freshness_of
from portal.queries import applications_named, applications_of, charges_by_meter, charges_chart

# With windows of 10 s, a push each 30 s and rollups each 5 s the figures stay within a minute.
REFRESH_SECONDS: Final = 15
APPLICATIONS_SHOWN_MAX: Final = 12


@customer_page
@require_safe
def overview(request: HttpRequest, reader: Reader) -> HttpResponse:
    refreshes = request.GET.get("refresh") != "off"
    month = month_to_date(reader.customer, as_of=reader.as_of)
    own = list(applications_of(reader.customer).values_list("pk", flat=True))
    context = {
        "reader": reader,
        "section": "overview",
        "refreshes": refreshes,
        "refresh_seconds": REFRESH_SECONDS if refreshes else None,
        "freshness": freshness_of(own, as_of=reader.as_of),
        "has_applications": bool(own),
    }
    if month is not None:
        context |= _charges(month, reader)
    return render(request, "portal/overview.html", context)


def _charges(month: MonthToDate, reader: Reader) -> dict[str, object]:
    upcoming = month.upcoming
    by_application = upcoming.by_application()
    named = applications_named([each.application_id for each in by_application])
    rows = [(named[each.application_id], each) for each in by_application]
    return {
        "upcoming": upcoming,
        "currency": upcoming.currency.code,
        "chart": charges_chart(month.days, upcoming, reader.zone),
        "by_application": rows[:APPLICATIONS_SHOWN_MAX],
        "applications_left": max(len(rows) - APPLICATIONS_SHOWN_MAX, 0),
        "by_meter": charges_by_meter(upcoming),
        "any_generated": any(application.generated for application, _ in rows),
    }
