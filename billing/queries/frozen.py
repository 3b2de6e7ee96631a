"""By what a document was rated, in the words of its day: what is kept with it when it is issued,
and what its proof is made from.

- `contract`: of an invoice, as billing.core.proof.terms writes it; null of a note.
- `silences`: where a price or a fee looks at gaps, the time in which hosts said nothing; else null.
- `restated`: of each earlier invoice whose late usage is billed here, in the order of the lines:
  its id as `invoice`, its `contract` and `silences`, and as `billed` the documents that had billed
  its period before, each with 1 where it adds to that and -1 where it takes off. Of one that was
  taken back, so that nothing is owed for its period, the number as `taken_back`, else null.
- `plan`: the version of the plan, as it was called.
- `assignments` and `hosts`: see ground.py; of the periods that the document bills.
- `cut`: the usage that it was rated by. This one and the two before are kept since documents are
  rated on a ground, and by those that have usage.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.core.contract import Contract, credited_spans, priced_spans
from billing.core.proof.records import instant, microseconds
from billing.core.proof.terms import from_json, to_json
from billing.models import Invoice, InvoiceLine, InvoiceTerms
from billing.queries.contracts import contract_of
from billing.queries.differences import Restated, billed_lines
from billing.queries.ground import Ground, kept_cut
from billing.queries.periods import period_of
from metering.cuts import Cut


@dataclass(frozen=True, slots=True)
class Rating:
    """By what a document was rated, and on which ground: by the `contract` of its own period, None
    of a note, and earlier periods by theirs, in the order of their lines."""

    contract: Contract | None
    restated: Sequence[Restated]
    ground: Ground

    @property
    def billed_here(self) -> list[Restated]:
        """The earlier periods of which lines stand on the document."""
        return [each for each in self.restated if each.lines]


def frozen_terms(document: Invoice, rating: Rating | None = None) -> dict[str, Any]:
    """Of a document whose lines are stored; unless it is given by what it was `rated`, that is made
    out as things are now."""
    if rating is None:
        contract = own_contract(document) if document.kind == Invoice.Kind.INVOICE else None
        return _terms(document, contract, _restated_by(document), None)
    terms = _terms(document, rating.contract, rating.billed_here, rating.ground)
    return terms | _grounded(rating)


def _terms(
    document: Invoice,
    contract: Contract | None,
    restated: Iterable[Restated],
    ground: Ground | None,
) -> dict[str, Any]:
    return {
        "contract": None if contract is None else to_json(contract),
        "silences": None if contract is None else _silences(contract, ground),
        "restated": [_restated(each, ground) for each in restated],
        "plan": plan_of(document),
    }


def _restated(period: Restated, ground: Ground | None) -> dict[str, Any]:
    original = period.invoice
    return {
        "invoice": str(original.pk),
        "taken_back": original.reference if original.status == Invoice.Status.VOID else None,
        "contract": to_json(period.contract),
        "silences": _silences(period.contract, ground),
        "billed": list(dict.fromkeys((str(line.invoice_id), sign) for line, sign in period.billed)),
    }


def _grounded(rating: Rating) -> dict[str, Any]:
    ground, cut = rating.ground, rating.ground.cut
    periods = [period_of(each.invoice) for each in rating.billed_here]
    if rating.contract is not None:
        periods.append(rating.contract.period)
    return {
        "cut": cut and {"at": microseconds(cut.at), "snapshot": cut.snapshot, "own": cut.own},
        "assignments": [
            each
            for each in ground.assignments
            if any(
                period.start <= instant(each["start"]) and instant(each["end"]) <= period.end
                for period in periods
            )
        ],
        "hosts": ground.hosts,
    }


def plan_of(document: Invoice) -> dict[str, Any]:
    """The version of the plan, as it is called now."""
    version = document.plan_version
    return {
        "id": str(version.plan_id),
        "name": version.plan.name,
        "version": version.number,
        "effective_from": microseconds(version.effective_from),
    }


def contracts_in(terms: Mapping[str, Any]) -> list[Contract]:
    """The document's own, and those of the periods that it restates."""
    return [
        from_json(Contract, each["contract"])
        for each in (terms, *terms["restated"])
        if each["contract"] is not None
    ]


def cut_of(terms: Mapping[str, Any], finalized_at: datetime) -> Cut:
    """The usage that an issued document was rated by, as far as its terms say."""
    return kept_cut(terms.get("cut"), finalized_at)


def terms_of(document: Invoice) -> tuple[Mapping[str, Any], bool]:
    """By what an issued document was rated, and whether that was kept on its day: of one that was
    issued before terms were, it is made out anew. For how long hosts were silent then is not known
    any more."""
    kept = InvoiceTerms.objects.filter(invoice=document).first()
    return (frozen_terms(document), False) if kept is None else (kept.body, True)


def invoiced_contract(invoice: Invoice) -> Contract:
    """What an invoice's own period is rated by: as it was kept, else as it is now."""
    kept = InvoiceTerms.objects.filter(invoice=invoice).first()
    if kept is None or kept.body["contract"] is None:
        return own_contract(invoice)
    return from_json(Contract, kept.body["contract"])


def own_contract(invoice: Invoice) -> Contract:
    """What an invoice's own period is rated by as things are now."""
    return contract_of(invoice.subscription, period_of(invoice))


def restated_on(document: Invoice) -> list[Invoice]:
    """The earlier invoices whose late usage the document bills, in the order of its lines."""
    lines = document.lines.filter(kind=InvoiceLine.Kind.LATE_USAGE).order_by("position")
    ids = list(dict.fromkeys(lines.values_list("facts__restates", flat=True)))
    if not ids:
        return []
    known = {str(each.pk): each for each in Invoice.objects.filter(pk__in=ids)}
    return [known[each] for each in ids]


def _restated_by(document: Invoice) -> list[Restated]:
    """The periods that a document restates, by what is known of them now."""
    late = []
    if document.kind == Invoice.Kind.INVOICE:
        late = list(document.lines.filter(kind=InvoiceLine.Kind.LATE_USAGE))
    return [
        Restated(
            each,
            contract_of(each.subscription, period_of(each), late=late),
            _billed_before(each, document),
            (),
        )
        for each in restated_on(document)
    ]


def _billed_before(original: Invoice, by: Invoice) -> list[tuple[InvoiceLine, int]]:
    """What had billed the period before; of a document that was issued, as far as is known now."""
    return [
        (line, sign)
        for line, sign in billed_lines(original)
        if line.invoice_id != by.pk
        and (by.finalized_at is None or _is_issued_before(line.invoice, by))
    ]


def _is_issued_before(document: Invoice, other: Invoice) -> bool:
    if document.finalized_at is None or other.finalized_at is None:
        return False
    return document.finalized_at <= other.finalized_at


def _silences(contract: Contract, ground: Ground | None) -> Any:
    """Nobody can tell later how long a host was silent: it may have spoken since."""
    return ground.silences[contract.period] if ground and looks_at_gaps(contract) else None


def looks_at_gaps(contract: Contract) -> bool:
    """Whether what it comes to depends on for how long nothing was heard of an instance."""
    readings = [each.full.reading for each in priced_spans(contract)]
    fills = any(reading is not None and reading.gaps != "not_billed" for reading in readings)
    return fills or bool(credited_spans(contract))
