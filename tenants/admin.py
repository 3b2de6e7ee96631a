"""Who: tenants, members, customers, environments, policies and credentials."""

from datetime import datetime, timedelta
from typing import Any

import django.contrib.auth.admin  # noqa: F401
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from tenants import (  # noqa: F401 registered with the app's other pages
    admin_audit,
    admin_mail,
    admin_sign_in_provider,
    admin_webhooks,
)
from tenants.admin_history import HistoryPages, ReasonedForm
from tenants.admin_import import ImportsAndExports, TenantResource
from tenants.admin_pages import (
    ActionsAdmin,
    MarkedAdmin,
    action,
    ago,
    display,
    form_page,
    in_a_tenant,
    name_with_badge,
    secret_page,
)
from tenants.admin_tenants import ZoneField
from tenants.audit import note
from tenants.models import (
    ApiKey,
    Customer,
    EnrolmentToken,
    Environment,
)
from tenants.operations import (
    KeyNotInUse,
    issue_api_key,
    issue_enrolment_token,
    rotate_api_key,
)
from tenants.refusals import sentence
from tenants.scopes import CUSTOMER_SCOPES, SCOPES

# Rights come from the role in a tenant, never from a group that all tenants share. The import
# registers it; this module is loaded before.
admin.site.unregister(Group)


class CustomerRows(TenantResource):
    """Customers by their reference: known ones are changed, others added."""

    class Meta:
        model = Customer
        import_id_fields = ("reference",)
        fields = ("reference", "name", "time_zone")
        export_order = fields
        skip_unchanged = True
        clean_model_instances = True


@admin.register(Customer)
class CustomerAdmin(HistoryPages, ImportsAndExports, MarkedAdmin):
    resource_classes = (CustomerRows,)

    class Form(ReasonedForm):
        time_zone = ZoneField(help_text="Days and billing months are this zone's.", initial="UTC")

    form = Form
    empty_hint = "Add whom you bill; then give them a subscription and assign applications to them."
    list_display = ("shown_name", "reference", "time_zone", "created_at")
    list_filter = ("generated",)
    search_fields = ("name", "reference")
    fields = ("name", "reference", "time_zone")

    @display(description="Name", ordering="name")
    def shown_name(self, customer: Customer) -> SafeString | str:
        return name_with_badge(customer.name, customer.generated)


class IssueTokenForm(forms.Form):
    """Which environment the next host enrols into."""

    environment = forms.ModelChoiceField(
        queryset=Environment.objects.none(), widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the query would run outside of any tenant.
        environments = Environment.objects.filter(generated=False, retired_at__isnull=True)
        self.fields["environment"].queryset = environments  # type: ignore[attr-defined]
        self.has_choice = environments.exists()


def environment_hint() -> SafeString:
    """What to do where no host can enrol yet."""
    return format_html(
        'A host enrols into an environment, and there is none yet. <a class="text-primary-600 '
        'underline dark:text-primary-500" href="{}">Add an environment</a> first.',
        reverse("admin:tenants_environment_add"),
    )


class _Credentials(HistoryPages, ActionsAdmin):
    """Secrets are issued on a page of their own, shown once, and revoked, never edited."""

    actions = ("revoke",)

    def has_issue_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return in_a_tenant(request) and request.user.has_perm(
            f"{self.opts.app_label}.add_{self.opts.model_name}"
        )

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: "QuerySet[Any]") -> None:
        now = timezone.now()
        ended = list(chosen.filter(revoked_at__isnull=True).select_for_update(of=("self",)))
        chosen.filter(pk__in=[each.pk for each in ended]).update(revoked_at=now)
        for each in ended:
            self.note_revoked(each, now)
        messages.success(request, f"Revoked: {len(ended)}.")

    def note_revoked(self, credential: Any, as_of: datetime) -> None:
        """Put the end of one into the audit log, where that kind stands in it."""


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(_Credentials):
    empty_hint = "Issue one above; with it a host's agent enrols, once, within an hour."
    list_display = ("environment", "status", "created_at", "expires_at")
    list_filter = ("environment",)
    list_select_related = ("environment",)
    fields = ("environment", "status", "created_at", "expires_at", "used_at", "revoked_at")
    readonly_fields = fields
    actions_list = ("issue",)

    @display(
        description="Status",
        label={"usable": "success", "used": "info", "expired": "warning", "revoked": "danger"},
    )
    def status(self, token: EnrolmentToken) -> str:
        if token.used_at:
            return "used"
        if token.revoked_at:
            return "revoked"
        return "usable" if token.is_usable(timezone.now()) else "expired"

    @action(description="Issue a token", icon="add", permissions=["issue"], url_path="issue")
    def issue(self, request: HttpRequest) -> HttpResponseBase:
        form = IssueTokenForm(request.POST or None)
        if not (request.method == "POST" and form.is_valid()):
            return form_page(
                self,
                request,
                form,
                title="Issue an enrolment token",
                text="It lets one host enrol, once, within an hour. It is shown only once."
                if form.has_choice
                else environment_hint(),
                submit="Issue token",
            )
        token = issue_enrolment_token(form.cleaned_data["environment"], as_of=timezone.now())
        server = f"{request.scheme}://{request.get_host()}"
        return secret_page(
            self,
            request,
            title="Enrolment token",
            text="Copy it now: only its hash is stored, and it cannot be shown again.",
            secret=token,
            command_text="On the host, which then asks for it:",
            command=f"hostmeter-agent enrol --server {server} --token-file - "
            "--state /var/lib/hostmeter-agent",
        )


