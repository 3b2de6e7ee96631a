"""Allocation in the admin: the rules, and what a host's usage comes to and was spread to whom."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from hostmeter_agent.wire import METERS_BY_NAME
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from metering.allocated_events import capacity_over, spread_from
from metering.allocation import MaximumNotAllocated, host_allocation
from metering.allocation_rules import AllocationRuleNotUsable, state_rule
from metering.core.allocation import HostAllocation, Share
from metering.core.hours import hour_of
from metering.core.posting import SPREADABLE
from metering.models import Application, Host
from metering.stated_models import AllocationFailure, AllocationRule
from tenants.admin_figures import DaysForm, Table
from tenants.admin_pages import (
    ScopedAdmin,
    action,
    ago,
    display,
    form_page,
    in_tenants_zone,
)
from tenants.models import Customer
from tenants.refusals import sentence

if TYPE_CHECKING:
    from tenants.admin_pages import MarkedAdmin as _Pages
else:
    _Pages = object

# A part of the page's bar, and its shade.
_Part = tuple[str, int, str]

_ROWS_MAX: Final = 500
_FAILURES_MAX: Final = 50
_BAR_WIDTH: Final = 600
_METER_CHOICES: Final = [(meter, meter) for meter in SPREADABLE]
_SPREAD_CHOICES: Final = [
    ("by_share", "by share of what each used"),
    ("evenly", "evenly, the same to each"),
    ("none", "not at all: it stays the host's"),
]
# What reads well of a meter's small unit: its name, how many make one.
_UNITS: Final = {
    "µs": ("CPU-hours", 3_600 * 10**6),
    "byte·s": ("GB-hours", 3_600 * 10**9),
    "count·s": ("count-hours", 3_600),
    "byte": ("MB", 10**6),
    "count": ("count", 1),
}


class AllocationRuleForm(forms.Form):
    """Which usage is spread how, and from when."""

    meter = forms.ChoiceField(
        choices=_METER_CHOICES,
        widget=UnfoldAdminSelectWidget,
        help_text="Idle usage is known of cpu.time and memory.used, where the host says how many "
        "processors and how much memory it has; unattributed usage of every meter.",
    )
    spread = forms.ChoiceField(
        choices=_SPREAD_CHOICES, initial="by_share", widget=UnfoldAdminRadioSelectWidget
    )
    host = forms.ModelChoiceField(
        queryset=Host.objects.none(),
        required=False,
        empty_label="all hosts",
        widget=UnfoldAdminSelectWidget,
    )
    host_class = forms.CharField(
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        help_text="In place of one host: all hosts of this class. The narrowest rule decides.",
    )
    starts_at = forms.SplitDateTimeField(label="From", widget=UnfoldAdminSplitDateTimeWidget)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Not in the declaration: there the queries would run outside of any tenant.
        self.fields["host"].queryset = Host.objects.all()  # type: ignore[attr-defined]
        self.fields["starts_at"].help_text = "The start of an hour (UTC), up to 92 days ago."
        in_tenants_zone(self.fields["starts_at"])  # type: ignore[arg-type]

    def make(self, author: str) -> AllocationRule | None:
        """The rule; None where it cannot be, with the reason on the form."""
        given = self.cleaned_data
        try:
            return state_rule(
                given["meter"],
                given["spread"],
                starts_at=given["starts_at"],
                host=given["host"],
                host_class=given["host_class"],
                author=author,
                as_of=timezone.now(),
            )
        except (AllocationRuleNotUsable, MaximumNotAllocated) as refusal:
            self.add_error(None, sentence(refusal))
            return None


@admin.register(AllocationRule)
class AllocationRuleAdmin(ScopedAdmin):
    empty_hint = (
        "A rule says how usage of a host that belongs to nobody is spread over the applications on "
        "it. What is spread of cpu.time is usage of cpu.time.allocated, which a plan can price."
    )
    list_display = ("meter", "spread", "hosts", "starts_at", "author")
    list_filter = ("meter",)
    list_select_related = ("host",)
    search_fields = ("meter", "host__name", "host_class", "author")
    fields = ("meter", "spread", "hosts", "starts_at", "author", "made_at")
    readonly_fields = fields

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        failed = AllocationFailure.objects.select_related("host")
        if request.method == "GET" and (first := failed.first()) is not None:
            messages.warning(
                request,
                f"Not spread, for a failure: {failed.count()}. The first: {first}. Mend it and run "
                "manage.py allocate, which tries again.",
            )
        return super().changelist_view(request, extra_context)

    @display(description="Of")
    def hosts(self, rule: AllocationRule) -> str:
        return rule.hosts_in_words

    @display(description="Made at")
    def made_at(self, rule: AllocationRule) -> str:
        return str(display_for_value(rule.created_at, "-"))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AllocationRuleForm(
            request.POST or None, initial={"starts_at": hour_of(timezone.now())}
        )
        made = form.make(str(request.user)) if form.is_valid() else None
        if made is None:
            return form_page(
                self,
                request,
                form,
                title="State an allocation rule",
                text="It cannot be changed, only followed by another one. Each hour is posted half "
                "an hour after its end; hours that are over already, within minutes. What that "
                "adds to issued invoices is billed as your policy for late usage says.",
                submit="State the rule",
            )
        self.log_addition(request, made, f"Stated: {made}")
        messages.success(request, "Stated. Hours that are over are spread every 10 minutes.")
        return HttpResponseRedirect(reverse("admin:metering_allocationrule_changelist"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HostAllocationForm(DaysForm):
    """Which meter, and which days."""

    days_max = 92
    field_order = ("meter", "first", "last")

    meter = forms.ChoiceField(choices=_METER_CHOICES, widget=UnfoldAdminSelectWidget)


class AllocationPages(_Pages):
    """The page of one host's allocation, for the hosts' admin."""

    @action(description="Allocation", permissions=["view"], url_path="allocation")
    def allocation(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        host = Host.objects.filter(pk=object_id).first()
        if host is None:
            raise Http404("There is no such host.")
        today = timezone.localtime().date()
        usual = {"meter": "cpu.time", "first": today - timedelta(days=1), "last": today}
        form = HostAllocationForm(request.GET or usual)
        tables: list[Table] = []
        if form.is_valid():
            given = form.cleaned_data
            tables = failure_tables(host, given["meter"], *form.bounds)
            tables += allocation_tables(host, given["meter"], *form.bounds, as_of=timezone.now())
        return TemplateResponse(
            request,
            "admin/hostmeter/figures_page.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "form": form,
                "title": f"Allocation of {host}",
                "text": "What the host's usage comes to, and what was spread of the part that "
                "nobody used. Idle is by the capacity with which each hour was posted, and in "
                "hours of which nothing is posted by what the host states now. What came late is "
                "spread with the next run.",
                "back": "All hosts",
                "tables": tables,
                "nothing": "Nothing was measured on this host in these days."
                if form.is_valid()
                else "",
            },
        )


def failure_tables(host: Host, meter: str, start: datetime, end: datetime) -> list[Table]:
    """What of [start, end) could not be posted, the oldest first; none where nothing failed."""
    now = timezone.now()
    of_host = Q(host=host, meter=meter) | Q(host__isnull=True)
    failures = AllocationFailure.objects.filter(of_host, hour__gte=hour_of(start), hour__lt=end)
    rows = [
        [f"{each.hour.astimezone(UTC):%Y-%m-%d %H:%M}", each.reason, ago(each.failed_at, now)]
        for each in failures[:_FAILURES_MAX]
    ]
    if not rows:
        return []
    more = failures.count() - len(rows)
    if more:
        rows.append([f"and {more} more", "", ""])
    heading = "Not spread, for a failure; manage.py allocate tries these hours again"
    return [(heading, {"headers": ["Hour (UTC)", "Reason", "Tried"], "rows": rows})]


def allocation_tables(
    host: Host, meter: str, start: datetime, end: datetime, *, as_of: datetime
) -> list[Table]:
    """What the host comes to from `start` up to now, and each application's part; none where
    nothing was measured."""
    end = max(start, min(end, hour_of(as_of)))
    found = host_allocation(host, meter, start, end, "none", capacity_over(host, meter, start, end))
    spread = spread_from(host, meter, start, end)
    if not found.total and not spread:
        return []
    unit, raw_per_unit = _UNITS[METERS_BY_NAME[meter].unit]
    written, parts = _Figures(raw_per_unit, found.total), _parts(found)
    return [
        (
            format_html("The host, {} {}", unit, _bar(parts, found.total)),
            _whole_table(found, parts, sum(spread.values()), written),
        ),
        (f"By application, {unit}", _application_table(found, spread, written)),
    ]


class _Figures:
    """Quantities of a meter's small unit as a page writes them, beside a whole."""

    def __init__(self, raw_per_unit: int, whole: int) -> None:
        self.raw_per_unit, self.whole = raw_per_unit, whole

    def row(self, raw: int) -> list[SafeString]:
        """The quantity, its share of the whole and every digit of it."""
        return [_unbroken(self.quantity(raw)), _unbroken(self.share(raw)), _unbroken(f"{raw:,}")]

    def quantity(self, raw: int) -> str:
        thousandths = (2_000 * raw + self.raw_per_unit) // (2 * self.raw_per_unit)
        sign = "-" if thousandths < 0 else ""
        return f"{sign}{abs(thousandths) // 1_000:,}.{abs(thousandths) % 1_000:03}"

    def share(self, raw: int) -> str:
        tenths = (2_000 * raw + self.whole) // (2 * self.whole) if self.whole else 0
        return f"{tenths // 10}.{tenths % 10}%"


