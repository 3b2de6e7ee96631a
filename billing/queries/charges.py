"""A period's charges as the lines of an invoice, not stored yet."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from billing.core.contract import Contract
from billing.core.periods import Period
from billing.core.rating import RatedInvoice, RatedLine
from billing.line_copy import Line, NewLine
from billing.models import Subscription
from billing.queries.agreed import Agreed
from billing.queries.rated import rated_by, rated_period, rated_periods
from metering.models import Application

Charged = tuple[RatedInvoice, list[NewLine]]


def charged_lines(
    subscription: Subscription, period: Period, *, late: Sequence[Line] = ()
) -> Charged:
    """What the period comes to, and its lines with the names of today; `late` is as contract_of
    takes it."""
    rated = rated_period(subscription, period, late=late)
    return rated, _lines(rated, _environments([rated]))


def charged_by(contract: Contract, subscription: Subscription) -> Charged:
    """As charged_lines, of a period whose contract is there already."""
    rated = rated_by(contract, subscription)
    return rated, _lines(rated, _environments([rated]))


def charged_lines_of_many(
    periods: Sequence[tuple[Subscription, Period]], agreed: Agreed
) -> list[Charged | Exception]:
    """As charged_lines, of many subscriptions by what is agreed with them; what keeps one of them
    from being rated stands in its place."""
    found = rated_periods(periods, agreed)
    environments = _environments([each for each in found if isinstance(each, RatedInvoice)])
    return [
        (each, _lines(each, environments)) if isinstance(each, RatedInvoice) else each
        for each in found
    ]


# An application's id and its environment's name.
_Placed = tuple[UUID | None, str]


def _environments(invoices: Sequence[RatedInvoice]) -> Mapping[str | None, _Placed]:
    """Where all lines' applications run, by their ids."""
    ids = {line.application_id for rated in invoices for line in rated.lines if line.application_id}
    rows = Application.objects.filter(pk__in=ids).values_list("pk", "environment__name")
    return {None: (None, ""), **{str(pk): (pk, name) for pk, name in rows}}


def _lines(rated: RatedInvoice, environments: Mapping[str | None, _Placed]) -> list[NewLine]:
    prices: dict[str | None, UUID | None] = {None: None}
    prices |= {line.price_id: UUID(line.price_id) for line in rated.lines if line.price_id}
    return [
        _line(line, prices[line.price_id], environments[line.application_id])
        for line in rated.lines
    ]


def _line(line: RatedLine, price_id: UUID | None, placed: _Placed) -> NewLine:
    application_id, environment_name = placed
    return NewLine(
        kind=line.kind,
        price_id=price_id,
        application_id=application_id,
        application_name=line.application_name,
        environment_name=environment_name,
        label=line.label,
        meter=line.meter,
        unit=line.unit,
        attributes=dict(line.attributes),
        facts=line.facts,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        unrounded=line.unrounded,
        amount=line.amount,
        steps=line.steps,
        refused_quantity=line.provenance.refused,
        refused_for=line.provenance.refused_for,
        measured=line.provenance.to_json(),
    )
