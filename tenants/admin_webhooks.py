"""Webhook endpoints in the admin, and what was sent to them."""

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from tenants.admin_pages import (
    ReadOnlyAdmin,
    ReadOnlyInline,
    ScopedAdmin,
    ScopedForm,
    action,
    ago,
    display,
    form_page,
    in_a_tenant,
    secret_page,
)
from tenants.outward import UrlNotUsable, require_usable
from tenants.refusals import sentence
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
from tenants.webhook_events import EVENT_TYPES, UnknownEventType, usable_types
from tenants.webhook_models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

# Carries a new endpoint's secret from saving to answering.
_SECRET = "hostmeter.webhook_secret"  # noqa: S105 - a name
_SHOWN_ONCE = (
    "Copy it now: it is kept sealed and cannot be shown again. The receiver checks with it, as "
    "Standard Webhooks says, that a message comes from here."
)


class EndpointForm(ScopedForm):
    """Where events go, and which."""

    event_types = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {meaning}") for name, meaning in EVENT_TYPES.items()],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None of them means all.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "description", "customer", "event_types")
        help_texts = {
            "url": "It has to begin with https:// and lie on the public Internet.",
            "customer": "It is then told of this customer alone, and the customer sees it.",
        }

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            require_usable(url)
        except UrlNotUsable as refusal:
            raise forms.ValidationError(sentence(refusal)) from refusal
        return url

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        customer = data.get("customer", self.instance.customer_id)
        try:
            usable_types(data.get("event_types") or [], of_customer=customer is not None)
        except UnknownEventType as refusal:
            self.add_error("event_types", f"A customer is told {refusal}.")
        return data


class RecentDeliveries(ReadOnlyInline):
    """The newest of what was sent to an endpoint."""

    model = WebhookDelivery
    verbose_name_plural = "deliveries"
    fields = ("event", "state", "attempts", "created_at", "opened")
    readonly_fields = fields
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WebhookDelivery]":
        rows: QuerySet[WebhookDelivery] = super().get_queryset(request)
        return rows.select_related("event", "endpoint")

    @display(description="")
    def opened(self, delivery: WebhookDelivery) -> SafeString:
        url = reverse("admin:tenants_webhookdelivery_change", args=[delivery.pk])
        return format_html('<a class="underline" href="{}">What was sent and answered</a>', url)


