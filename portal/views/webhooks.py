"""A customer's own webhook endpoints: kept, tried, and what was sent to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from portal.access import Reader, customer_page, may_change
from portal.webhook_forms import TYPES, EndpointForm
from tenants.core.webhooks import message_body, message_id
from tenants.webhook_endpoints import (
    EndpointDisabled,
    TooManyEndpoints,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    enable_endpoint,
    remove_endpoint,
    replay,
    rotate_secret,
    send_test,
)
from tenants.webhook_models import WebhookDelivery, WebhookEndpoint

_PER_PAGE: Final = 30
_TRIES_SHOWN: Final = 50
_CHANGE: Final = "tenants.change_webhookendpoint"


@customer_page
@require_safe
def endpoint_list(request: HttpRequest, reader: Reader) -> HttpResponse:
    return render(
        request, "portal/webhooks.html", {**_frame(reader), "endpoints": list(_own(reader))}
    )


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def new_endpoint(request: HttpRequest, reader: Reader) -> HttpResponse:
    _require_may_change(reader)
    form = EndpointForm(None, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            endpoint, secret = add_endpoint(
                data["url"],
                data["event_types"],
                description=data["description"],
                customer=reader.customer,
                as_of=reader.as_of,
            )
        except TooManyEndpoints:
            form.add_error(None, _("There are as many endpoints as there can be; remove one."))
        else:
            return _secret_page(request, reader, endpoint, secret)
    return render(request, "portal/webhook_form.html", {**_frame(reader), "form": form})


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def edit_endpoint(request: HttpRequest, reader: Reader, endpoint_id: UUID) -> HttpResponse:
    endpoint = get_object_or_404(_own(reader), pk=endpoint_id)
    _require_may_change(reader)
    form = EndpointForm(endpoint, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        change_endpoint(endpoint, **form.cleaned_data)
        messages.success(request, _("The endpoint is changed."))
        return redirect("portal:webhook", endpoint.pk)
    context = {**_frame(reader), "form": form, "endpoint": endpoint}
    return render(request, "portal/webhook_form.html", context)


@customer_page
@require_safe
def endpoint_page(request: HttpRequest, reader: Reader, endpoint_id: UUID) -> HttpResponse:
    endpoint = get_object_or_404(_own(reader), pk=endpoint_id)
    deliveries = endpoint.deliveries.select_related("event")
    context = {
        **_frame(reader),
        "endpoint": endpoint,
        "told": [TYPES[each] for each in endpoint.event_types if each in TYPES],
        "deliveries": Paginator(deliveries, _PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "portal/webhook.html", context)


@dataclass(frozen=True, slots=True)
class _Action:
    """What can be done to an endpoint: asked for with `title` and `text`, and `done` said after."""

    title: Promise
    text: Promise
    button: Promise
    done: Promise
    do: Callable[[WebhookEndpoint, Reader], object]


_ACTIONS: Final[Mapping[str, _Action]] = {
    "test": _Action(
        gettext_lazy("Send a test message"),
        gettext_lazy("It is of the type webhook.test and means nothing."),
        gettext_lazy("Send it"),
        gettext_lazy("It is sent within seconds; look here what was answered."),
        lambda endpoint, reader: send_test(endpoint, as_of=reader.as_of),
    ),
    "disable": _Action(
        gettext_lazy("Disable the endpoint"),
        gettext_lazy("It is sent nothing more, and what happens meanwhile is not kept for it."),
        gettext_lazy("Disable"),
        gettext_lazy("The endpoint is disabled."),
        lambda endpoint, reader: disable_endpoint(
            endpoint, "disabled by the customer", as_of=reader.as_of
        ),
    ),
    "enable": _Action(
        gettext_lazy("Enable the endpoint"),
        gettext_lazy("It is told what happens from now on. What failed before can be sent again."),
        gettext_lazy("Enable"),
        gettext_lazy("The endpoint is enabled."),
        lambda endpoint, reader: enable_endpoint(endpoint),
    ),
    "remove": _Action(
        gettext_lazy("Remove the endpoint"),
        gettext_lazy("It is gone with all that is shown of what was sent to it."),
        gettext_lazy("Remove"),
        gettext_lazy("The endpoint is removed."),
        lambda endpoint, reader: remove_endpoint(endpoint, as_of=reader.as_of),
    ),
    "rotate": _Action(
        gettext_lazy("Make a new secret"),
        gettext_lazy(
            "For 24 hours messages are signed with the one before as well, so that none is lost "
            "while you change your receiver."
        ),
        gettext_lazy("Make it"),
        gettext_lazy("The secret is new."),
        lambda endpoint, reader: rotate_secret(endpoint, as_of=reader.as_of),
    ),
}


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def endpoint_action(
    request: HttpRequest, reader: Reader, endpoint_id: UUID, action: str
) -> HttpResponse:
    endpoint = get_object_or_404(_own(reader), pk=endpoint_id)
    _require_may_change(reader)
    asked = _ACTIONS[action]
    if request.method != "POST":
        context = {**_frame(reader), "endpoint": endpoint, "asked": asked, "action": action}
        return render(request, "portal/webhook_action.html", context)
    try:
        came = asked.do(endpoint, reader)
    except EndpointDisabled:
        messages.error(request, _("The endpoint is disabled; enable it first."))
        return redirect("portal:webhook", endpoint.pk)
    if action == "rotate":
        return _secret_page(request, reader, endpoint, str(came))
    messages.success(request, str(asked.done))
    if action == "remove":
        return redirect("portal:webhooks")
    return redirect("portal:webhook", endpoint.pk)


@customer_page
@require_http_methods(["GET", "HEAD", "POST"])
def delivery_page(request: HttpRequest, reader: Reader, delivery_id: UUID) -> HttpResponse:
    """What was sent and answered; a POST sends it again."""
    delivery = get_object_or_404(
        WebhookDelivery.objects.select_related("event", "endpoint"),
        pk=delivery_id,
        endpoint__customer=reader.customer,
        endpoint__removed_at__isnull=True,
    )
    if request.method == "POST":
        _require_may_change(reader)
        try:
            replay(delivery, as_of=reader.as_of)
        except EndpointDisabled:
            messages.error(request, _("The endpoint is disabled; enable it first."))
        else:
            messages.success(request, _("It is sent again within seconds."))
        return redirect("portal:webhook-delivery", delivery.pk)
    event = delivery.event
    context = {
        **_frame(reader),
        "delivery": delivery,
        "endpoint": delivery.endpoint,
        "message_id": message_id(event.pk),
        "body": message_body(event.pk, event.type, event.occurred_at, event.data),
        "tries": delivery.tries.all()[:_TRIES_SHOWN],
    }
    return render(request, "portal/webhook_delivery.html", context)


def _own(reader: Reader) -> "QuerySet[WebhookEndpoint]":
    return WebhookEndpoint.objects.kept().filter(customer=reader.customer)


def _require_may_change(reader: Reader) -> None:
    if not may_change(reader, _CHANGE):
        raise PermissionDenied


def _frame(reader: Reader) -> dict[str, object]:
    may = may_change(reader, _CHANGE)
    return {"reader": reader, "section": "webhooks", "may_change": may}


def _secret_page(
    request: HttpRequest, reader: Reader, endpoint: WebhookEndpoint, secret: str
) -> HttpResponse:
    context = {**_frame(reader), "endpoint": endpoint, "secret": secret}
    return render(request, "portal/webhook_secret.html", context)