class IssueKeyForm(forms.Form):
    """What uses the key, what it may do, for whom and until when."""

    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    customer = forms.ModelChoiceField(
        queryset=Customer.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="The key then sees this customer alone, and changes nothing.",
    )
    days = forms.IntegerField(
        label="Expires after days",
        min_value=1,
        max_value=3_650,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Left empty, it holds until it is revoked.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the query would run outside of any tenant.
        self.fields["customer"].queryset = Customer.objects.all()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        beyond = [scope for scope in data.get("scopes", []) if scope not in CUSTOMER_SCOPES]
        if data.get("customer") and beyond:
            self.add_error("scopes", f"A customer's own key cannot have {', '.join(beyond)}.")
        return data

    def issued(self) -> str:
        """The fresh key."""
        now, days, data = timezone.now(), self.cleaned_data["days"], self.cleaned_data
        key = issue_api_key(
            data["name"],
            data["scopes"],
            customer=data["customer"],
            expires_at=None if days is None else now + timedelta(days=days),
            as_of=now,
        )
        about = {"customer": data["customer"], "subject": data["name"]}
        note("api_key_issued", as_of=now, scopes=sorted(data["scopes"]), **about)
        return key


@admin.register(ApiKey)
class ApiKeyAdmin(_Credentials):
    empty_hint = "Issue one above; with it a program calls the API."
    list_display = ("name", "prefix", "status", "customer", "created_at", "last_used")
    list_select_related = ("customer",)
    search_fields = ("name", "prefix")
    fields = (
        "name",
        "prefix",
        "status",
        "scopes",
        "customer",
        "created_at",
        "expires_at",
        "last_used_at",
        "last_used_from",
        "minutes_used",
        "revoked_at",
    )
    readonly_fields = fields
    actions_list = ("issue",)
    actions_detail = ("rotate",)

    @display(
        description="Status",
        label={"valid": "success", "expired": "warning", "revoked": "danger"},
    )
    def status(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        return "valid" if key.is_usable(timezone.now()) else "expired"

    def note_revoked(self, credential: ApiKey, as_of: datetime) -> None:
        of = credential.customer_id
        note("api_key_revoked", as_of=as_of, customer=of, subject=credential.name)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> str:
        return ago(key.last_used_at, timezone.now())

    @action(description="Issue a key", icon="add", permissions=["issue"], url_path="issue")
    def issue(self, request: HttpRequest) -> HttpResponseBase:
        form = IssueKeyForm(request.POST or None)
        if not (request.method == "POST" and form.is_valid()):
            return form_page(
                self,
                request,
                form,
                title="Issue an API key",
                text="A program calls the API with it. It is shown only once.",
                submit="Issue key",
            )
        return secret_page(
            self,
            request,
            title="API key",
            text="Copy it now: only its hash is stored, and it cannot be shown again.",
            secret=form.issued(),
        )

    @action(description="Rotate", icon="autorenew", permissions=["issue"], url_path="rotate")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        key = self.get_object(request, object_id)
        if key is None:
            return HttpResponseRedirect(reverse("admin:tenants_apikey_changelist"))
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title=f"Rotate {key}?",
                text="You get a fresh key that may do the same. The present one holds for a day "
                "more, so that you can give the program the new one meanwhile.",
                submit="Rotate",
            )
        try:
            secret = rotate_api_key(key, as_of=timezone.now())
        except KeyNotInUse as refusal:
            messages.error(request, sentence(refusal))
            return HttpResponseRedirect(reverse("admin:tenants_apikey_change", args=[key.pk]))
        return secret_page(
            self,
            request,
            title="API key",
            text="Copy it now: only its hash is stored, and it cannot be shown again. The former "
            "key holds for a day more.",
            secret=secret,
        )
