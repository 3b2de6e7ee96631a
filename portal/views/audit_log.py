"""A customer's audit log: who did what, when, and from where."""

from operator import itemgetter
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.access import Reader, customer_page
from portal.words import ACTIONS
from tenants.access_models import AuditEntry

_PER_PAGE = 50


@customer_page
@require_safe
def audit_log(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Newest first, by person and by what was done."""
    action = request.GET.get("action", "")
    # PostgreSQL takes no NUL in a text.
    person = request.GET.get("person", "").replace("\0", "").strip()[:254]
    entries = AuditEntry.objects.filter(customer=reader.customer)
    if action in ACTIONS:
        entries = entries.filter(action=action)
    if person:
        entries = entries.filter(actor__icontains=person)
    page = Paginator(entries, _PER_PAGE).get_page(request.GET.get("page"))
    actions = [(key, str(said)) for key, said in ACTIONS.items()]
    context = {
        "reader": reader,
        "section": "team",
        "entries": page,
        "rows": [(entry, ACTIONS.get(entry.action, entry.action)) for entry in page],
        "actions": sorted(actions, key=itemgetter(1)),
        "action": action,
        "person": person,
        "query": urlencode({"action": action, "person": person}),
    }
    return render(request, "portal/audit_log.html", context)
