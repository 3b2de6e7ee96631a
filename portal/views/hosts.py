"""Hosts that the customer runs itself: adding one, watching it, taking its key away."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from metering.customer_hosts import (
    NotTheirs,
    TooManyTokens,
    customer_environments,
    customer_host,
    customer_hosts,
    customer_token,
    issue_customer_token,
    open_customer_tokens,
    revoke_customer_token,
    revoke_host_key,
)
from metering.enrolment import NoRoom
from metering.enrolment_progress import enrolment_progress
from metering.install_command import install_command
from portal.access import Reader, customer_page, is_uuid, require_may_run_hosts
from tenants.models import EnrolmentToken


@customer_page
@require_safe
def host_list(request: HttpRequest, reader: Reader) -> HttpResponse:
    context = {
        "reader": reader,
        "section": "hosts",
        "environments": customer_environments(reader.customer),
        "hosts": customer_hosts(reader.customer, reader.as_of),
        "tokens": open_customer_tokens(reader.customer, as_of=reader.as_of),
    }
    return render(request, "portal/hosts.html", context)


@customer_page
@require_POST
def enrol(request: HttpRequest, reader: Reader) -> HttpResponse:
    """The one command for a new host. Its token is shown here and never again."""
    require_may_run_hosts(reader)
    wanted = request.POST.get("environment", "")
    if not is_uuid(wanted):
        raise Http404
    try:
        token, secret = issue_customer_token(reader.customer, UUID(wanted), as_of=reader.as_of)
    except NotTheirs as absent:
        raise Http404 from absent
    except TooManyTokens:
        words = gettext("Many tokens wait for a host already. Use or revoke one, or wait an hour.")
        messages.error(request, words)
        return redirect("portal:hosts")
    except NoRoom:
        words = gettext("The environment takes no further host. Ask your provider for room.")
        messages.error(request, words)
        return redirect("portal:hosts")
    server = f"{request.scheme}://{request.get_host()}"
    context = _progress(reader, token) | {"command": install_command(server, secret)}
    return render(request, "portal/host_enrolment.html", context)


@customer_page
@require_safe
def enrolment(request: HttpRequest, reader: Reader, token_id: UUID) -> HttpResponse:
    """How far the host of a token has come; the token itself is not shown again."""
    return render(request, "portal/host_enrolment.html", _progress_of(reader, token_id))


@customer_page
@require_safe
def enrolment_state(request: HttpRequest, reader: Reader, token_id: UUID) -> HttpResponse:
    """The part of that page that renews itself."""
    return render(request, "portal/parts/enrolment_state.html", _progress_of(reader, token_id))


@customer_page
@require_POST
def revoke_token(request: HttpRequest, reader: Reader, token_id: UUID) -> HttpResponse:
    require_may_run_hosts(reader)
    try:
        revoke_customer_token(reader.customer, token_id, as_of=reader.as_of)
    except NotTheirs as absent:
        raise Http404 from absent
    messages.success(request, gettext("No host enrols with that token any more."))
    return redirect("portal:hosts")


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, reader: Reader, host_id: UUID, key_id: UUID) -> HttpResponse:
    """Asks first: a host without a key is not heard any more."""
    require_may_run_hosts(reader)
    try:
        host = customer_host(reader.customer, host_id, reader.as_of)
    except NotTheirs as absent:
        raise Http404 from absent
    key = next((each for each in host.keys if each.id == key_id), None)
    if key is None:
        raise Http404
    if request.method == "POST":
        revoke_host_key(reader.customer, host_id, key_id, as_of=reader.as_of)
        words = gettext("The key is revoked. Nothing that is signed with it is taken any more.")
        messages.success(request, words)
        return redirect("portal:hosts")
    context = {"reader": reader, "section": "hosts", "host": host, "key": key}
    return render(request, "portal/host_key.html", context)


def _progress_of(reader: Reader, token_id: UUID) -> dict[str, object]:
    try:
        return _progress(reader, customer_token(reader.customer, token_id))
    except NotTheirs as absent:
        raise Http404 from absent


def _progress(reader: Reader, token: EnrolmentToken) -> dict[str, object]:
    return {
        "reader": reader,
        "section": "hosts",
        "token": token,
        "progress": enrolment_progress(token, as_of=reader.as_of),
    }
