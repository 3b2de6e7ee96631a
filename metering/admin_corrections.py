"""Corrections in the admin: they are made and read, never changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from metering.corrections import (
    REASON_LENGTH_MAX,
    CorrectionNotUsable,
    delete_usage,
    replace_usage,
)
from metering.models import Application, Instance, Role
from metering.stated_models import Correction
from tenants.admin_pages import ScopedAdmin, display, form_page, in_tenants_zone
from tenants.refusals import sentence


class CorrectionForm(forms.Form):
    """What is corrected, when, and why."""

    application = forms.ModelChoiceField(
        queryset=Application.objects.none(), widget=UnfoldAdminSelectWidget
    )
    instance = forms.ModelChoiceField(
        queryset=Instance.objects.none(),
        required=False,
        empty_label="all instances",
        widget=UnfoldAdminSelectWidget,
    )
    starts_at = forms.SplitDateTimeField(label="From", widget=UnfoldAdminSplitDateTimeWidget)
    ends_at = forms.SplitDateTimeField(label="Until", widget=UnfoldAdminSplitDateTimeWidget)
    kind = forms.ChoiceField(
        choices=[
            (Correction.Kind.DELETE, "delete: what was measured does not count"),
            (Correction.Kind.REPLACE, "replace: other quantities count in its place"),
        ],
        initial=Correction.Kind.DELETE,
        widget=UnfoldAdminRadioSelectWidget,
    )
    meters = forms.CharField(
        required=False,
        max_length=5_000,
        widget=UnfoldAdminTextInputWidget,
        help_text="To delete: cpu.time, memory.used. Left empty, all meters.",
    )
    quantities = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="To replace: quantities over the whole time, in the meters' small units (µs, "
        'bytes, byte·s, counts): {"cpu.time": 3600000000}.',
    )
    role = forms.ChoiceField(
        choices=Role.choices,
        initial=Role.PRIMARY,
        widget=UnfoldAdminSelectWidget,
        help_text="What a replacement counts as.",
    )
    reason = forms.CharField(
        max_length=REASON_LENGTH_MAX, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the queries would run outside of any tenant.
        known = Instance.objects.select_related("application", "host")
        self.fields["application"].queryset = Application.objects.all()  # type: ignore[attr-defined]
        self.fields["instance"].queryset = known  # type: ignore[attr-defined]
        self.fields["instance"].label_from_instance = _instance_in_words  # type: ignore[attr-defined]
        for name in ("starts_at", "ends_at"):
            in_tenants_zone(self.fields[name])  # type: ignore[arg-type]

    def make(self, author: str) -> Correction | None:
        """The correction; None where it cannot be, with the reason on the form."""
        given = self.cleaned_data
        period = given["starts_at"], given["ends_at"]
        told = {
            "instance": given["instance"],
            "reason": given["reason"],
            "author": author,
            "as_of": timezone.now(),
        }
        try:
            if given["kind"] == Correction.Kind.DELETE:
                return delete_usage(given["application"], period, meters=self._meters(), **told)
            return replace_usage(
                given["application"], period, self._quantities(), role=given["role"], **told
            )
        except CorrectionNotUsable as refusal:
            self.add_error(None, sentence(refusal))
            return None

    def _meters(self) -> list[str] | None:
        named = [each.strip() for each in self.cleaned_data["meters"].split(",")]
        return [each for each in named if each] or None

    def _quantities(self) -> dict[str, int]:
        quantities = self.cleaned_data["quantities"]
        if not isinstance(quantities, dict):
            raise CorrectionNotUsable("say which quantities replace it, by meter")
        return quantities


def _instance_in_words(instance: Instance) -> str:
    where = "no host" if instance.host is None else str(instance.host)
    return f"{instance.application}: {instance} on {where}"


@admin.register(Correction)
class CorrectionAdmin(ScopedAdmin):
    empty_hint = (
        "A correction says what counts in place of what was measured. It stays as a record, and "
        "what was measured stays beside it."
    )
    list_display = ("application", "kind", "starts_at", "ends_at", "what", "reason", "author")
    list_filter = ("kind", "application")
    list_select_related = ("application", "instance")
    search_fields = ("reason", "author", "application__name")
    fields = (
        "application", "instance", "kind", "starts_at", "ends_at", "what", "role", "reason",
        "author", "made_at",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="Of")
    def what(self, correction: Correction) -> str:
        if correction.quantities is not None:
            return ", ".join(f"{name} {each}" for name, each in correction.quantities.items())
        return ", ".join(correction.meters) if correction.meters else "all meters"

    @display(description="Made at")
    def made_at(self, correction: Correction) -> str:
        return str(display_for_value(correction.created_at, "-"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = CorrectionForm(request.POST or None)
        made = form.make(str(request.user)) if form.is_valid() else None
        if made is None:
            return form_page(
                self,
                request,
                form,
                title="Correct usage",
                text="It cannot be taken back, only followed by another correction. Invoices of "
                "the time that are issued stay as they are; the difference is billed or credited "
                "as your policy for late usage says.",
                submit="Make the correction",
            )
        self.log_addition(request, made, f"Corrected: {made.reason}")
        messages.success(request, "Made. The figures follow within seconds.")
        return HttpResponseRedirect(reverse("admin:metering_correction_changelist"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
