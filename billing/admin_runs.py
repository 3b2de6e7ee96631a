"""Billing runs in the admin: how far each is, and what it could not close."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.closing import begin_run
from billing.models import BillingRun, BillingShard
from tenants.admin_pages import ActionsAdmin, action, display, form_page
from tenants.scope import current_tenant_id

# A page of failures; what is behind them is mostly one and the same.
_FAILURES_SHOWN = 200
# The list loads itself anew while a run goes on, so that its share is seen to grow.
_REFRESH_SECONDS = 2
_LENGTH = Func(F("failures"), function="jsonb_array_length", output_field=IntegerField())


@admin.register(BillingRun)
class BillingRunAdmin(ActionsAdmin):
    empty_hint = (
        "A run begins by itself within minutes after a billing period has ended, and drafts the "
        "invoices of all customers for whom one is due."
    )
    list_display = ("as_of", "progress", "drafted", "failed", "created_at", "finished_at")
    fields = (
        ("as_of", "progress"),
        ("drafted", "failed"),
        "failures",
        ("created_at", "finished_at"),
    )
    readonly_fields = (
        "as_of",
        "progress",
        "drafted",
        "failed",
        "failures",
        "created_at",
        "finished_at",
    )
    actions_list = ("close_due",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[BillingRun]":
        runs: QuerySet[BillingRun] = super().get_queryset(request)
        # Subqueries: the database's keys hold the tenant, so it cannot group by the id alone.
        shards = BillingShard.objects.filter(run=OuterRef("pk")).order_by().values("run")
        return runs.annotate(
            shard_count=_of(shards, Count("pk")),
            done_count=_of(shards, Count("pk", filter=Q(done_at__isnull=False))),
            invoice_count=_of(shards, Sum("invoices")),
            failure_count=_of(shards, Sum(_LENGTH)),
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer: HttpResponse = super().changelist_view(request, extra_context)
        if BillingRun.objects.filter(finished_at__isnull=True).exists():
            answer["Refresh"] = str(_REFRESH_SECONDS)
        return answer

    @display(description="Closed")
    def progress(self, run: Any) -> str:
        share = 100 * run.done_count // run.shard_count if run.shard_count else 100
        return f"{share}% of {run.subscriptions} subscriptions"

    @display(description="Drafted")
    def drafted(self, run: Any) -> int:
        return int(run.invoice_count)

    @display(description="Not closed")
    def failed(self, run: Any) -> int:
        return int(run.failure_count)

    @display(description="Why they were not closed")
    def failures(self, run: BillingRun) -> SafeString | str:
        failed = run.shards.exclude(failures=[]).order_by("position")
        every = [pair for shard in failed for pair in shard.failures]
        if not every:
            return "Everything that was due is closed."
        listed = format_html_join("", "<li>{}: {}</li>", every[:_FAILURES_SHOWN])
        return format_html("<ul>{}</ul>", listed)

    @action(description="Close what is due", permissions=["change"], url_path="close-due")
    def close_due(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return form_page(
                self,
                request,
                forms.Form(),
                title="Close what is due?",
                text="The invoice of each billing period that has ended is drafted from the newest "
                "usage. Periods that have one already stay as they are.",
                submit="Begin",
            )
        if begin_run(current_tenant_id(), as_of=timezone.now()):
            messages.success(request, "The run has begun; this page shows how far it is.")
        else:
            messages.info(request, "Nothing is due: every period that has ended is closed.")
        return HttpResponseRedirect(reverse("admin:billing_billingrun_changelist"))


def _of(shards: "QuerySet[Any]", aggregate: Any) -> Coalesce:
    counted = shards.annotate(figure=aggregate).values("figure")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
