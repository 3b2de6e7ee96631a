"""Lines with the steps that lead to their amounts, of upcoming and of issued invoices alike."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from billing.api.fields import Exact
from billing.core.rating import RatedLine
from billing.models import InvoiceLine
from tenants.api.fields import Given, one_of


class StepOut(Given):
    """`words` are for a reader; `numbers` are enough to redo the step by hand."""

    kind: str
    words: str
    numbers: dict[str, str]


class MeasuredOut(Given):
    """How well, and by which method, some of the usage was measured."""

    quality: str
    method: str


class LineOut(Given):
    """`raw_quantity` is in the meter's small unit, `quantity` in the price's. Quantities of which
    the quality was not accepted are in `refused_quantity` and in no amount."""

    kind: Annotated[str, one_of(InvoiceLine.Kind)]
    label: str
    application_id: UUID | None
    application: str
    meter: str
    unit: str
    raw_quantity: Exact
    quantity: Exact
    unrounded: Exact
    amount: Exact
    refused_quantity: Exact
    refused_for: list[str]
    measured: list[MeasuredOut]
    steps: list[StepOut]


def shown_line(line: InvoiceLine) -> LineOut:
    return LineOut(
        kind=line.kind,
        label=line.label,
        application_id=line.application_id,
        application=line.application_name,
        meter=line.meter,
        unit=line.unit,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        unrounded=line.unrounded,
        amount=line.amount,
        refused_quantity=line.refused_quantity,
        refused_for=line.refused_for,
        measured=_measured(line.measured),
        steps=[_step(step) for step in line.steps],
    )


def shown_rated_line(line: RatedLine) -> LineOut:
    return LineOut(
        kind=line.kind,
        label=line.label,
        application_id=UUID(line.application_id) if line.application_id else None,
        application=line.application_name,
        meter=line.meter,
        unit=line.unit,
        raw_quantity=Decimal(line.raw_quantity),
        quantity=line.quantity,
        unrounded=line.unrounded,
        amount=line.amount,
        refused_quantity=Decimal(line.provenance.refused),
        refused_for=list(line.provenance.refused_for),
        measured=_measured(line.provenance.to_json()),
        steps=[_step(step.to_json()) for step in line.steps],
    )


def _measured(stored: Sequence[Sequence[str]]) -> list[MeasuredOut]:
    return [MeasuredOut(quality=quality, method=method) for quality, method in stored]


def _step(stored: Any) -> StepOut:
    numbers = {name: str(number) for name, number in dict(stored["numbers"]).items()}
    return StepOut(kind=stored["kind"], words=stored["words"], numbers=numbers)
