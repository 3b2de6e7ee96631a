"""From one application's usage to an invoice line, and from lines to an invoice."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

from billing.core import explanation
from billing.core.currencies import Currency, currency_of
from billing.core.exact import ZERO, plain
from billing.core.explanation import Rounding, Step, StepJson
from billing.core.money import round_amount, round_down, round_lines, sum_amounts
from billing.core.pricing import (
    Graduated,
    PriceModel,
    RatedAmount,
    rate_part,
    require_quantity_in_unit,
)
from billing.core.provenance import Provenance, require_qualities
from billing.core.quantity import (
    Aggregation,
    Unit,
    in_unit,
    require_aggregation,
    require_raw_quantity,
    unit_for,
)
from metering.core.quality import ACCEPTED_BY_DEFAULT


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """A plan's price for one meter.

    `unit` names what the model's prices and bounds and the `allowance` per period are stated
    in. Raises UnknownUnit, UnitDoesNotFit or AggregationDoesNotFit if the meter cannot be
    billed like this, NumberOutOfBounds for an allowance that no period can have, and
    QualitiesNotUsable. Usage that was measured in another quality than `accepts` is not billed.
    """

    id: str
    meter: str
    aggregation: Aggregation
    unit: str
    model: PriceModel
    allowance: Decimal = ZERO
    label: str = ""
    accepts: frozenset[str] = ACCEPTED_BY_DEFAULT

    def __post_init__(self) -> None:
        require_qualities(self.accepts)
        unit_for(self.meter, self.unit)
        require_aggregation(self.meter, self.aggregation)
        require_quantity_in_unit(self.allowance, "an allowance")


@dataclass(frozen=True, slots=True)
class UsageQuantity:
    """What one application used of one meter in the period, in the meter's raw unit, as far as it
    was measured in a quality of `accepts` (or in none that is stated)."""

    application_id: str
    application_name: str
    meter: str
    quantity: int
    accepts: frozenset[str] = ACCEPTED_BY_DEFAULT
    provenance: Provenance = Provenance()  # noqa: RUF009  frozen

    def __post_init__(self) -> None:
        require_raw_quantity(self.quantity)


@dataclass(frozen=True, slots=True)
class RatingInput:
    """One line to rate.

    `used_before` is the raw quantity that the customer's earlier applications already used of
    this price in the period: allowance and tiers go on from there.
    """

    price: PriceSpec
    usage: UsageQuantity
    currency: Currency
    used_before: int = 0

    def __post_init__(self) -> None:
        require_raw_quantity(self.used_before)
        if self.price.meter != self.usage.meter:
            raise ValueError(f"{self.usage.meter} has no charge under {self.price.meter}")
        if self.price.accepts != self.usage.accepts:
            raise ValueError("the usage is not what the price accepts")


class LineJson(TypedDict):
    """A rated line as JSON values; quantities and amounts are Decimals written out in full."""

    price_id: str
    application_id: str
    application_name: str
    meter: str
    label: str
    raw_quantity: int
    quantity: str
    unit: str
    unrounded: str
    amount: str
    currency: str
    steps: list[StepJson]
    refused_raw_quantity: int
    refused_for: list[str]
    measured: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class UnroundedLine:
    """What one application owes for one price before the invoice is rounded.

    `quantity` and `unrounded` have up to 30 decimals.
    """

    price_id: str
    application_id: str
    application_name: str
    meter: str
    label: str
    raw_quantity: int
    quantity: Decimal
    unit: str
    unrounded: Decimal
    currency: Currency
    steps: tuple[Step, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RatedLine:
    """A line of an invoice; `amount` is payable, in the currency's decimals."""

    price_id: str
    application_id: str
    application_name: str
    meter: str
    label: str
    raw_quantity: int
    quantity: Decimal
    unit: str
    unrounded: Decimal
    currency: Currency
    steps: tuple[Step, ...]
    amount: Decimal
    provenance: Provenance = Provenance()  # noqa: RUF009  frozen

    def to_json(self) -> LineJson:
        """The line with its explanation as JSON values."""
        return {
            "price_id": self.price_id,
            "application_id": self.application_id,
            "application_name": self.application_name,
            "meter": self.meter,
            "label": self.label,
            "raw_quantity": self.raw_quantity,
            "quantity": plain(self.quantity),
            "unit": self.unit,
            "unrounded": plain(self.unrounded),
            "amount": str(self.amount),
            "currency": self.currency.code,
            "steps": [step.to_json() for step in self.steps],
            "refused_raw_quantity": self.provenance.refused,
            "refused_for": list(self.provenance.refused_for),
            "measured": self.provenance.to_json(),
        }


