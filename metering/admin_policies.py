"""Policies in the admin: drafted, held against past usage, published, rolled out, taken back."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextInputWidget

from metering.admin_policy_rules import RulesField
from metering.limit_use import DAYS_MAX, TooMuchUsage, simulate
from metering.policy_state import hosts_of_policy
from metering.policy_words import DAYS, difference_rows, in_units, spend_shown, table_of
from tenants.admin_figures import DaysForm
from tenants.admin_history import HistoryPages, ReasonedForm
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    action,
    ago,
    display,
    form_page,
    in_tenants_zone,
)
from tenants.authorship import note_reason
from tenants.models import Policy
from tenants.policies import (
    PolicyRefused,
    changes_to_come,
    draft_of,
    publish,
    roll_back,
    roll_out,
)
from tenants.policy_models import TERMS, PolicyVersion
from tenants.refusals import sentence

_STATES: dict[str, str] = {
    "draft": "info", "in effect": "success", "to come": "warning",
    "taken back": "danger",
}  # fmt: skip


def version_state(version: PolicyVersion) -> str:
    """ "draft", "to come", "in effect" (for its share of hosts) or "taken back"."""
    if version.effective_from is None:
        return "draft"
    if version.rolled_back_at is not None:
        return "taken back"
    return "to come" if version.effective_from > timezone.now() else "in effect"


def differences_shown(version: PolicyVersion) -> SafeString | str:
    rows = difference_rows(changes_to_come(version))
    if not rows:
        return "Nothing: it says the same as the version before."
    return format_html(
        '<ul class="bulleted ml-5">{}</ul>',
        format_html_join("", "<li>{}: {} → {}</li>", rows),
    )


class Versions(ReadOnlyInline):
    model = PolicyVersion
    fields = ("opened", "state", "note", "effective_from", "rollout_percent", "published_by")
    readonly_fields = fields
    ordering = ("-number",)
    per_page = 20

    @display(description="Version")
    def opened(self, version: PolicyVersion) -> SafeString:
        page = reverse("admin:tenants_policyversion_change", args=[version.pk])
        return format_html('<a class="underline" href="{}">{}</a>', page, version)

    @display(description="State", label=_STATES)
    def state(self, version: PolicyVersion) -> str:
        return version_state(version)


@admin.register(Policy)
class PolicyAdmin(HistoryPages, ScopedAdmin):
    class Form(ReasonedForm):
        class Meta:
            help_texts: ClassVar = {
                "scrape_interval_seconds": "How often agents read their hosts. It must divide 300 "
                "and be at most 60; agents go by their own interval otherwise.",
            }

    form = Form
    empty_hint = (
        "A policy says who may run what, with which limits, and when a host counts as silent. Add "
        "one, give it to an environment, then draft its first version."
    )
    list_display = ("name", "scrape_interval_seconds", "host_silent_after_seconds")
    search_fields = ("name",)
    inlines = (Versions,)
    actions_detail = ("draft", "hosts")
    readonly_fields = ("elsewhere",)
    fields = ("name", "scrape_interval_seconds", "host_silent_after_seconds", "elsewhere")

    @display(description="Money")
    def elsewhere(self, policy: Policy) -> SafeString:
        """What of policies is stated where bills are made, and only there."""
        return format_html(
            'How replicas, two primaries and gaps are billed stands in the <a class="underline" '
            'href="{}">plans</a>; how late usage is billed in the <a class="underline" href="{}">'
            "billing settings</a>; how much a customer may spend in their budgets.",
            reverse("admin:billing_plan_changelist"),
            reverse("admin:billing_billingsettings_changelist"),
        )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return super().get_inlines(request, obj) if obj is not None else ()

    @action(
        description="Draft the next version", icon="edit_document", permissions=["change"],
        url_path="draft",
    )  # fmt: skip
    def draft(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        policy = self.get_object(request, object_id)
        if policy is None:
            return HttpResponseRedirect(reverse("admin:tenants_policy_changelist"))
        if request.method != "POST" and not policy.versions.filter(published_at=None).exists():
            return form_page(
                self, request, forms.Form(), title=f"Draft the next version of {policy}?",
                text="It begins as a copy of the newest one. Nothing changes for any host before "
                "you publish it.", submit="Make the draft",
            )  # fmt: skip
        version = draft_of(policy)
        return HttpResponseRedirect(
            reverse("admin:tenants_policyversion_change", args=[version.pk])
        )

    @action(description="On hosts", icon="dns", permissions=["view"], url_path="hosts")
    def hosts(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Which version each host goes by."""
        policy = self.get_object(request, object_id)
        if policy is None:
            return HttpResponseRedirect(reverse("admin:tenants_policy_changelist"))
        now = timezone.now()
        rows = [
            [
                each.host,
                each.wanted or "none",
                each.applied or "none",
                "past its grace" if each.past_grace else "applied" if each.is_applied
                else "not yet",
                ago(each.reported_at, now),
                "; ".join(each.errors) or "-",
            ]
            for each in hosts_of_policy(policy.pk, as_of=now)
        ]  # fmt: skip
        headers = ["host", "is to have", "goes by", "state", "said so", "the agent says"]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{policy} on hosts",
            "back": reverse("admin:tenants_policy_change", args=[policy.pk]),
            "tables": [("Hosts", {"headers": headers, "rows": rows})] if rows else [],
            "nothing": "No host in service stands in an environment with this policy.",
        }
        return TemplateResponse(request, "admin/hostmeter/policy_page.html", context)


