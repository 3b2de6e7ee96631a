"""The first page: what the current period costs so far, and how fresh that figure is."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.queries.credit import credit_left
from portal.access import Reader, customer_page
from portal.freshness import freshness_of
from portal.kept import month_so_far
from portal.queries import applications_named, applications_of
from portal.running import RunningMonth, charges_chart, left_over
from portal.standing import budget_of

# With windows of 10 s, a push each 30 s and rollups each 5 s the figures stay within a minute.
REFRESH_SECONDS: Final = 15
APPLICATIONS_SHOWN_MAX: Final = 12
_STOPPED_KEY: Final = "hostmeter_overview_stopped"


@customer_page
@require_safe
def overview(request: HttpRequest, reader: Reader) -> HttpResponse:
    refreshes = _refreshes(request)
    month = month_so_far(reader.customer, as_of=reader.as_of)
    own = list(applications_of(reader.customer).values_list("pk", flat=True))
    context = {
        "reader": reader,
        "section": "overview",
        "refreshes": refreshes,
        "refresh_seconds": REFRESH_SECONDS if refreshes else None,
        # In the address, so that a page that renews itself keeps the table open.
        "table_open": request.GET.get("table") == "open",
        "freshness": freshness_of(own, as_of=reader.as_of),
        "has_applications": bool(own),
        "credit": credit_left(reader.customer, as_of=reader.as_of),
    }
    if month is not None:
        context |= _charges(month, reader)
        context["standing"] = month.standing
        context["budget"] = budget_of(reader.customer, month.head.currency.code)
    return render(request, "portal/overview.html", context)


def _refreshes(request: HttpRequest) -> bool:
    """Whether the page renews itself; what the reader chose last holds until they sign out."""
    chosen = request.GET.get("refresh")
    if chosen in {"on", "off"}:
        request.session[_STOPPED_KEY] = chosen == "off"
    return not request.session.get(_STOPPED_KEY, False)


def _charges(month: RunningMonth, reader: Reader) -> dict[str, object]:
    head = month.head
    shown, left = head.charges[:APPLICATIONS_SHOWN_MAX], head.charges[APPLICATIONS_SHOWN_MAX:]
    named = applications_named([each.application_id for each in shown])
    generated = {application.pk for application in named.values() if application.generated}
    return {
        "upcoming": head,
        "currency": head.currency.code,
        "chart": charges_chart(month.days, head, reader.zone, generated),
        "by_application": [(named.get(each.application_id), each) for each in shown],
        "applications_left": len(left),
        "left_amount": left_over(left),
        "by_meter": month.by_meter,
        "any_generated": bool(generated),
    }
