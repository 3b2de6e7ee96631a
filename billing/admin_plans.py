"""Plans with their versions and prices in the admin."""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from billing.admin_backtest import (
    FIGURES,
    BacktestForm,
    EffectiveFromForm,
    PublishForm,
    last_month,
    streamed,
)
from billing.admin_price_files import PriceFiles
from billing.admin_prices import PriceInline
from billing.admin_rows import PlanRows, PriceRows
from billing.core.currencies import UnknownCurrency, currency_of
from billing.models import Invoice, Plan, PlanVersion, Price
from billing.operations import (
    VersionAlreadyPublished,
    VersionNotUsable,
    draft_next_version,
    publish_draft,
)
from billing.queries import is_used
from billing.queries.periods import with_use
from tenants.admin_import import Exports, ImportsAndExports
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    ScopedForm,
    action,
    display,
    form_page,
)
from tenants.refusals import sentence


class VersionInline(ReadOnlyInline):
    model = PlanVersion
    fields = ("link", "state", "effective_from", "price_count")
    readonly_fields = fields
    verbose_name_plural = "versions, newest first"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PlanVersion]":
        # A subquery: the database's keys hold the tenant, so it cannot group by the id alone.
        prices = Price.objects.filter(plan_version=OuterRef("pk")).order_by()
        count = prices.values("plan_version").annotate(count=Count("pk")).values("count")
        versions: QuerySet[PlanVersion] = super().get_queryset(request)
        return with_use(versions).annotate(price_count=Coalesce(Subquery(count), 0))

    @display(description="Version")
    def link(self, version: PlanVersion) -> SafeString:
        page = reverse("admin:billing_planversion_change", args=[version.pk])
        return format_html(
            '<a href="{}" class="text-primary-600 dark:text-primary-500">v{}</a>',
            page,
            version.number,
        )

    @display(description="State")
    def state(self, version: PlanVersion) -> str:
        return _state(version)

    @display(description="Prices")
    def price_count(self, version: Any) -> int:
        return int(version.price_count)


def _state(version: Any) -> str:
    """Of one that was read with_use."""
    if version.published_at is None:
        return "draft"
    return "in use" if version.used else "published"


_COUNTING = (
    "primary_factor",
    "replica_factor",
    "standby_factor",
    "transactions_on",
    "primaries",
    "gaps",
)


class PlanVersionForm(ScopedForm):
    """When a version takes effect: after the ones before it and before the ones after it."""

    class Meta:
        model = PlanVersion
        fields = ("plan", "effective_from", "takes_effect", *_COUNTING)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        plan = data.get("plan") or (None if self.instance._state.adding else self.instance.plan)
        start = data.get("effective_from")
        if plan is None or start is None:
            return data
        published = PlanVersion.objects.filter(plan=plan, published_at__isnull=False)
        others = published.exclude(pk=self.instance.pk)
        before, after = others, others.none()
        if not self.instance._state.adding and self.instance.published_at:
            before = others.filter(number__lt=self.instance.number)
            after = others.filter(number__gt=self.instance.number)
        last = before.aggregate(start=Max("effective_from"))["start"]
        following = after.aggregate(start=Min("effective_from"))["start"]
        if last is not None and start < last:
            self._refuse("before", last)
        elif following is not None and start > following:
            self._refuse("after", following)
        return data

    def _refuse(self, which: str, start: datetime) -> None:
        self.add_error(
            "effective_from",
            f"The version {which} takes effect on {timezone.localtime(start):%Y-%m-%d %H:%M}.",
        )


class PlanForm(ScopedForm):
    """A plan in a currency that is in use."""

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"])
        try:
            currency_of(code)
        except UnknownCurrency as refusal:
            raise ValidationError(str(refusal)) from refusal
        return code


@admin.register(Plan)
class PlanAdmin(ImportsAndExports, ScopedAdmin):
    resource_classes = (PlanRows,)
    form = PlanForm
    empty_hint = "Add a plan, then its first version with prices, then subscribe a customer to it."
    list_display = ("name", "currency", "newest_version", "in_effect_from")
    search_fields = ("name",)
    list_filter = ("currency",)
    fields = ("name", "currency")
    inlines = (VersionInline,)
    actions_detail = ("new_version",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Plan]":
        plans: QuerySet[Plan] = super().get_queryset(request)
        # Subqueries: the database's keys hold the tenant, so it cannot group by the id alone.
        versions = PlanVersion.objects.filter(
            plan=OuterRef("pk"), published_at__isnull=False
        ).order_by("-number")
        return plans.annotate(
            newest=Subquery(versions.values("number")[:1]),
            newest_from=Subquery(versions.values("effective_from")[:1]),
        )

    def response_add(
        self, request: HttpRequest, obj: Plan, post_url_continue: str | None = None
    ) -> HttpResponse:
        """On to its first version: without one a plan prices nothing."""
        if "_save" not in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        messages.success(request, f"The plan {obj} is there. Now say what it charges.")
        first = f"{reverse('admin:billing_planversion_add')}?plan={obj.pk}"
        return HttpResponseRedirect(first)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        invoiced = obj is not None and Invoice.objects.filter(plan_version__plan=obj).exists()
        return ("currency",) if invoiced else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Newest version")
    def newest_version(self, plan: Any) -> str:
        return f"v{plan.newest}" if plan.newest else "none yet"

    @display(description="In effect from")
    def in_effect_from(self, plan: Any) -> datetime | None:
        newest: datetime | None = plan.newest_from
        return newest

    @action(description="New version", permissions=["change"], url_path="new-version")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = self.get_object(request, object_id)
        if plan is None:
            return HttpResponseRedirect(reverse("admin:billing_plan_changelist"))
        if not plan.versions.exists():
            return HttpResponseRedirect(
                f"{reverse('admin:billing_planversion_add')}?plan={plan.pk}"
            )
        form = EffectiveFromForm(request.POST or None)
        version = self._copied(plan, form) if request.method == "POST" else None
        if version is None:
            return form_page(
                self,
                request,
                form,
                title=f"New version of {plan}",
                text="A draft with the newest version's prices; change them on the next page. It "
                "bills nothing until you publish it, and you see first what it would change.",
                submit="Create the draft",
            )
        self.log_change(request, plan, f"Drafted version {version.number}.")
        return HttpResponseRedirect(reverse("admin:billing_planversion_change", args=[version.pk]))

    def _copied(self, plan: Plan, form: EffectiveFromForm) -> PlanVersion | None:
        """The new version; None where the form says why there is none."""
        if not form.is_valid():
            return None
        try:
            return draft_next_version(plan, effective_from=form.cleaned_data["effective_from"])
        except VersionNotUsable as refusal:
            form.add_error("effective_from", sentence(refusal))
            return None


