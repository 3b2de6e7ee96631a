"""Lines that no one application's usage stands behind: flat fees, percentages, minimums, discounts,
what is charged to the customer as a whole, late usage and corrections; each with its steps."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from billing.core.contract import Contract, agreed_fees
from billing.core.exact import plain
from billing.core.explanation import StepJson
from billing.core.periods import Period
from billing.core.rating import PriceSpec, RatedLine
from billing.models import Invoice, InvoiceLine, PlanVersion, Subscription
from billing.queries.contracts import contract_of
from billing.queries.frozen import invoiced_contract
from portal.proof import LineFigures, agreed_spans, agreed_spec, rated_figures
from portal.proof import stored_figures as figures_of
from tenants.models import Customer


@dataclass(frozen=True, slots=True)
class Charge:
    """A line with what it is of. `spec` is None where no price stands behind it, or one of another
    period does."""

    kind: str
    figures: LineFigures
    application_name: str
    period: Period
    plan: str
    invoice: Invoice | None
    spec: PriceSpec | None
    facts: Mapping[str, Any]


def keyed(customer: Customer, lines: Iterable[RatedLine]) -> Iterator[tuple[str, RatedLine]]:
    """Lines of the upcoming invoice, which have no ids, with names of theirs for addresses. All
    lines, or all of one application, give a line the same name."""
    seen: Counter[str] = Counter()
    for line in lines:
        named = [line.kind, line.price_id, line.application_id, line.label, line.attributes]
        identity = json.dumps([str(customer.pk), *named])
        seen[identity] += 1
        yield sha256(f"{identity} {seen[identity]}".encode()).hexdigest()[:32], line


def is_charge(line: RatedLine | InvoiceLine) -> bool:
    """Whether the line has no usage of one application to open."""
    return not (line.kind == "usage" and line.price_id and line.application_id)


def upcoming_charge(
    subscription: Subscription, plan_version: PlanVersion, period: Period, line: RatedLine
) -> Charge:
    """A line of the upcoming invoice, which is of the subscription's running period."""
    figures = rated_figures(line)
    return Charge(
        kind=line.kind,
        figures=figures,
        application_name=line.application_name,
        period=period,
        plan=str(plan_version),
        invoice=None,
        spec=_spec(contract_of(subscription, period), line.price_id or "", figures.steps),
        facts=line.facts,
    )


def stored_charge(line: InvoiceLine) -> Charge:
    invoice, figures = line.invoice, figures_of(line)
    is_own = invoice.kind == Invoice.Kind.INVOICE and line.kind != InvoiceLine.Kind.LATE_USAGE
    spec = None
    if is_own and line.price_id is not None:
        spec = _spec(invoiced_contract(invoice), str(line.price_id), figures.steps)
    return Charge(
        kind=line.kind,
        figures=figures,
        application_name=line.application_name,
        period=Period(invoice.period_start, invoice.period_end),
        plan=invoice.plan_label,
        invoice=invoice,
        spec=spec,
        facts=line.facts,
    )


def _spec(contract: Contract, price_id: str, steps: Sequence[StepJson]) -> PriceSpec | None:
    """The price that the line was charged at. The step of a fee says which of several."""
    told = {step["numbers"].get("fee") for step in steps}
    for fee in agreed_fees(contract):
        if fee.price.id == price_id and plain(fee.model.fee) in told:
            return fee.price
    return agreed_spec(agreed_spans(contract, price_id), steps)
