"""Unusual drafts, marked so in the list of invoices, and many finalized with a bar of progress."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.core.lifecycle import DRAFTS
from billing.models import Finalizing, FinalizingStep, Invoice, InvoiceReview
from billing.operations.reviews import review_drafts
from tenants.admin_pages import ReadOnlyAdmin, ScopedAdmin, display

if TYPE_CHECKING:
    _Pages = ScopedAdmin
else:
    _Pages = object

_REFUSALS_SHOWN = 200
_KINDS = {
    "total": "an unusual total",
    "negative": "less than nothing",
    "zero": "nothing to pay",
    "first": "a first invoice",
    "coverage": "measured in part",
    "plan": "another plan",
    "credit": "much taken off",
    "hosts": "late hosts",
}
_LABELS = {"alarming": "danger", "to look at": "warning", "to note": "info", "nothing": "success"}
_WORDS = {0: "nothing", 1: "to note", 2: "to look at", 3: "alarming"}


class SeverityFilter(admin.SimpleListFilter):
    """Drafts by how much they ask for a look."""

    title = "unusual"
    parameter_name = "unusual"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("3", "alarming"), ("2", "to look at, or worse"), ("0", "drafts with no mark")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"2", "3"}:
            return queryset.filter(status__in=DRAFTS, severity__gte=int(self.value() or 0))
        return queryset.filter(status__in=DRAFTS, severity=0) if self.value() == "0" else queryset


class MarkFilter(admin.SimpleListFilter):
    """Drafts by what is unusual about them."""

    title = "mark"
    parameter_name = "mark"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return list(_KINDS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in _KINDS:
            return queryset
        marked = InvoiceReview.objects.filter(marks__contains=[[self.value()]])
        return queryset.filter(status__in=DRAFTS, pk__in=marked.values("invoice"))


class ReviewMarks(_Pages):
    """For the invoices' admin: the marks as a column, a field and an action."""

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Invoice]":
        invoices: QuerySet[Invoice] = super().get_queryset(request)
        review = InvoiceReview.objects.filter(invoice=OuterRef("pk"))
        return invoices.annotate(
            severity=Subquery(review.values("severity")[:1]),
            marks=Subquery(review.values("marks")[:1]),
        )

    @display(description="Unusual", ordering=F("severity").desc(nulls_last=True), label=_LABELS)
    def unusual(self, invoice: Any) -> str | tuple[str, str]:
        if invoice.is_issued or invoice.severity is None:
            return "-"
        level = _WORDS[invoice.severity]
        kinds = [_KINDS.get(kind, kind) for kind, *_ in invoice.marks]
        return (level, f"{level}: {', '.join(kinds)}") if kinds else level

    @display(description="Unusual about it")
    def marks_in_words(self, invoice: Any) -> SafeString | str:
        if invoice.is_issued:
            return "-"
        if invoice.marks is None:
            return "Not looked through yet; within minutes it is."
        if not invoice.marks:
            return "Nothing."
        rows = [(_WORDS[severity].capitalize(), words) for _, severity, words in invoice.marks]
        listed = format_html_join("", "<li>{}: {}.</li>", rows)
        return format_html('<ul class="bulleted ml-5">{}</ul>', listed)

    @admin.action(description="Look for what is unusual again", permissions=["change"])
    def look_again(self, request: HttpRequest, invoices: "QuerySet[Invoice]") -> None:
        chosen = list(invoices.values_list("pk", flat=True))
        looked_at = review_drafts(as_of=timezone.now(), among=chosen)
        messages.info(request, f"Drafts looked through: {looked_at}.")


@admin.register(Finalizing)
class FinalizingAdmin(ReadOnlyAdmin):
    empty_hint = "Choose drafts in the list of invoices and finalize them; many are done here."
    list_display = ("created_at", "shown_progress", "refused", "author", "finished_at")
    fields = ("shown_progress", "refusals", ("created_at", "finished_at"), "author")
    readonly_fields = (
        "shown_progress", "refusals", "created_at", "finished_at", "author",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Finalizing]":
        runs: QuerySet[Finalizing] = super().get_queryset(request)
        # Subqueries: the database's keys hold the tenant, so it cannot group by the id alone.
        steps = FinalizingStep.objects.filter(finalizing=OuterRef("pk")).order_by()
        grouped = steps.values("finalizing")
        return runs.annotate(
            step_count=_of(grouped, Count("pk")),
            done_count=_of(grouped, Count("pk", filter=Q(done_at__isnull=False))),
            refused_count=_of(grouped, Count("pk", filter=~Q(refusal=""))),
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.progress)
        name = "billing_finalizing_progress"
        return [path("<uuid:object_id>/progress/", view, name=name), *super().get_urls()]

    @display(description="Finalized")
    def shown_progress(self, run: Any) -> SafeString:
        return _bar(run)

    @display(description="Refused")
    def refused(self, run: Any) -> int:
        return int(run.refused_count)

    @display(description="Why they were refused")
    def refusals(self, run: Finalizing) -> SafeString | str:
        steps = run.steps.exclude(refusal="").select_related("invoice__customer")
        rows = [
            (_page(step.invoice), step.invoice.customer, step.refusal)
            for step in steps.order_by("position")[:_REFUSALS_SHOWN]
        ]
        if not rows:
            return "None was."
        listed = format_html_join("", '<li><a href="{}">{}</a>: {}.</li>', rows)
        return format_html('<ul class="bulleted ml-5">{}</ul>', listed)

    def progress(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The bar alone, for a page that renews it."""
        run = self.get_object(request, str(object_id))
        if run is None or not self.has_view_permission(request, run):
            raise Http404
        answer = HttpResponse(_bar(run))
        if run.finished_at is not None:
            # The whole page then says what was refused.
            answer["HX-Refresh"] = "true"
        return answer


def to_progress(run: Finalizing) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:billing_finalizing_change", args=[run.pk]))


def _bar(run: Any) -> SafeString:
    """How far a run is; it renews itself until it is done."""
    words = f"{run.done_count - run.refused_count} of {run.step_count}"
    if run.finished_at is not None:
        return format_html("<span>{}</span>", words)
    renewed = reverse("admin:billing_finalizing_progress", args=[run.pk])
    return format_html(
        '<span role="status" hx-get="{}" hx-trigger="every 2s" hx-swap="outerHTML">'
        '<progress max="{}" value="{}" aria-label="Finalized"></progress> {}</span>',
        renewed,
        run.step_count,
        run.done_count,
        words,
    )


def _page(invoice: Invoice) -> str:
    return reverse("admin:billing_invoice_change", args=[invoice.pk])


def _of(steps: "QuerySet[Any]", aggregate: Any) -> Coalesce:
    counted = steps.annotate(figure=aggregate).values("figure")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
