"""What issued invoices lack of the usage that is known now."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from billing.core.currencies import currency_of
from billing.core.periods import Period
from billing.core.restatement import Charge, Difference, charge_key, differences, steps
from billing.line_copy import Line, NewLine
from billing.models import (
    BillingSettings,
    Discount,
    Invoice,
    InvoiceLine,
    LateUsage,
    Price,
    PriceOverride,
)
from billing.queries.charges import charged_lines
from billing.queries.parties import billing_settings
from billing.taxes import invoice_tax_day
from metering.models import Sample, SampleBatch
from metering.stated_models import Correction

# Of one line; the rest is counted.
WINDOWS_SHOWN_MAX: Final = 50
BATCHES_SHOWN_MAX: Final = 20
CORRECTIONS_SHOWN_MAX: Final = 20
_NEXT_INVOICE: Final = BillingSettings.LateUsage.NEXT_INVOICE
_HOUR: Final = timedelta(hours=1)


def late_usage_deadline(invoice: Invoice, settings: BillingSettings) -> datetime:
    """Usage of the invoice's period that becomes known from here on is not billed any more."""
    return invoice.period_end + timedelta(days=settings.late_usage_days)


def pending_late_usage(invoice: Invoice) -> "QuerySet[LateUsage]":
    """The marks of the invoice that nobody has looked at yet."""
    return LateUsage.objects.filter(invoice=invoice, refused_at__isnull=True)


def changed_invoices(*, noted_before: datetime | None) -> list[Invoice]:
    """Issued invoices with usage that changed since, oldest period first: those on which nothing
    more has come since `noted_before`, or all. Found by their marks; no history is rated."""
    pending = (
        LateUsage.objects.filter(refused_at__isnull=True, invoice__finalized_at__isnull=False)
        .exclude(invoice__status=Invoice.Status.VOID)
        .values("invoice")
        .annotate(last=Max("noted_at"))
    )
    if noted_before is not None:
        pending = pending.filter(last__lt=noted_before)
    return list(
        Invoice.objects.filter(pk__in=pending.values("invoice"))
        .select_related(
            "customer", "plan_version__plan", "subscription__customer", "subscription__plan"
        )
        .order_by("period_start", "pk")
    )


def issued_dependents(invoice: Invoice) -> "QuerySet[Invoice]":
    """The issued invoices of later periods that go on from this one: by a commitment or an
    allowance that rolls over, of its subscription; by a discount for so many periods, of its
    customer."""
    own = Q(subscription=invoice.subscription_id)
    return (
        Invoice.objects.filter(
            own & (Q(subscription__commitment__isnull=False) | _rolls_over()) | _counts_periods(),
            kind=Invoice.Kind.INVOICE,
            customer=invoice.customer_id,
            finalized_at__isnull=False,
            period_start__gte=invoice.period_end,
        )
        .exclude(status=Invoice.Status.VOID)
        .order_by("period_start", "pk")
    )


def _rolls_over() -> Q:
    """Whether an allowance of the period is one that rolls over, the plan's or the customer's own;
    of an own price it is enough that it might."""
    prices = Price.objects.filter(plan_version=OuterRef("plan_version"), rollover_periods__gt=0)
    overrides = PriceOverride.objects.filter(
        customer=OuterRef("customer"), definition__has_key="rollover_periods"
    )
    return Q(Exists(prices)) | Q(Exists(overrides))


def _counts_periods() -> Q:
    limited = Discount.objects.exclude(duration=Discount.Duration.FOREVER)
    whose = (
        Q(customer=OuterRef("customer"))
        | Q(subscription=OuterRef("subscription"))
        | Q(plan=OuterRef("subscription__plan"))
    )
    return Q(Exists(limited.filter(whose)))


def refused_late_usage() -> "QuerySet[LateUsage]":
    """What came too late to be billed, newest first."""
    return (
        LateUsage.objects.filter(refused_at__isnull=False)
        .select_related("invoice__customer", "application")
        .order_by("-noted_at")
    )