def _parts(found: HostAllocation) -> list[_Part]:
    used = sum(each.share.own for each in found.shares if each.share.customer_id is not None)
    unassigned = found.used - used
    return [
        ("Used by customers' applications", used, "1"),
        ("Used by applications of no customer", unassigned, "0.6"),
        ("Unattributed, and the system's own", found.unattributed, "0.4"),
        ("Idle", found.idle or 0, "0.15"),
    ]


def _whole_table(
    found: HostAllocation, parts: Sequence[_Part], spread: int, written: _Figures
) -> dict[str, Any]:
    rows: list[list[SafeString | str]] = [
        [_with_swatch(name, shade), *written.row(raw)]
        for name, raw, shade in parts
        if name != "Idle" or found.idle is not None
    ]
    if found.idle is None:
        rows.append(["Idle", "not known: its capacity is not stated", "", ""])
    nobodys = found.unattributed + (found.idle or 0)
    together = [
        ("Together", found.total),
        ("Spread over applications", spread),
        ("Not spread", nobodys - spread),
    ]
    rows += [[name, *written.row(raw)] for name, raw in together]
    return {"headers": ["What", "Quantity", "Share", "Exact"], "rows": rows}


def _unbroken(figure: str) -> SafeString:
    return format_html('<span class="whitespace-nowrap">{}</span>', figure)


