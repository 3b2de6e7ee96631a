"""From one application's usage to an invoice line, and from lines to an invoice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import partial
from typing import Final, Literal, TypedDict

from billing.core import explanation
from billing.core.currencies import Currency, currency_of
from billing.core.exact import EXACT, ZERO, plain
from billing.core.explanation import Json, Rounding, Step, StepJson, Steps
from billing.core.facts import fact_steps
from billing.core.money import round_amount, round_lines, sum_amounts
from billing.core.prices import Flat, Matrix, Percentage, PriceModel
from billing.core.prices.bounds import require_price, require_quantity_in_unit
from billing.core.pricing import Part, RatedAmount, rate_stretch
from billing.core.provenance import Provenance, require_qualities
from billing.core.quantity import in_unit, require_aggregation, require_raw_quantity, unit_of
from billing.core.readings import Aggregation, Reading, require_reading

# As InvoiceLine.Kind has them.
LineKind = Literal[
    "usage",
    "recurring",
    "percentage",
    "minimum",
    "true_up",
    "discount",
    "late_usage",
    "correction",
]

# Values of what a matrix tells apart, by their names, in the names' order.
Attributes = tuple[tuple[str, str], ...]

NO_PROVENANCE: Final = Provenance()
_NO_FACTS: Final[Mapping[str, Json]] = {}


class PriceNotUsable(ValueError):
    """A price's parts do not go together."""


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """A plan's price.

    A metered price has a `reading`, which says what it counts, and a `unit`, in which the model's
    prices and bounds and the `allowance` per period are stated; flat fees and percentages have
    neither. `minimum` and `maximum` are what all lines of the price in a period come to at least
    and at most. `code` names the price in every version of its plan. What is left of an allowance
    counts in the next `rollover_periods` periods.

    Raises UnknownUnit, UnitDoesNotFit, AggregationDoesNotFit, ReadingNotUsable or
    QualitiesNotUsable if the meter cannot be billed like this, NumberOutOfBounds for numbers that
    no price can have, and PriceNotUsable.
    """

    id: str
    reading: Reading | None
    unit: str
    model: PriceModel
    allowance: Decimal = ZERO
    label: str = ""
    code: str = ""
    rollover_periods: int = 0
    minimum: Decimal | None = None
    maximum: Decimal | None = None

    def __post_init__(self) -> None:
        require_quantity_in_unit(self.allowance, "an allowance")
        for name, limit in (("a minimum", self.minimum), ("a maximum", self.maximum)):
            if limit is not None:
                require_price(limit, name)
        if isinstance(self.model, Flat | Percentage):
            self._require_no_usage()
            return
        if self.reading is None:
            raise PriceNotUsable("a price for usage says which meter it counts")
        require_qualities(self.reading.accepts)
        require_reading(self.reading)
        require_aggregation(self.reading.meter, self.reading.aggregation)
        unit_of(self.reading, self.unit)
        if isinstance(self.model, Matrix):
            self._require_matrix(self.model, self.reading)
        elif self.reading.by:
            raise PriceNotUsable("only a matrix price tells usage apart by its attributes")
        if self.rollover_periods and not self.allowance:
            raise PriceNotUsable("without an allowance nothing is left to roll over")

    def _require_no_usage(self) -> None:
        if self.reading is not None or self.unit:
            raise PriceNotUsable("a flat fee or a percentage counts no meter and has no unit")
        if self.allowance or self.rollover_periods:
            raise PriceNotUsable("a flat fee or a percentage has no allowance of units")

    def _require_matrix(self, model: Matrix, reading: Reading) -> None:
        if reading.by != model.by:
            raise PriceNotUsable("usage is told apart by what the matrix has prices for")
        if self.allowance:
            # Which cell's units would be the free ones?
            raise PriceNotUsable("a matrix price has no allowance; give a row the price 0")

    @property
    def meter(self) -> str:
        """The meter it counts; empty for a flat fee or a percentage."""
        return self.reading.meter if self.reading else ""

    @property
    def aggregation(self) -> Aggregation | None:
        return self.reading.aggregation if self.reading else None

    @property
    def accepts(self) -> frozenset[str]:
        """The qualities of measurement whose usage it bills."""
        return self.reading.accepts if self.reading else frozenset()