def invoices_restated_by(draft: Invoice) -> list[Invoice]:
    """The issued invoices whose late usage belongs on this draft by the tenant's policy: those of
    its customer's earlier periods with marks that are not past the deadline."""
    settings = billing_settings()
    if draft.kind != Invoice.Kind.INVOICE or settings.late_usage != _NEXT_INVOICE:
        return []
    earlier = (
        Invoice.objects.filter(
            Q(late_usage__hour__isnull=True)
            | Q(
                late_usage__noted_at__lt=F("period_end") + timedelta(days=settings.late_usage_days)
            ),
            kind=Invoice.Kind.INVOICE,
            customer=draft.customer_id,
            currency=draft.currency,
            finalized_at__isnull=False,
            period_end__lte=draft.period_start,
            late_usage__refused_at__isnull=True,
        )
        .exclude(status=Invoice.Status.VOID)
        .select_related(
            "customer", "plan_version__plan", "subscription__customer", "subscription__plan"
        )
        .distinct()
    )
    return sorted(earlier, key=lambda each: (each.period_start, each.pk))


def late_lines(draft: Invoice) -> list[NewLine]:
    """The lines of a draft that bill late usage of earlier periods; not stored yet."""
    return [line for each in invoices_restated_by(draft) for line in difference_lines(each)]


def late_lines_of_many(drafts: Sequence[Invoice]) -> list[list[NewLine]]:
    """As late_lines, of drafts that need not be stored yet; customers of whom nothing came late
    are passed over together."""
    if billing_settings().late_usage != _NEXT_INVOICE:
        return [[] for _ in drafts]
    marks = LateUsage.objects.filter(
        refused_at__isnull=True, invoice__customer__in={each.customer_id for each in drafts}
    )
    marked = set(marks.values_list("invoice__customer", flat=True))
    return [late_lines(each) if each.customer_id in marked else [] for each in drafts]


def difference_lines(invoice: Invoice) -> list[NewLine]:
    """What is to be added to what was billed for an issued invoice's period, as lines that are
    not stored yet: what is owed less has a negative amount. Empty where all is billed, and for a
    void invoice, whose period is billed no more."""
    if not invoice.is_issued or invoice.status == Invoice.Status.VOID:
        return []
    period = Period(invoice.period_start, invoice.period_end)
    _, now = charged_lines(invoice.subscription, period)
    billed = billed_lines(invoice)
    templates: dict[Hashable, Line] = {key_of(line): line for line, _ in billed}
    templates |= {key_of(line): line for line in now}
    found = differences(
        [_charge(line) for line in now],
        [_charge(line) if sign > 0 else _charge(line).negated() for line, sign in billed],
    )
    since = _last_billed(invoice, billed)
    return [_difference_line(invoice, templates[each.change.key], each, since) for each in found]


def _last_billed(invoice: Invoice, billed: Sequence[tuple[InvoiceLine, int]]) -> datetime | None:
    """When the period was billed last: what became known before is on a document already."""
    moments = [invoice.finalized_at, *(line.invoice.finalized_at for line, _ in billed)]
    return max((each for each in moments if each is not None), default=None)


def billed_lines(invoice: Invoice) -> list[tuple[InvoiceLine, int]]:
    """All lines that bill the invoice's period, with 1 where they add to it and -1 where they take
    off: its own, those of its notes, and late usage on later invoices."""
    own = Q(invoice=invoice)
    notes = Q(invoice__refers_to=invoice)
    later = Q(
        kind=InvoiceLine.Kind.LATE_USAGE,
        facts__restates=str(invoice.pk),
        invoice__customer=invoice.customer_id,
        invoice__kind=Invoice.Kind.INVOICE,
    )
    lines = (
        InvoiceLine.objects.filter(own | notes | later, invoice__finalized_at__isnull=False)
        # What was taken back in full was never billed, and neither is its taking back.
        .exclude(~own & Q(invoice__status=Invoice.Status.VOID))
        .select_related("invoice")
        .order_by("invoice__finalized_at", "invoice__number", "position")
    )
    credit = Invoice.Kind.CREDIT_NOTE
    found = []
    for line in lines:
        restates = line.facts.get("restates")
        if line.invoice_id == invoice.pk and restates is not None:
            continue
        found.append((line, -1 if line.invoice.kind == credit else 1))
    return found


