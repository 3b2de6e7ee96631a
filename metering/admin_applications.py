"""Applications in the admin, and whom they are billed to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from import_export.fields import Field
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget

from metering.assignments import PeriodAlreadyInvoiced, running
from metering.core.quality import written
from metering.measured_time import profiles_behind
from metering.measurements import measured_by, profiles
from metering.models import UNATTRIBUTED, Application, Assignment, Instance
from metering.operations import (
    LaterAssignmentExists,
    assign_application,
    unassign_application,
)
from metering.usage_rows import UsagePeriod
from tenants.admin_import import ImportsAndExports, Named, OnlyNew
from tenants.admin_pages import (
    ActionsAdmin,
    MarkedAdmin,
    ReadOnlyInline,
    action,
    chosen_again,
    display,
    form_page,
    name_with_badge,
)
from tenants.models import Customer


class AssignForm(forms.Form):
    """Whom applications are billed to, and from when."""

    customer = forms.ModelChoiceField(
        queryset=Customer.objects.none(), widget=UnfoldAdminSelectWidget
    )
    from_ = forms.ChoiceField(
        label="From",
        choices=[
            ("today", "today, 00:00"),
            ("start", "the start: all of its usage that has no customer yet"),
            ("now", "now"),
        ],
        initial="today",
        widget=UnfoldAdminRadioSelectWidget,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the query would run outside of any tenant.
        self.fields["customer"].queryset = Customer.objects.all()  # type: ignore[attr-defined]

    def from_when(self, application: Application, as_of: datetime) -> datetime | str:
        """When the assignment starts, as metering.operations takes it."""
        wanted = self.cleaned_data["from_"]
        if wanted == "today":
            return timezone.localtime(as_of).replace(hour=0, minute=0, second=0, microsecond=0)
        if wanted == "now":
            return "now"
        ended = application.assignments.filter(ends_at__isnull=False).order_by("ends_at").last()
        return ended.ends_at if ended and ended.ends_at else "first seen"


class AssignedFilter(admin.SimpleListFilter):
    title = "assignment"
    parameter_name = "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Unassigned"), ("yes", "Assigned")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        now = Assignment.objects.filter(running(timezone.now()), application=OuterRef("pk"))
        if self.value() == "no":
            return queryset.filter(~Exists(now))
        return queryset.filter(Exists(now)) if self.value() == "yes" else queryset


class CustomerFilter(admin.SimpleListFilter):
    title = "customer"
    parameter_name = "customer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in Customer.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        chosen = self.value()
        if chosen is None or chosen not in dict(self.lookup_choices):
            return queryset
        theirs = Assignment.objects.filter(
            running(timezone.now()), application=OuterRef("pk"), customer_id=UUID(chosen)
        )
        return queryset.filter(Exists(theirs))


UNASSIGNED = format_html(
    '<span class="bg-orange-100 dark:bg-orange-500/20 dark:text-orange-400 font-semibold '
    'px-2 py-1 rounded-default text-orange-700 text-xs">{}</span>',
    "unassigned",
)


def payer_of(application: Any) -> Customer | None:
    """Whom its usage is billed to now, as ApplicationAdmin.get_queryset has read it."""
    if application.name == UNATTRIBUTED:
        return None
    return next((each.customer for each in application.current), None)


def _with_payer(application: Application) -> str:
    return f"{application}: billed to {payer_of(application) or 'nobody'} now"


class ApplicationAssignments(ReadOnlyInline):
    model = Assignment
    fields = ("customer", "starts_at", "ends_at")
    verbose_name_plural = "billed to"


class ApplicationInstances(ReadOnlyInline):
    model = Instance
    fields = ("host", "name", "first_seen_at")
    readonly_fields = fields
    per_page = 20


class _ApplicationNamed(Named):
    """An application's name is one's own within its environment only."""

    def get_queryset(self, value: Any, row: Any, *args: Any, **options: Any) -> Any:
        return Application.objects.filter(environment__name=row.get("environment", ""))


class AssignmentRows(OnlyNew):
    """Whom applications are billed to from when on, as assigning them one by one does."""

    environment = Field("application__environment__name", "environment", readonly=True)
    application = Field("application", "application", _ApplicationNamed(Application, "name"))
    customer = Field("customer", "customer", Named(Customer, "reference"))

    class Meta:
        model = Assignment
        import_id_fields = ("application", "customer", "starts_at")
        fields = ("environment", "application", "customer", "starts_at")
        export_order = fields

    def do_instance_save(self, instance: Any, is_create: bool) -> None:
        instance.pk = assign_application(
            instance.application,
            instance.customer,
            from_=instance.starts_at,
            as_of=timezone.now(),
        ).pk

    def filter_export(self, queryset: Any, **options: Any) -> Any:
        """Of the applications that the list shows."""
        assignments = Assignment.objects.filter(application__in=queryset.order_by())
        ordered = assignments.select_related("application__environment", "customer")
        return super().filter_export(ordered.order_by("application", "starts_at"), **options)


@admin.register(Application)
class ApplicationAdmin(ImportsAndExports, ActionsAdmin, MarkedAdmin):
    resource_classes = (AssignmentRows,)
    # The rows are assignments, and the log of applications does not take them.
    skip_admin_log = True
    empty_hint = "Applications appear here by themselves as soon as a host delivers their usage."
    list_display = ("shown_name", "billed_to", "environment", "first_seen_at")
    list_filter = (AssignedFilter, CustomerFilter, "environment", "generated")
    list_select_related = ("environment",)
    search_fields = ("name", "environment__name")
    fields = ("name", "environment", "first_seen_at", "measured_how")
    readonly_fields = fields
    inlines = (ApplicationAssignments, ApplicationInstances)
    actions = ("assign", "stop_billing")
    actions_detail = ("assign_one", "stop_billing_one")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Application]":
        current = Assignment.objects.filter(running(timezone.now())).select_related("customer")
        return (
            super()
            .get_queryset(request)
            .prefetch_related(Prefetch("assignments", queryset=current, to_attr="current"))
        )

    @display(description="Name", ordering="name")
    def shown_name(self, application: Application) -> SafeString | str:
        return name_with_badge(application.name, application.generated)

    @display(description="Measured, last 24 hours")
    def measured_how(self, application: Application) -> SafeString | str:
        now = timezone.now()
        day = UsagePeriod(application.pk, now - timedelta(hours=24), now)
        ids = profiles_behind([day]).get(application.pk, frozenset())
        known = profiles(ids)
        stated = {name for profile in known.values() for name in profile.meters}
        shown = [(name, written(measured_by(ids, known, name))) for name in sorted(stated)]
        return format_html_join(mark_safe("<br>"), "{}: {}", shown) or "not stated"

    @display(description="Billed to")
    def billed_to(self, application: Any) -> SafeString | str:
        if application.name == UNATTRIBUTED:
            return "nobody: its usage belongs to no program"
        customer = payer_of(application)
        return str(customer) if customer else UNASSIGNED

    def has_assign_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("metering.add_assignment")

    @admin.action(description="Assign to a customer …", permissions=["assign"])
    def assign(
        self, request: HttpRequest, applications: "QuerySet[Application]"
    ) -> HttpResponse | None:
        chosen = list(applications)
        form = AssignForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            self._assign(request, chosen, form)
            return None
        return self._assign_page(request, chosen, form, hidden=chosen_again("assign", chosen))

    @action(description="Assign to a customer", permissions=["assign"], url_path="assign")
    def assign_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        application = self.get_object(request, object_id)
        if application is None:
            return HttpResponseRedirect(reverse("admin:metering_application_changelist"))
        form = AssignForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._assign(request, [application], form)
            return HttpResponseRedirect(
                reverse("admin:metering_application_change", args=[application.pk])
            )
        return self._assign_page(request, [application], form)

    def _assign_page(
        self,
        request: HttpRequest,
        chosen: list[Application],
        form: AssignForm,
        hidden: list[tuple[str, str]] | None = None,
    ) -> HttpResponse:
        return form_page(
            self,
            request,
            form,
            title="Assign to a customer",
            text="Their usage is billed to the customer until further notice.",
            objects=[_with_payer(each) for each in chosen],
            hidden=hidden or [],
            submit="Assign",
        )

    def _assign(self, request: HttpRequest, chosen: list[Application], form: AssignForm) -> None:
        as_of = timezone.now()
        customer = form.cleaned_data["customer"]
        assigned = 0
        for application in chosen:
            try:
                assign_application(
                    application,
                    customer,
                    form.from_when(application, as_of),  # type: ignore[arg-type]
                    as_of=as_of,
                )
            except (LaterAssignmentExists, PeriodAlreadyInvoiced) as refusal:
                messages.error(request, f"{application} is left as it is: {refusal}.")
            else:
                self.log_change(request, application, f"Assigned to {customer}.")
                assigned += 1
        if assigned:
            messages.success(request, f"Assigned to {customer}: {assigned}.")

    @admin.action(description="Stop billing …", permissions=["assign"])
    def stop_billing(
        self, request: HttpRequest, applications: "QuerySet[Application]"
    ) -> HttpResponse | None:
        chosen = list(applications)
        if "confirmed" not in request.POST:
            return self._stop_page(request, chosen, chosen_again("stop_billing", chosen))
        self._stop(request, chosen)
        return None

    @action(description="Stop billing", permissions=["assign"], url_path="stop-billing")
    def stop_billing_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        application = self.get_object(request, object_id)
        if application is None:
            return HttpResponseRedirect(reverse("admin:metering_application_changelist"))
        if request.method != "POST":
            return self._stop_page(request, [application])
        self._stop(request, [application])
        return HttpResponseRedirect(
            reverse("admin:metering_application_change", args=[application.pk])
        )

    def _stop_page(
        self,
        request: HttpRequest,
        chosen: Sequence[Application],
        hidden: Sequence[tuple[str, str]] = (),
    ) -> HttpResponse:
        return form_page(
            self,
            request,
            forms.Form(),
            title="Stop billing?",
            text="From now on their usage is kept and billed to nobody, until they are assigned "
            "again. What was used before is billed as it was.",
            objects=[_with_payer(each) for each in chosen],
            hidden=hidden,
            submit="Stop billing",
        )

    def _stop(self, request: HttpRequest, chosen: Sequence[Application]) -> None:
        stopped, unassigned = 0, 0
        for application in chosen:
            if payer_of(application) is None:
                unassigned += 1
                continue
            try:
                unassign_application(application, as_of=timezone.now())
            except PeriodAlreadyInvoiced as refusal:
                messages.error(request, f"{application} is left as it is: {refusal}.")
            else:
                self.log_change(request, application, "Stopped billing.")
                stopped += 1
        messages.info(
            request, f"Billing stopped: {stopped}, billed to nobody already: {unassigned}."
        )