@admin.register(PlanVersion)
class PlanVersionAdmin(PriceFiles, Exports, ScopedAdmin):
    """A version's prices. Once an invoice has used it, it is for reading."""

    resource_classes = (PriceRows,)
    form = PlanVersionForm
    empty_hint = "Add a plan first; each change of its prices is a version."
    list_display = ("plan", "number", "state", "effective_from", "editable")
    list_filter = ("plan",)
    list_select_related = ("plan",)
    search_fields = ("plan__name",)
    fields = (
        "plan",
        ("effective_from", "takes_effect"),
        ("primary_factor", "replica_factor", "standby_factor"),
        ("transactions_on", "primaries", "gaps"),
    )
    inlines = (PriceInline,)
    actions_detail = ("backtest", "download_prices", "import_prices")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PlanVersion]":
        return with_use(super().get_queryset(request))

    @display(description="State")
    def state(self, version: Any) -> str:
        return _state(version)

    @display(description="Editable", boolean=True)
    def editable(self, version: Any) -> bool:
        return not version.used

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not is_used(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("plan",) if obj else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The first version of a plan begins with the running month, and so bills it."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        month = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return given | ({"effective_from": month} if "plan" in given else {})

    def save_model(self, request: HttpRequest, obj: PlanVersion, form: Any, change: bool) -> None:
        if not change:
            last = PlanVersion.objects.filter(plan=obj.plan).aggregate(number=Max("number"))
            obj.number = (last["number"] or 0) + 1
            # The first one has nobody to change anything for; every other is looked at first.
            if obj.plan.versions.exists():
                obj.published_at = None
        super().save_model(request, obj, form, change)

    def has_backtest_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of whoever may publish; a version in use is compared as well."""
        return super().has_change_permission(request)

    @action(description="Backtest and publish", permissions=["backtest"], url_path="backtest")
    def backtest(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What the version would have charged; a draft is published from here."""
        version = self.get_object(request, object_id)
        if version is None:
            return HttpResponseRedirect(reverse("admin:billing_planversion_changelist"))
        publishing = None
        if version.published_at is None:
            as_drafted = {name: getattr(version, name) for name in PublishForm.base_fields}
            publishing = PublishForm(request.POST or None, initial=as_drafted)
            if request.method == "POST" and self._published(request, version, publishing):
                page = reverse("admin:billing_planversion_change", args=[version.pk])
                return HttpResponseRedirect(page)
        return self._backtest_page(request, version, publishing)

    def _published(self, request: HttpRequest, version: PlanVersion, form: PublishForm) -> bool:
        """Whether it is; the form says why it is not."""
        if not form.is_valid():
            return False
        try:
            publish_draft(version, as_of=timezone.now(), **form.cleaned_data)
        except VersionAlreadyPublished as refusal:
            form.add_error(None, sentence(refusal))
            return False
        except VersionNotUsable as refusal:
            form.add_error("effective_from", sentence(refusal))
            return False
        self.log_change(request, version, "Published.")
        messages.success(request, f"Version {version.number} is published.")
        return True

    def _backtest_page(
        self, request: HttpRequest, version: PlanVersion, publishing: PublishForm | None
    ) -> HttpResponseBase:
        form = BacktestForm(request.GET or last_month(version))
        page = render_to_string(
            "admin/hostmeter/backtest_page.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "form": form,
                "version": version,
                "title": f"Backtest of {version}",
                "text": "Past usage by the terms of its day, and as this version would bill it. "
                "Nothing is written.",
                "figures": mark_safe(FIGURES),  # noqa: S308
                "back": "All versions",
                "publishing": publishing,
                "publish": request.get_full_path(),
            },
            request,
        )
        if not form.is_valid():
            return HttpResponse(page.replace(FIGURES, ""))
        return streamed(page, version, form.period)