@dataclass(slots=True)  # Not frozen, as all that each line makes: freezing costs half of making.
class UsageQuantity:
    """What one application used in the period by one reading, in the meter's raw unit.

    `quantity` is whole, or has up to 4 decimals where a role counts by a factor. `attributes` are
    the cell of a matrix price that it belongs to: names of the reading's `by`, each with its value.
    Usage read over the whole customer has no application. `facts` are shown to the reader;
    billing.core.facts says what can stand in them.
    """

    application_id: str | None
    application_name: str
    reading: Reading
    quantity: int | Decimal
    attributes: Attributes = ()
    provenance: Provenance = NO_PROVENANCE
    facts: Mapping[str, Json] = field(default_factory=lambda: _NO_FACTS)

    def __post_init__(self) -> None:
        require_raw_quantity(self.quantity)

    @property
    def meter(self) -> str:
        return self.reading.meter

    @property
    def accepts(self) -> frozenset[str]:
        return self.reading.accepts


@dataclass(slots=True)
class RatingInput:
    """One line to rate.

    `used_before` is the raw quantity of this price that comes before the line in the period:
    allowance and tiers go on from there. Of it `billed` stands on earlier invoices of the period;
    with all lines of this one it comes to `used_in_all` (None: this line is the last). `carried`
    are raw units of earlier periods' allowances. `charged_before`, unrounded, counts towards the
    price's maximum.
    """

    price: PriceSpec
    usage: UsageQuantity
    currency: Currency
    used_before: int | Decimal = 0
    used_in_all: int | Decimal | None = None
    billed: int | Decimal = 0
    carried: Decimal = ZERO
    charged_before: Decimal = ZERO

    def __post_init__(self) -> None:
        require_raw_quantity(self.used_before)
        if self.price.reading != self.usage.reading:
            raise ValueError(f"{self.usage.meter} has no charge under {self.price.meter or 'this'}")


class LineJson(TypedDict):
    """A rated line as JSON values; quantities and amounts are Decimals written out in full."""

    kind: LineKind
    price_id: str | None
    application_id: str | None
    application_name: str
    meter: str
    label: str
    raw_quantity: int | str
    quantity: str
    unit: str
    attributes: dict[str, str]
    facts: dict[str, Json]
    unrounded: str
    amount: str
    currency: str
    steps: list[StepJson]
    refused_raw_quantity: int | str
    refused_for: list[str]
    measured: list[tuple[str, str]]


@dataclass(slots=True, kw_only=True)
class UnroundedLine:
    """What is owed for one price and application, or another charge or discount, before the invoice
    is rounded.

    `quantity` and `unrounded` have up to 30 decimals; a discount's amount is below zero.
    """

    kind: LineKind = "usage"
    label: str
    unrounded: Decimal
    currency: Currency
    price_id: str | None = None
    application_id: str | None = None
    application_name: str = ""
    meter: str = ""
    raw_quantity: int | Decimal = 1
    quantity: Decimal = Decimal(1)
    unit: str = ""
    steps: Sequence[Step] = ()
    provenance: Provenance = NO_PROVENANCE
    attributes: Attributes = ()
    facts: Mapping[str, Json] = field(default_factory=lambda: _NO_FACTS)


@dataclass(slots=True, kw_only=True)
class RatedLine(UnroundedLine):
    """A line of an invoice; `amount` is payable, in the currency's decimals."""

    amount: Decimal

    def to_json(self) -> LineJson:
        """The line with its explanation as JSON values."""
        return {
            "kind": self.kind,
            "price_id": self.price_id,
            "application_id": self.application_id,
            "application_name": self.application_name,
            "meter": self.meter,
            "label": self.label,
            "raw_quantity": _raw_json(self.raw_quantity),
            "quantity": plain(self.quantity),
            "unit": self.unit,
            "attributes": dict(self.attributes),
            "facts": dict(self.facts),
            "unrounded": plain(self.unrounded),
            "amount": str(self.amount),
            "currency": self.currency.code,
            "steps": [step.to_json() for step in self.steps],
            "refused_raw_quantity": _raw_json(self.provenance.refused),
            "refused_for": list(self.provenance.refused_for),
            "measured": self.provenance.to_json(),
        }


def _raw_json(raw: int | Decimal) -> int | str:
    return raw if isinstance(raw, int) else plain(raw)


@dataclass(frozen=True, slots=True)
class RatedInvoice:
    """Lines whose amounts sum exactly to `total`, the rounded sum of what is unrounded."""

    currency: Currency
    lines: tuple[RatedLine, ...]
    unrounded: Decimal
    total: Decimal