@dataclass(frozen=True, slots=True)
class RatedInvoice:
    """Lines whose amounts sum exactly to `total`, the rounded sum of what is unrounded."""

    currency: Currency
    lines: tuple[RatedLine, ...]
    unrounded: Decimal
    total: Decimal


def rate_line(line: RatingInput) -> UnroundedLine:
    """Rate one application's usage of one price."""
    price, raw = line.price, line.usage.quantity
    unit = unit_for(price.meter, price.unit)
    amount = rate_part(
        price.model,
        Decimal(line.used_before),
        Decimal(line.used_before + raw),
        allowance=price.allowance,
        raw_per_unit=unit.raw_per_unit,
    )
    return UnroundedLine(
        price_id=price.id,
        application_id=line.usage.application_id,
        application_name=line.usage.application_name,
        meter=price.meter,
        label=price.label,
        raw_quantity=raw,
        quantity=in_unit(raw, unit),
        unit=unit.name,
        unrounded=amount.unrounded,
        currency=line.currency,
        steps=_steps(line, unit, amount),
        provenance=line.usage.provenance,
    )


def _steps(line: RatingInput, unit: Unit, amount: RatedAmount) -> tuple[Step, ...]:
    price, raw, code = line.price, line.usage.quantity, line.currency.code
    steps = [
        explanation.measured(price.meter, price.aggregation, raw, unit),
        explanation.converted(raw, unit),
    ]
    provenance = line.usage.provenance
    if provenance.refused:
        steps.append(explanation.refused(provenance, price.accepts, price.aggregation, unit))
    if line.used_before:
        steps.append(explanation.earlier(line.used_before, unit))
    if price.allowance:
        steps.append(explanation.included(price.allowance, amount, unit))
    tiered = isinstance(price.model, Graduated)
    steps += [explanation.priced(part, unit, code, tiered=tiered) for part in amount.slices]
    steps.append(explanation.unrounded(amount.unrounded, code))
    return tuple(steps)


def rate_invoice(lines: Sequence[UnroundedLine], currency: str) -> RatedInvoice:
    """Round the lines by largest remainder to the rounded total.

    Raises UnknownCurrency, and ValueError for a line in another currency.
    """
    paid_in = currency_of(currency)
    for line in lines:
        if line.currency != paid_in:
            raise ValueError(f"a line in {line.currency.code} on an invoice in {currency}")
    unrounded = sum_amounts([line.unrounded for line in lines])
    total = round_amount(unrounded, paid_in)
    amounts = round_lines([line.unrounded for line in lines], paid_in)
    rounded = tuple(
        _rounded_line(line, amount, unrounded, total)
        for line, amount in zip(lines, amounts, strict=True)
    )
    return RatedInvoice(currency=paid_in, lines=rounded, unrounded=unrounded, total=total)


def _rounded_line(
    line: UnroundedLine, amount: Decimal, total_unrounded: Decimal, total: Decimal
) -> RatedLine:
    rounding = Rounding(
        unrounded=line.unrounded,
        rounded_down=round_down(line.unrounded, line.currency),
        amount=amount,
        total_unrounded=total_unrounded,
        total=total,
    )
    return RatedLine(
        price_id=line.price_id,
        application_id=line.application_id,
        application_name=line.application_name,
        meter=line.meter,
        label=line.label,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        unit=line.unit,
        unrounded=line.unrounded,
        currency=line.currency,
        steps=(*line.steps, explanation.rounded_line(rounding, line.currency.code)),
        amount=amount,
        provenance=line.provenance,
    )
