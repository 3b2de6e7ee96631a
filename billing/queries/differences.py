"""What an issued invoice's period lacks of what was billed for it, as lines."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import Q

from billing.core.contract import Contract, codes_of, left_over, rolling_prices
from billing.core.currencies import currency_of
from billing.core.exact import EXACT, ZERO, plain
from billing.core.restatement import Charge, Difference, charge_key, differences, steps
from billing.line_copy import Line, NewLine
from billing.models import Invoice, InvoiceLine, InvoiceTerms
from billing.queries.charges import charged_by
from billing.queries.contracts import contract_of
from billing.queries.ground import kept_cut
from billing.queries.late_windows import changed_windows, utc_text
from billing.queries.periods import period_of
from billing.taxes import invoice_tax_day
from metering.cuts import Cut

_VOID: Final = Invoice.Status.VOID


@dataclass(frozen=True, slots=True)
class Restated:
    """An issued invoice's period, rated anew by a contract. `billed` are the lines that billed it
    so far, each with 1 where it adds to that and -1 where it takes off; `lines`, not stored yet,
    are to be added to them: what is owed less has a negative amount."""

    invoice: Invoice
    contract: Contract
    billed: Sequence[tuple[InvoiceLine, int]]
    lines: Sequence[NewLine]


def lines_of(restated: Iterable[Restated]) -> list[NewLine]:
    """The lines of all of them, in order."""
    return [line for each in restated for line in each.lines]


def rated_anew(invoice: Invoice, *, late: Sequence[Line] = ()) -> Restated:
    """An issued invoice's period by what is known now; without lines where all is billed. For the
    period of a void invoice nothing is owed: what late usage of it was billed is given back.
    `late` is as contract_of takes it."""
    contract = contract_of(invoice.subscription, period_of(invoice), late=late)
    billed = billed_lines(invoice)
    return Restated(invoice, contract, billed, _lines_lacking(invoice, contract, billed))


def _lines_lacking(
    invoice: Invoice, contract: Contract, billed: Sequence[tuple[InvoiceLine, int]]
) -> list[NewLine]:
    owes = invoice.status != _VOID
    now = charged_by(contract, invoice.subscription)[1] if owes else []
    rolling = rolling_prices(contract) if owes else frozenset[str]()
    owed = [_charge(line, rolling) for line in now]
    paid = [
        _charge(line, rolling) if sign > 0 else _charge(line, rolling).negated()
        for line, sign in billed
    ]
    found = differences(owed, paid)
    left = _changed_left(contract, now, billed) if owes else {}
    if not left and not any(each.change.amount for each in found):
        return []
    templates: dict[Hashable, Line] = {key_of(line): line for line, _ in billed}
    templates |= {key_of(line): line for line in now}
    since = _last_cut(invoice, billed)
    return [
        _difference_line(invoice, templates[each.change.key], each, since, left) for each in found
    ]


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


def _last_cut(invoice: Invoice, billed: Sequence[tuple[InvoiceLine, int]]) -> Cut:
    """The usage that the period was billed by last: what was there is on a document already."""
    documents = {invoice.pk: invoice, **{line.invoice_id: line.invoice for line, _ in billed}}
    terms = InvoiceTerms.objects.filter(invoice__in=documents)
    kept = dict(terms.values_list("invoice", "body__cut"))
    cuts = [
        kept_cut(kept.get(pk), each.finalized_at)
        for pk, each in documents.items()
        if each.finalized_at is not None
    ]
    return max(cuts, key=lambda cut: cut.at)


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
    """Of a void invoice itself, the credit notes on it that taking it back made up for, and the
    note by which it was."""
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
    since: Cut,
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
