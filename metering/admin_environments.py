"""Environments in the admin: what may run in them, whose they are, and how they leave."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from metering.environments import (
    EnvironmentInUse,
    bring_back_environment,
    contents,
    remove_environment,
    retire_environment,
)
from metering.host_state import host_status
from metering.models import Host, HostEnvironment
from tenants.admin_history import HistoryPages, ReasonedForm
from tenants.admin_pages import (
    EditableInline,
    MarkedAdmin,
    ReadOnlyInline,
    action,
    ago,
    display,
    form_page,
    name_with_badge,
)
from tenants.authorship import REASON_LENGTH_MAX, note_reason
from tenants.models import Environment
from tenants.refusals import sentence


class WhyForm(forms.Form):
    """Asks why, before something is done that others will look at later."""

    reason = forms.CharField(max_length=REASON_LENGTH_MAX, required=False, help_text="Why?")


class EnvironmentForm(ReasonedForm):
    class Meta:
        help_texts: ClassVar = {
            "application_patterns": "Names with commas between them; * stands for any text. "
            "Empty: whatever the policy allows.",
        }


class EnvironmentHosts(ReadOnlyInline):
    model = Host
    fields = ("name", "status", "last_seen", "retired_at")
    readonly_fields = fields
    verbose_name_plural = "hosts"
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.select_related("environment__policy").prefetch_related("keys")

    @display(description="Status")
    def status(self, host: Host) -> str:
        return host_status(host, timezone.now())

    @display(description="Last seen")
    def last_seen(self, host: Host) -> str:
        return ago(host.last_seen_at, timezone.now())


class MoreHosts(EditableInline):
    model = HostEnvironment
    fields = ("host",)
    verbose_name = "host of another environment"
    verbose_name_plural = "hosts of other environments that deliver for this one, too"


@admin.register(Environment)
class EnvironmentAdmin(HistoryPages, MarkedAdmin):
    form = EnvironmentForm
    empty_hint = "Add one, such as production; then issue an enrolment token for its first host."
    list_display = (
        "shown_name",
        "state",
        "policy",
        "default_customer",
        "owner_customer",
        "version",
    )
    list_filter = ("policy", "owner_customer", "generated")
    list_select_related = ("policy", "default_customer", "owner_customer")
    search_fields = ("name",)
    readonly_fields = ("state", "streaming")
    fields = (
        "name", "policy", "default_customer", "owner_customer", "application_patterns",
        ("hosts_max", "applications_max"), "version", "streaming", "state",
    )  # fmt: skip
    inlines = (EnvironmentHosts, MoreHosts)
    actions_detail = ("retire", "bring_back")

    @display(description="Name", ordering="name")
    def shown_name(self, environment: Environment) -> SafeString | str:
        return name_with_badge(environment.name, environment.generated)

    @display(description="State", label={"in service": "success", "retired": "info"})
    def state(self, environment: Environment) -> str:
        return "in service" if environment.retired_at is None else "retired"

    @display(description="Streaming")
    def streaming(self, environment: Environment) -> str:
        return "No. Streaming environments to where they are used is not available yet."

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj is not None else ()

    def get_actions(self, request: HttpRequest) -> Any:
        # One by one: each is looked at first.
        return {
            name: each
            for name, each in super().get_actions(request).items()
            if name != "delete_selected"
        }

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and (obj is None or not contents(obj))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Tokens and settings go with an environment that nothing was metered in.
        names, counts, missing, _ = super().get_deleted_objects(objs, request)
        return names, counts, missing & {"environment"}, []

    def delete_model(self, request: HttpRequest, obj: Environment) -> None:
        remove_environment(obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except EnvironmentInUse as refusal:
            messages.error(request, sentence(refusal))
            return HttpResponseRedirect(
                reverse("admin:tenants_environment_change", args=[object_id])
            )

    @action(description="Retire", icon="inventory_2", permissions=["change"], url_path="retire")
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._turn(
            request,
            object_id,
            title="Retire this environment?",
            text="No host enrols here any more. Its hosts are retired with it: their keys are "
            "revoked, and within a minute whatever they still send is refused and stays with "
            "them. Usage up to now stays and is billed.",
            submit="Retire",
            act=lambda environment: retire_environment(environment, as_of=timezone.now()),
        )

    @action(description="Bring back", icon="undo", permissions=["change"], url_path="bring-back")
    def bring_back(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return self._turn(
            request,
            object_id,
            title="Bring this environment back?",
            text="Hosts may enrol here again. Hosts that were retired with it stay retired until "
            "you bring each back from the hosts' list.",
            submit="Bring back",
            act=bring_back_environment,
        )

    def _turn(self, request: HttpRequest, object_id: str, *, act: Any, **page: Any) -> HttpResponse:
        environment = self.get_object(request, object_id)
        back = reverse("admin:tenants_environment_changelist")
        if environment is None:
            return HttpResponseRedirect(back)
        form = WhyForm(request.POST or None)
        if not (request.method == "POST" and form.is_valid()):
            return form_page(self, request, form, objects=[environment], **page)
        note_reason(form.cleaned_data["reason"])
        act(environment)
        messages.success(request, f"{environment}: done.")
        return HttpResponseRedirect(
            reverse("admin:tenants_environment_change", args=[environment.pk])
        )