def _with_swatch(name: str, shade: str) -> SafeString:
    return format_html(
        '<svg width="10" height="10" aria-hidden="true" class="inline-block text-primary-600">'
        '<rect width="10" height="10" fill="currentColor" opacity="{}"></rect></svg> {}',
        shade,
        name,
    )


def _bar(parts: Sequence[_Part], whole: int) -> SafeString:
    """The parts beside each other; the figures stand below."""
    rects, given, raw_before = [], 0, 0
    for _, raw, shade in parts:
        raw_before += raw
        up_to = _BAR_WIDTH * raw_before // whole if whole else 0
        rects.append((given, up_to - given, shade))
        given = up_to
    return format_html(
        '<svg width="100%" height="12" viewBox="0 0 {} 12" preserveAspectRatio="none" '
        'aria-hidden="true" class="text-primary-600">{}</svg>',
        _BAR_WIDTH,
        format_html_join(
            "",
            '<rect x="{}" y="0" width="{}" height="12" fill="currentColor" opacity="{}"></rect>',
            rects,
        ),
    )


def _application_table(
    found: HostAllocation, spread: Mapping[tuple[UUID, UUID | None], int], written: _Figures
) -> dict[str, Any]:
    own = {(each.share.application_id, each.share.customer_id): each.share for each in found.shares}
    keys = sorted({*own, *spread}, key=lambda key: -(own[key].own if key in own else 0))
    applications = Application.objects.in_bulk({key[0] for key in keys[:_ROWS_MAX]})
    customers = Customer.objects.in_bulk({key[1] for key in keys[:_ROWS_MAX] if key[1]})
    rows = []
    for application_id, customer_id in keys[:_ROWS_MAX]:
        key = application_id, customer_id
        used, given = own.get(key, Share(*key, 0)).own, spread.get(key, 0)
        rows.append(
            [
                str(applications[application_id]),
                "no customer" if customer_id is None else str(customers[customer_id]),
                written.quantity(used),
                written.quantity(given),
                written.quantity(used + given),
            ]
        )
    if len(keys) > _ROWS_MAX:
        rows.append([f"and {len(keys) - _ROWS_MAX} more", "", "", "", ""])
    return {
        "headers": ["Application", "Customer", "Used", "Spread to it", "Together"],
        "rows": rows,
    }