class PublishForm(forms.Form):
    """From when, and for how many hosts."""

    effective_from = forms.SplitDateTimeField(
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="Left empty, it holds at once.",
    )
    rollout_percent = forms.IntegerField(
        label="Share of hosts, percent",
        initial=100,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        widget=UnfoldAdminTextInputWidget,
        help_text="Begin with a few: it is always the same hosts that come first.",
    )
    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Why?"
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        in_tenants_zone(self.fields["effective_from"])  # type: ignore[arg-type]


class ShareForm(forms.Form):
    """For how many hosts."""

    rollout_percent = PublishForm.base_fields["rollout_percent"]
    reason = PublishForm.base_fields["reason"]


class MonthForm(DaysForm):
    """Days whose usage a version is held against."""

    days_max = DAYS_MAX


class VersionForm(ReasonedForm):
    """A draft's terms."""

    rules = RulesField(
        required=False,
        label="Who may run what",
        help_text="The first rule that fits decides, and what none fits may run. * stands for any "
        "text, as in miner*; an empty field fits all. Rows without an effect do not count, and "
        "more appear when you save.",
    )


@admin.register(PolicyVersion)
class PolicyVersionAdmin(HistoryPages, ScopedAdmin):
    form = VersionForm
    empty_hint = "Open a policy and draft its first version."
    list_display = ("__str__", "state", "note", "effective_from", "rollout_percent")
    list_filter = ("policy",)
    list_select_related = ("policy",)
    search_fields = ("policy__name", "note")
    readonly_fields = (
        "policy", "number", "state", "changes", "effective_from", "rollout_percent",
        "published_at", "published_by", "rules_in_words",
    )  # fmt: skip
    fields = (*readonly_fields[:-1], "note", *TERMS)
    actions_detail = ("against_usage", "publish", "roll_out", "roll_back")

    @display(description="State", label=_STATES)
    def state(self, version: PolicyVersion) -> str:
        return version_state(version)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            return fields
        return ["rules_in_words" if each == "rules" else each for each in fields]

    @display(description="Who may run what")
    def rules_in_words(self, version: PolicyVersion) -> str:
        return in_units("rules", version.rules) if version.rules else "everything may run"

    @display(description="Changes")
    def changes(self, version: PolicyVersion) -> SafeString | str:
        return differences_shown(version)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_change_permission(request, obj))
        return allowed and (obj is None or obj.is_draft)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and obj is not None and obj.is_draft

    def _version(self, request: HttpRequest, object_id: str) -> PolicyVersion | None:
        version: PolicyVersion | None = self.get_object(request, object_id)
        return version

    def _page_of(self, version: PolicyVersion | None) -> HttpResponseRedirect:
        if version is None:
            return HttpResponseRedirect(reverse("admin:tenants_policyversion_changelist"))
        return HttpResponseRedirect(
            reverse("admin:tenants_policyversion_change", args=[version.pk])
        )

    @action(
        description="Against usage", icon="query_stats", permissions=["view"],
        url_path="against-usage",
    )  # fmt: skip
    def against_usage(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What of past usage would have been over the limits, and against the rules."""
        version = self._version(request, object_id)
        if version is None:
            return self._page_of(None)
        now, today = timezone.now(), timezone.localdate()
        chosen = {"first": today - timedelta(days=29), "last": today}
        form = MonthForm(request.GET if DAYS & set(request.GET) else None, initial=chosen)
        found, refused = None, ""
        asked = form if form.is_bound else MonthForm(chosen)
        if asked.is_valid():
            try:
                found = simulate(version, *asked.bounds, as_of=now)
            except TooMuchUsage as refusal:
                refused = sentence(refusal)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{version} against usage",
            "form": form,
            "back": reverse("admin:tenants_policyversion_change", args=[version.pk]),
            "refused": refused,
            "found": found,
            **(table_of(found) if found is not None else {}),
            **spend_shown(version, request.GET, as_of=now),
        }
        return TemplateResponse(request, "admin/hostmeter/policy_usage.html", context)

    @action(description="Publish", icon="publish", permissions=["operate"], url_path="publish")
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        version = self._version(request, object_id)
        if version is None or not version.is_draft:
            return self._page_of(version)
        form = PublishForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            now, data = timezone.now(), form.cleaned_data
            note_reason(data["reason"])
            try:
                publish(
                    version,
                    effective_from=data["effective_from"] or now,
                    rollout_percent=data["rollout_percent"],
                    by=str(request.user),
                    as_of=now,
                )
            except PolicyRefused as refusal:
                form.add_error(None, sentence(refusal))
            else:
                messages.success(request, f"{version} is published.")
                return self._page_of(version)
        changes = difference_rows(changes_to_come(version))
        return form_page(
            self, request, form, title=f"Publish {version}?",
            text="What is published never changes; you can follow it with another version, or "
            "take it back. It changes this:" if changes else "It changes nothing.",
            objects=[f"{label}: {before} → {after}" for label, before, after in changes],
            submit="Publish",
        )  # fmt: skip

    @action(
        description="Roll out", icon="stacked_line_chart", permissions=["operate"],
        url_path="roll-out",
    )  # fmt: skip
    def roll_out(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        version = self._version(request, object_id)
        if version is None or version.is_draft:
            return self._page_of(version)
        form = ShareForm(request.POST or None, initial={"rollout_percent": version.rollout_percent})
        if request.method == "POST" and form.is_valid():
            note_reason(form.cleaned_data["reason"])
            try:
                roll_out(version, form.cleaned_data["rollout_percent"])
            except PolicyRefused as refusal:
                form.add_error(None, sentence(refusal))
            else:
                messages.success(request, f"{version}: the hosts fetch it within a minute or two.")
                return self._page_of(version)
        return form_page(
            self, request, form, title=f"Roll {version} out",
            text="Hosts that have it keep it while the share grows; a smaller share gives the "
            "others the version before.", submit="Roll out",
        )  # fmt: skip

    @action(description="Take back", icon="undo", permissions=["operate"], url_path="roll-back")
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        version = self._version(request, object_id)
        if version is None or version.is_draft or version.rolled_back_at is not None:
            return self._page_of(version)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            note_reason(form.cleaned_data["reason"])
            roll_back(version, as_of=timezone.now())
            messages.success(request, f"{version} is taken back.")
            return self._page_of(version)
        return form_page(
            self, request, form, title=f"Take {version} back?",
            text="Every host goes by the version before it again, within a minute or two. It is "
            "for good: publish a new version to go on.", submit="Take back",
        )  # fmt: skip

    def has_operate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("tenants.change_policyversion")


class ReasonForm(forms.Form):
    """Only why."""

    reason = PublishForm.base_fields["reason"]