class StatusFilter(admin.SimpleListFilter):
    """Endpoints by how they fare."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("enabled", "Enabled"), ("failing", "Failing"), ("disabled", "Disabled")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "disabled":
            return queryset.filter(disabled_at__isnull=False)
        if self.value() in {"enabled", "failing"}:
            fails = self.value() == "failing"
            return queryset.filter(disabled_at=None, failing_since__isnull=not fails)
        return queryset


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ScopedAdmin):
    form = EndpointForm
    empty_hint = (
        "Add an address of yours, and it is told what happens here: invoices, payments, hosts that "
        "fall silent."
    )
    list_display = ("url", "status", "customer", "described_types", "failing", "created_at")
    list_filter = (StatusFilter, "customer")
    list_select_related = ("customer",)
    search_fields = ("url", "description", "customer__name")
    fields = ("url", "description", "customer", "event_types")
    inlines = (RecentDeliveries,)
    actions = ("remove",)
    actions_detail = ("rotate", "test", "switch")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WebhookEndpoint]":
        rows: QuerySet[WebhookEndpoint] = super().get_queryset(request)
        return rows.filter(removed_at__isnull=True)

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("customer", "status", "disabled_because") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("status", "disabled_because", *self.fields) if obj else self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_keep_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("tenants.change_webhookendpoint")

    @display(
        description="Status",
        label={"enabled": "success", "failing": "warning", "disabled": "danger"},
    )
    def status(self, endpoint: WebhookEndpoint) -> str:
        if not endpoint.is_enabled:
            return "disabled"
        return "failing" if endpoint.failing_since else "enabled"

    @display(description="Told")
    def described_types(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.event_types) or "everything"

    @display(description="Failing since", ordering="failing_since")
    def failing(self, endpoint: WebhookEndpoint) -> str:
        since = endpoint.failing_since
        return "-" if since is None else ago(since, timezone.now())

    def save_model(
        self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool
    ) -> None:
        data = form.cleaned_data
        if change:
            change_endpoint(
                obj,
                url=data["url"],
                event_types=data["event_types"],
                description=data["description"],
            )
            return
        added, request.META[_SECRET] = add_endpoint(
            data["url"],
            data["event_types"],
            description=data["description"],
            customer=data["customer"],
            as_of=timezone.now(),
        )
        obj.pk, obj.created_at = added.pk, added.created_at
        obj._state.adding = False

    def add_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            answer: HttpResponse = super().add_view(request, *args, **options)
        except TooManyEndpoints as refusal:
            messages.error(request, sentence(refusal))
            return self._list()
        return answer

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._secret_page(request, request.META.pop(_SECRET))

    @action(description="New secret", permissions=["keep"], url_path="rotate")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self.get_object(request, object_id)
        if endpoint is None:
            return self._list()
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title="Give this endpoint a new secret?",
                text="For 24 hours messages are signed with the old one as well, so that the "
                "receiver can be changed without losing any.",
                objects=[str(endpoint)],
                submit="Make a new secret",
            )
        secret = rotate_secret(endpoint, as_of=timezone.now())
        self.log_change(request, endpoint, "New secret.")
        return self._secret_page(request, secret)

    @action(description="Send a test", permissions=["keep"], url_path="test")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._done(
            request,
            object_id,
            lambda endpoint: send_test(endpoint, as_of=timezone.now()),
            "Send a test message to this endpoint?",
            "It is of the type webhook.test and means nothing.",
            "Sent within seconds; see below what was answered.",
        )

    @action(description="Disable or enable", permissions=["keep"], url_path="switch")
    def switch(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self.get_object(request, object_id)
        if endpoint is None or not endpoint.is_enabled:
            return self._done(
                request,
                object_id,
                enable_endpoint,
                "Enable this endpoint?",
                "It is told what happens from now on. What failed before can be replayed.",
                "Enabled.",
            )
        return self._done(
            request,
            object_id,
            lambda found: disable_endpoint(found, "disabled by hand", as_of=timezone.now()),
            "Disable this endpoint?",
            "It is sent nothing more, and what happens meanwhile is not kept for it.",
            "Disabled.",
        )

    @admin.action(description="Remove", permissions=["keep"])
    def remove(self, request: HttpRequest, chosen: "QuerySet[WebhookEndpoint]") -> None:
        endpoints = list(chosen)
        for endpoint in endpoints:
            remove_endpoint(endpoint, as_of=timezone.now())
            self.log_change(request, endpoint, "Removed.")
        messages.success(request, f"Removed: {len(endpoints)}.")

    def _done(
        self,
        request: HttpRequest,
        object_id: str,
        do: Callable[[WebhookEndpoint], object],
        title: str,
        text: str,
        done: str,
    ) -> HttpResponse:
        endpoint = self.get_object(request, object_id)
        if endpoint is None:
            return self._list()
        if request.method != "POST":
            submit = title.split(maxsplit=1)[0]
            return form_page(
                *(self, request, forms.Form()),
                title=title,
                text=text,
                objects=[str(endpoint)],
                submit=submit,
            )
        try:
            do(endpoint)
        except EndpointDisabled as refusal:
            messages.error(request, sentence(refusal))
        else:
            self.log_change(request, endpoint, done)
            messages.success(request, done)
        url = reverse("admin:tenants_webhookendpoint_change", args=[endpoint.pk])
        return HttpResponseRedirect(url)

    def _secret_page(self, request: HttpRequest, secret: str) -> HttpResponse:
        return secret_page(self, request, title="Signing secret", text=_SHOWN_ONCE, secret=secret)

    def _list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:tenants_webhookendpoint_changelist"))


class Attempts(ReadOnlyInline):
    """Each request and what was answered, the newest first."""

    model = WebhookAttempt
    verbose_name_plural = "attempts"
    fields = ("number", "started_at", "duration", "outcome", "answer")
    readonly_fields = fields
    per_page = 20

    @display(description="Took")
    def duration(self, attempt: WebhookAttempt) -> str:
        return f"{attempt.duration_ms} ms"

    @display(description="Outcome")
    def outcome(self, attempt: WebhookAttempt) -> str:
        return attempt.error or f"answered {attempt.status}"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    empty_hint = "What is sent to webhook endpoints is listed here, with what they answered."
    list_display = ("event", "endpoint", "status", "attempts", "last_answer", "created_at")
    list_filter = ("state", "event__type")
    list_select_related = ("event", "endpoint")
    search_fields = ("event__type", "event__key", "endpoint__url")
    fields = ("event", "endpoint", "status", "attempts", "message", "created_at", "next_attempt_at")
    readonly_fields = fields
    inlines = (Attempts,)
    actions = ("replay_chosen",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[WebhookDelivery]":
        rows: QuerySet[WebhookDelivery] = super().get_queryset(request)
        return rows.filter(endpoint__removed_at__isnull=True).prefetch_related("tries")

    def has_replay_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm("tenants.change_webhookendpoint")

    @display(
        description="State",
        label={"pending": "info", "delivered": "success", "failed": "danger"},
    )
    def status(self, delivery: WebhookDelivery) -> str:
        return delivery.state

    @display(description="Last answer")
    def last_answer(self, delivery: WebhookDelivery) -> str:
        last = max(delivery.tries.all(), key=lambda each: each.number, default=None)
        return "-" if last is None else last.error or str(last.status)

    @display(description="Message")
    def message(self, delivery: WebhookDelivery) -> SafeString:
        said = json.dumps(delivery.event.data, indent=2, ensure_ascii=False)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', said)

    @admin.action(description="Send again", permissions=["replay"])
    def replay_chosen(self, request: HttpRequest, chosen: "QuerySet[WebhookDelivery]") -> None:
        sent = 0
        for delivery in chosen:
            try:
                replay(delivery, as_of=timezone.now())
                sent += 1
            except EndpointDisabled as refusal:
                messages.error(request, f"{delivery}: {refusal}.")
        if sent:
            messages.success(request, f"To be sent again within seconds: {sent}.")
