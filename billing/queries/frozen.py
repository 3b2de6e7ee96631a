"""By what a document was rated, in the words of its day: what is kept with it when it is issued,
and what its proof is made from.

- `contract`: of an invoice, as billing.core.proof.terms writes it; null of a note.
- `silences`: where a price or a fee looks at gaps, the time in which hosts said nothing; else null.
- `restated`: of each earlier invoice whose late usage is billed here, in the order of the lines:
  its id as `invoice`, its `contract` and `silences`, and as `billed` the documents that had billed
  its period before, each with 1 where it adds to that and -1 where it takes off. Of one that was
  taken back, so that nothing is owed for its period, the number as `taken_back`, else null.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from billing.billable import billable_periods
from billing.core.contract import Contract, credited_spans, priced_spans
from billing.core.periods import Period
from billing.core.proof.records import microseconds
from billing.core.proof.terms import from_json, to_json
from billing.models import Invoice, InvoiceLine, InvoiceTerms
from billing.queries.contracts import contract_of
from billing.queries.restatement import billed_lines
from metering.coverage import silences_in
from tenants.models import Customer


def frozen_terms(document: Invoice, contract: Contract | None = None) -> dict[str, Any]:
    """Of a document whose lines are stored; an invoice's `contract` is made unless it is given."""
    if contract is None and document.kind == Invoice.Kind.INVOICE:
        contract = contract_of(document.subscription, period_of(document))
    return {
        "contract": None if contract is None else to_json(contract),
        "silences": None if contract is None else _silences(document.customer, contract),
        "restated": _restated_by(document),
    }


def terms_of(document: Invoice) -> tuple[Mapping[str, Any], bool]:
    """By what an issued document was rated, and whether that was kept on its day: of one that was
    issued before terms were, it is made out anew."""
    kept = InvoiceTerms.objects.filter(invoice=document).first()
    if kept is not None:
        return kept.body, True
    made = frozen_terms(document)
    # For how long hosts were silent then is not known any more.
    restated = [each | {"silences": None} for each in made["restated"]]
    return made | {"silences": None, "restated": restated}, False


def invoiced_contract(invoice: Invoice) -> Contract:
    """What an invoice's own period is rated by: as it was kept, else as it is now."""
    kept = InvoiceTerms.objects.filter(invoice=invoice).first()
    if kept is None or kept.body["contract"] is None:
        return contract_of(invoice.subscription, period_of(invoice))
    return from_json(Contract, kept.body["contract"])


def period_of(document: Invoice) -> Period:
    return Period(document.period_start, document.period_end)


def restated_on(document: Invoice) -> list[Invoice]:
    """The earlier invoices whose late usage the document bills, in the order of its lines."""
    lines = document.lines.filter(kind=InvoiceLine.Kind.LATE_USAGE).order_by("position")
    ids = list(dict.fromkeys(lines.values_list("facts__restates", flat=True)))
    if not ids:
        return []
    known = {str(each.pk): each for each in Invoice.objects.filter(pk__in=ids)}
    return [known[each] for each in ids]


def _restated_by(document: Invoice) -> list[dict[str, Any]]:
    late = []
    if document.kind == Invoice.Kind.INVOICE:
        late = list(document.lines.filter(kind=InvoiceLine.Kind.LATE_USAGE))
    return [_restated(each, document, late) for each in restated_on(document)]


def _restated(original: Invoice, by: Invoice, late: Sequence[InvoiceLine]) -> dict[str, Any]:
    contract = contract_of(original.subscription, period_of(original), late=late)
    return {
        "invoice": str(original.pk),
        "taken_back": original.reference if original.status == Invoice.Status.VOID else None,
        "contract": to_json(contract),
        "silences": _silences(original.customer, contract),
        "billed": _billed(original, by),
    }


def _billed(original: Invoice, by: Invoice) -> list[tuple[str, int]]:
    """What had billed the period before; of a document that was issued, as far as is known now."""
    return _distinct(
        (str(line.invoice_id), sign)
        for line, sign in billed_lines(original)
        if line.invoice_id != by.pk
        and (by.finalized_at is None or _is_issued_before(line.invoice, by))
    )


def _is_issued_before(document: Invoice, other: Invoice) -> bool:
    if document.finalized_at is None or other.finalized_at is None:
        return False
    return document.finalized_at <= other.finalized_at


def _distinct(items: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys(items))


def _silences(customer: Customer, contract: Contract) -> list[dict[str, Any]] | None:
    """Nobody can tell later how long a host was silent: it may have spoken since."""
    readings = [each.full.reading for each in priced_spans(contract)]
    fills = any(reading is not None and reading.gaps != "not_billed" for reading in readings)
    if not (fills or credited_spans(contract)):
        return None
    return [
        {
            "application": str(each.application_id),
            "instance": str(each.instance_id),
            "role": each.role,
            "host": each.host,
            "start": microseconds(each.start),
            "end": microseconds(each.end),
        }
        for each in silences_in(billable_periods(customer, contract.period))
    ]
