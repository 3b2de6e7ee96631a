"""A period's charges as the lines of an invoice, not stored yet."""

from datetime import datetime
from typing import Any
from uuid import UUID

from billing.core.periods import Period
from billing.core.rating import RatedInvoice, RatedLine
from billing.models import InvoiceLine, Subscription
from billing.queries.upcoming import rated_period
from metering.models import Application


def charged_lines(
    subscription: Subscription, period: Period, *, as_of: datetime
) -> tuple[RatedInvoice, list[InvoiceLine]]:
    """What the period comes to at `as_of`, and its lines with the names of today."""
    rated = rated_period(subscription, period, as_of=as_of)
    applications = {line.application_id for line in rated.lines if line.application_id}
    environments = dict(
        Application.objects.filter(pk__in=applications).values_list("pk", "environment__name")
    )
    lines = [
        InvoiceLine(
            environment_name=(
                environments[UUID(line.application_id)] if line.application_id else ""
            ),
            **_stored_figures(line),
        )
        for line in rated.lines
    ]
    return rated, lines


def _stored_figures(line: RatedLine) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "price_id": None if line.price_id is None else UUID(line.price_id),
        "application_id": None if line.application_id is None else UUID(line.application_id),
        "application_name": line.application_name,
        "label": line.label,
        "meter": line.meter,
        "unit": line.unit,
        "attributes": dict(line.attributes),
        "facts": dict(line.facts),
        "raw_quantity": line.raw_quantity,
        "quantity": line.quantity,
        "unrounded": line.unrounded,
        "amount": line.amount,
        "steps": [step.to_json() for step in line.steps],
        "refused_quantity": line.provenance.refused,
        "refused_for": list(line.provenance.refused_for),
        "measured": line.provenance.to_json(),
    }