def key_of(line: Line) -> Hashable:
    """What a line charges for. A line of a difference names the kind of the one it changes."""
    kind = line.facts.get("of_kind", line.kind)
    return charge_key(kind, line.price_id, line.application_id, line.label, line.attributes)


def _charge(line: Line) -> Charge:
    return Charge(
        key_of(line),
        Decimal(line.amount),
        Decimal(line.raw_quantity),
        Decimal(line.quantity),
        Decimal(line.unrounded),
    )


def _difference_line(
    invoice: Invoice, line: Line, difference: Difference, since: datetime | None
) -> NewLine:
    change = difference.change
    return NewLine(
        kind=InvoiceLine.Kind.LATE_USAGE,
        price_id=line.price_id,
        application_id=line.application_id,
        application_name=line.application_name,
        environment_name=line.environment_name,
        label=line.label,
        meter=line.meter,
        unit=line.unit,
        attributes=line.attributes,
        measured=line.measured,
        raw_quantity=change.raw_quantity,
        quantity=change.quantity,
        unrounded=change.unrounded,
        amount=change.amount,
        steps=steps(difference, line.unit, currency_of(invoice.currency)),
        facts={
            "restates": str(invoice.pk),
            "reference": invoice.reference,
            "period": [_text(invoice.period_start), _text(invoice.period_end)],
            "of_kind": line.facts.get("of_kind", line.kind),
            "supplied_on": invoice_tax_day(invoice).isoformat(),
            **{name: line.facts[name] for name in ("discount",) if name in line.facts},
            **_windows(invoice, line.application_id, since),
        },
    )


def _windows(
    invoice: Invoice, application_id: UUID | None, since: datetime | None
) -> dict[str, Any]:
    """The hours of the application that changed, when that became known, and by what since then:
    the batches that were received for them, the corrections that were made."""
    marks = pending_late_usage(invoice)
    if application_id is not None:
        marks = marks.filter(application=application_id)
    noted: defaultdict[datetime, list[datetime]] = defaultdict(list)
    for hour, noted_at in marks.values_list("hour", "noted_at"):
        if hour is not None:
            noted[hour].append(noted_at)
    stretches = _stretches(noted)
    shown = stretches[:WINDOWS_SHOWN_MAX]
    return {
        "windows": [
            {
                "from": _text(start),
                "to": _text(end),
                "changed": [
                    _text(pick(at for hour in noted if start <= hour < end for at in noted[hour]))
                    for pick in (min, max)
                ],
                "batches": _batches(application_id, start, end, since),
                "corrections": _corrections(application_id, start, end, since),
            }
            for start, end in shown
        ],
        "more_windows": len(stretches) - len(shown),
    }


def _stretches(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for hour in sorted(hours):
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + _HOUR)
        else:
            found.append((hour, hour + _HOUR))
    return found


def _batches(
    application_id: UUID | None, start: datetime, end: datetime, since: datetime | None
) -> list[dict[str, Any]]:
    """Batches with samples of the hours that were received since then."""
    if application_id is None or since is None:
        return []
    samples = Sample.objects.filter(
        application_id=application_id, window_start__gte=start, window_start__lt=end
    )
    batches = (
        SampleBatch.objects.filter(pk__in=samples.values("batch"), received_at__gt=since)
        .select_related("host")
        .order_by("received_at", "sequence")
    )
    return [
        {
            "host": batch.host.name,
            "epoch": str(batch.epoch),
            "sequence": batch.sequence,
            "received_at": _text(batch.received_at),
        }
        for batch in batches[:BATCHES_SHOWN_MAX]
    ]


def _corrections(
    application_id: UUID | None, start: datetime, end: datetime, since: datetime | None
) -> list[dict[str, Any]]:
    """Corrections of the hours that were made since then, in their order."""
    if application_id is None or since is None:
        return []
    made = Correction.objects.filter(
        application_id=application_id, starts_at__lt=end, ends_at__gt=start, created_at__gt=since
    ).order_by("created_at", "pk")
    return [
        {
            "kind": each.kind,
            "from": _text(each.starts_at),
            "to": _text(each.ends_at),
            "reason": each.reason,
            "author": each.author,
            "made_at": _text(each.created_at),
        }
        for each in made[:CORRECTIONS_SHOWN_MAX]
    ]


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