def rate_line(line: RatingInput) -> UnroundedLine:
    """Rate one application's usage of one price. Raises prices.matrix.NoRowFits."""
    return unrounded_line(line, rated_amount(line))


def unrounded_line(line: RatingInput, amount: RatedAmount) -> UnroundedLine:
    """The line that a rated amount makes, below the price's maximum."""
    price, usage = line.price, line.usage
    unit = unit_of(usage.reading, price.unit)
    charged = amount.unrounded
    if price.maximum is not None:
        charged = below_maximum(price.maximum, line.charged_before, charged)
    return UnroundedLine(
        label=price.label,
        unrounded=charged,
        currency=line.currency,
        price_id=price.id,
        application_id=usage.application_id,
        application_name=usage.application_name,
        meter=usage.reading.meter,
        raw_quantity=usage.quantity,
        quantity=in_unit(usage.quantity, unit),
        unit=unit.name,
        steps=Steps(partial(_steps, line, amount, charged)),
        provenance=usage.provenance,
        attributes=usage.attributes,
        facts=usage.facts,
    )


def below_maximum(maximum: Decimal, before: Decimal, amount: Decimal) -> Decimal:
    """What of an amount still fits below the maximum after what came `before`."""
    with localcontext(EXACT):
        return min(maximum, before + amount) - min(maximum, before)


def rated_amount(line: RatingInput) -> RatedAmount:
    """What the line's usage costs, the price's maximum left aside. Raises NoRowFits."""
    model = line.price.model
    if isinstance(model, Matrix):
        model = model.per_unit(line.usage.attributes)
    if isinstance(model, Flat | Percentage):
        raise PriceNotUsable("a flat fee or a percentage charges no usage")
    unit = unit_of(line.usage.reading, line.price.unit)
    before = Decimal(line.used_before)
    part = Part(
        start=before,
        end=EXACT.add(before, Decimal(line.usage.quantity)),
        whole=None if line.used_in_all is None else Decimal(line.used_in_all),
        billed=Decimal(line.billed),
        carried=line.carried,
    )
    return rate_stretch(model, part, line.price.allowance, unit.raw_per_unit)


def _steps(line: RatingInput, amount: RatedAmount, charged: Decimal) -> tuple[Step, ...]:
    price, usage, code = line.price, line.usage, line.currency.code
    reading, raw, unit = usage.reading, usage.quantity, unit_of(usage.reading, price.unit)
    steps = [explanation.measured(reading, raw, unit), *fact_steps(usage.facts, reading, unit)]
    steps.append(explanation.converted(raw, unit))
    if usage.provenance.refused:
        steps.append(explanation.refused(usage.provenance, reading, unit))
    if usage.attributes:
        steps.append(explanation.cell(usage.attributes))
    if line.used_before:
        steps.append(explanation.earlier(line.used_before, unit, in_parts=bool(line.billed)))
    if price.allowance:
        steps.append(explanation.included(price.allowance, line.carried, amount, unit))
    steps += [explanation.priced(part, unit, code) for part in amount.slices]
    if charged != amount.unrounded and price.maximum is not None:
        steps.append(explanation.capped(price.maximum, line.charged_before, charged, code))
    steps.append(explanation.unrounded(charged, code))
    return tuple(steps)


def rate_invoice(lines: Sequence[UnroundedLine], currency: str) -> RatedInvoice:
    """Round the lines by largest remainder to the rounded total; lines may be below zero.

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
    return RatedLine(
        kind=line.kind,
        label=line.label,
        unrounded=line.unrounded,
        currency=line.currency,
        price_id=line.price_id,
        application_id=line.application_id,
        application_name=line.application_name,
        meter=line.meter,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        unit=line.unit,
        steps=Steps(partial(_rounded_steps, line, amount, total_unrounded, total)),
        provenance=line.provenance,
        attributes=line.attributes,
        facts=line.facts,
        amount=amount,
    )


def _one_less(amount: Decimal, currency: Currency) -> Decimal:
    """By a minor unit: what a line was before it got one of those that were missing."""
    return EXACT.subtract(amount, currency.minor_unit)


def _rounded_steps(
    line: UnroundedLine, amount: Decimal, total_unrounded: Decimal, total: Decimal
) -> tuple[Step, ...]:
    rounding = Rounding(
        unrounded=line.unrounded,
        rounded_down=amount if amount <= line.unrounded else _one_less(amount, line.currency),
        amount=amount,
        total_unrounded=total_unrounded,
        total=total,
    )
    return (*line.steps, explanation.rounded_line(rounding, line.currency.code))
