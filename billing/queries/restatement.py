"""What issued invoices lack of the usage that is known now."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet

from billing.core.contract import Contract, codes_of, left_over, rolling_prices
from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain
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
from billing.queries.charges import charged_by
from billing.queries.contracts import contract_of
from billing.queries.late_windows import changed_windows, utc_text
from billing.queries.parties import billing_settings
from billing.taxes import invoice_tax_day

_VOID: Final = Invoice.Status.VOID
_NEXT_INVOICE: Final = BillingSettings.LateUsage.NEXT_INVOICE


def late_usage_deadline(invoice: Invoice, settings: BillingSettings) -> datetime:
    """Usage of the invoice's period that becomes known from here on is not billed any more."""
    return invoice.period_end + timedelta(days=settings.late_usage_days)


def changed_invoices(*, noted_before: datetime | None) -> list[Invoice]:
    """Issued invoices with usage that changed since, oldest period first: those on which nothing
    more has come since `noted_before`, or all. Found by their marks; no history is rated."""
    pending = (
        LateUsage.objects.filter(refused_at__isnull=True, invoice__finalized_at__isnull=False)
        # Usage of a period that was taken back is not billed, but late usage of it may have been.
        .exclude(invoice__status=_VOID, hour__isnull=False)
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
        .exclude(status=_VOID)
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
    accepted = LateUsage.objects.filter(
        _in_time(settings),
        invoice__customer=draft.customer_id,
        refused_at__isnull=True,
    ).exclude(invoice__status=_VOID, hour__isnull=False)
    earlier = Invoice.objects.filter(
        pk__in=accepted.values("invoice"),
        kind=Invoice.Kind.INVOICE,
        currency=draft.currency,
        finalized_at__isnull=False,
        period_end__lte=draft.period_start,
    ).select_related(
        "customer", "plan_version__plan", "subscription__customer", "subscription__plan"
    )
    return sorted(earlier, key=_in_order)


def invoices_looked_at(draft: Invoice) -> list[Invoice]:
    """Those, and the issued ones in between that go on from one of them: all that late_lines may
    rate."""
    waiting = {each.pk: each for each in invoices_restated_by(draft)}
    found: dict[UUID, Invoice] = {}
    while waiting:
        pk, each = waiting.popitem()
        found[pk] = each
        later = _dependents_before(draft, each)
        waiting |= {other.pk: other for other in later if other.pk not in found}
    return sorted(found.values(), key=_in_order)


def accepted_marks(documents: Sequence[Invoice]) -> "QuerySet[LateUsage]":
    """The marks that rating the documents makes up for; those past the deadline are left, to be
    refused and listed."""
    return LateUsage.objects.filter(
        _in_time(billing_settings()) | Q(invoice__finalized_at__isnull=True),
        invoice__in=documents,
        refused_at__isnull=True,
    )


def _in_time(settings: BillingSettings) -> Q:
    """What an earlier period's change comes to, of no hour, was accepted with that change."""
    within = timedelta(days=settings.late_usage_days)
    return Q(hour__isnull=True) | Q(noted_at__lt=F("invoice__period_end") + within)


def _in_order(invoice: Invoice) -> tuple[datetime, UUID]:
    return invoice.period_start, invoice.pk


def late_lines(draft: Invoice) -> list[NewLine]:
    """The lines of a draft that bill late usage of earlier periods, not stored yet; with what it
    changes of issued periods that go on from those. The oldest period is rated first, and each by
    what those before it come to."""
    waiting = {each.pk: each for each in invoices_restated_by(draft)}
    found: list[NewLine] = []
    while waiting:
        oldest = min(waiting.values(), key=_in_order)
        del waiting[oldest.pk]
        lines = difference_lines(oldest, late=found)
        found += lines
        if lines:
            waiting |= {each.pk: each for each in _dependents_before(draft, oldest)}
    return found


def _dependents_before(draft: Invoice, changed: Invoice) -> "QuerySet[Invoice]":
    return issued_dependents(changed).filter(
        currency=draft.currency, period_end__lte=draft.period_start
    )


def late_lines_of_many(drafts: Sequence[Invoice]) -> list[list[NewLine]]:
    """As late_lines, of drafts that need not be stored yet; customers of whom nothing came late
    are passed over together."""
    if billing_settings().late_usage != _NEXT_INVOICE:
        return [[] for _ in drafts]
    marks = LateUsage.objects.filter(
        refused_at__isnull=True, invoice__customer__in={each.customer_id for each in drafts}
    ).exclude(invoice__status=_VOID, hour__isnull=False)
    marked = set(marks.values_list("invoice__customer", flat=True))
    return [late_lines(each) if each.customer_id in marked else [] for each in drafts]


def difference_lines(invoice: Invoice, *, late: Sequence[Line] = ()) -> list[NewLine]:
    """What is to be added to what was billed for an issued invoice's period, as lines that are
    not stored yet: what is owed less has a negative amount. Empty where all is billed. For the
    period of a void invoice nothing is owed: what late usage of it was billed is given back.
    `late` is as contract_of takes it."""
    if not invoice.is_issued:
        return []
    contract = None if invoice.status == _VOID else _contract_now(invoice, late)
    now = [] if contract is None else charged_by(contract, invoice.subscription)[1]
    rolling = frozenset[str]() if contract is None else rolling_prices(contract)
    billed = billed_lines(invoice)
    owed = [_charge(line, rolling) for line in now]
    paid = [
        _charge(line, rolling) if sign > 0 else _charge(line, rolling).negated()
        for line, sign in billed
    ]
    found = differences(owed, paid)
    left = {} if contract is None else _changed_left(contract, [*now], billed)
    if not left and not any(each.change.amount for each in found):
        return []
    templates: dict[Hashable, Line] = {key_of(line): line for line, _ in billed}
    templates |= {key_of(line): line for line in now}
    since = _last_billed(invoice, billed)
    return [
        _difference_line(invoice, templates[each.change.key], each, since, left) for each in found
    ]


def _contract_now(invoice: Invoice, late: Sequence[Line]) -> Contract:
    period = Period(invoice.period_start, invoice.period_end)
    return contract_of(invoice.subscription, period, late=late)


def _changed_left(
    contract: Contract, now: Sequence[Line], billed: Sequence[tuple[InvoiceLine, int]]
) -> dict[str, list[str]]:
    """Of which prices another part of an allowance that rolls over is left than what was billed
    says: by their ids that part before, and now, in raw units."""
    codes = codes_of(contract)
    before = left_over(contract, _used(codes, billed))
    after = left_over(contract, _used(codes, [(line, 1) for line in now]))
    return {
        price: [plain(before[code]), plain(after[code])]
        for price, code in codes.items()
        if before.get(code) != after.get(code)
    }


def _used(codes: Mapping[str, str], lines: Iterable[tuple[Line, int]]) -> dict[str, Decimal]:
    """Raw units by the prices' codes."""
    used: dict[str, Decimal] = {}
    for line, sign in lines:
        if line.facts.get("of_kind", line.kind) == InvoiceLine.Kind.USAGE:
            code = codes.get(str(line.price_id), "")
            raw = EXACT.multiply(Decimal(line.raw_quantity), Decimal(sign))
            used[code] = EXACT.add(used.get(code, ZERO), raw)
    return used


def _last_billed(invoice: Invoice, billed: Sequence[tuple[InvoiceLine, int]]) -> datetime | None:
    """When the period was billed last: what became known before is on a document already."""
    moments = [invoice.finalized_at, *(line.invoice.finalized_at for line, _ in billed)]
    return max((each for each in moments if each is not None), default=None)


def billed_lines(invoice: Invoice) -> list[tuple[InvoiceLine, int]]:
    """All lines that bill the invoice's period, with 1 where they add to it and -1 where they take
    off: its own, those of its notes, and late usage on later invoices."""
    own = Q(invoice=invoice)
    notes = Q(invoice__refers_to=invoice)
    lines = (
        InvoiceLine.objects.filter(
            own | notes | _on_later(invoice), invoice__finalized_at__isnull=False
        )
        # What was taken back in full was never billed, and neither is its taking back.
        .exclude(invoice__in=_taken_back_with(invoice))
        .exclude(~own & Q(invoice__status=_VOID))
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


def _taken_back_with(invoice: Invoice) -> list[UUID]:
    """Of a void invoice itself, the credit notes on it that taking it back made up for, and the one
    by which it was."""
    if invoice.status != _VOID:
        return []
    mirrored = InvoiceLine.objects.filter(
        kind=InvoiceLine.Kind.CORRECTION, invoice__refers_to=invoice
    ).values_list("invoice", "facts__takes_back")
    return [invoice.pk, *{UUID(str(pk)) for each in mirrored for pk in each}]


def _on_later(invoice: Invoice) -> Q:
    return Q(
        kind=InvoiceLine.Kind.LATE_USAGE,
        facts__restates=str(invoice.pk),
        invoice__customer=invoice.customer_id,
        invoice__kind=Invoice.Kind.INVOICE,
    )


def has_late_lines_elsewhere(invoice: Invoice) -> bool:
    """Whether late usage of its period stands on later invoices that were issued, and stand."""
    lines = InvoiceLine.objects.filter(_on_later(invoice), invoice__finalized_at__isnull=False)
    return lines.exclude(invoice__status=_VOID).exists()


def key_of(line: Line) -> Hashable:
    """What a line charges for. A line of a difference names the kind of the one it changes."""
    kind = line.facts.get("of_kind", line.kind)
    return charge_key(kind, line.price_id, line.application_id, line.label, line.attributes)


def _charge(line: Line, rolling: Collection[str]) -> Charge:
    return Charge(
        key_of(line),
        Decimal(line.amount),
        Decimal(line.raw_quantity),
        Decimal(line.quantity),
        Decimal(line.unrounded),
        rolls_over=str(line.price_id) in rolling,
    )


def _difference_line(
    invoice: Invoice,
    line: Line,
    difference: Difference,
    since: datetime | None,
    left: Mapping[str, list[str]],
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
            "period": [utc_text(invoice.period_start), utc_text(invoice.period_end)],
            "of_kind": line.facts.get("of_kind", line.kind),
            "supplied_on": invoice_tax_day(invoice).isoformat(),
            # In the meter's small unit.
            **({"left_over": left[str(line.price_id)]} if str(line.price_id) in left else {}),
            **{name: line.facts[name] for name in ("discount",) if name in line.facts},
            **changed_windows(invoice, line.application_id, since),
        },
    )
