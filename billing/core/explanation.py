"""The steps from what was measured to what is charged, in words and numbers.

`words` are for a reader and may cut long fractions (marked with "…"); `numbers` hold every
digit and are enough to redo the computation. Both are plain text, so that a stored line never
changes with the code that explains it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypedDict, overload

from billing.core.exact import plain, shortened
from billing.core.prices.stretch import PackageSlice, Slice, TierSlice, UnitSlice
from billing.core.pricing import RatedAmount
from billing.core.provenance import Provenance
from billing.core.quantity import Unit, in_unit
from billing.core.readings import Reading
from metering.core import quality

_PLURALS = (
    *("-hour", "-second", "user", "process", "thread", "file"),
    *("period", "week", "month", "quarter", "half-year", "year"),
)

# What a fact is made of; numbers that are not whole are written out as text.
Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]

StepKind = Literal[
    "measured",
    "percentile",
    "peak",
    "roles",
    "overlap",
    "coverage",
    "gaps",
    "fact",
    "converted",
    "refused",
    "cell",
    "earlier",
    "included",
    "unit_price",
    "tier",
    "volume",
    "packages",
    "fee",
    "prorated",
    "base",
    "percentage",
    "minimum",
    "capped",
    "unrounded",
    "rounded",
    "segment",
    "override",
    "trial",
    "discount",
    "commitment",
]


class StepJson(TypedDict):
    """A step as it is stored."""

    kind: str
    words: str
    numbers: dict[str, str]


@dataclass(slots=True)
class Step:
    """One step of a computation; `numbers` are Decimals written out in full."""

    kind: StepKind
    words: str
    numbers: Mapping[str, str] = field(hash=False)

    def to_json(self) -> StepJson:
        """The step as JSON values."""
        return {"kind": self.kind, "words": self.words, "numbers": dict(self.numbers)}


class Steps(Sequence[Step]):
    """Steps that are worked out when somebody asks for them; most readers of an amount do not."""

    __slots__ = ("_steps", "_work_out")

    def __init__(self, work_out: Callable[[], tuple[Step, ...]]) -> None:
        self._work_out = work_out
        self._steps: tuple[Step, ...] | None = None

    def _known(self) -> tuple[Step, ...]:
        if self._steps is None:
            self._steps = self._work_out()
        return self._steps

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Step, ...]: ...
    def __getitem__(self, index: int | slice) -> Step | tuple[Step, ...]:
        return self._known()[index]

    def __len__(self) -> int:
        return len(self._known())

    def __iter__(self) -> Iterator[Step]:
        return iter(self._known())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._known() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._known())


def step(kind: StepKind, words: str, numbers: Mapping[str, Decimal | int]) -> Step:
    """A step with its numbers written out."""
    written = {
        name: plain(number) if type(number) is Decimal else str(number)
        for name, number in numbers.items()
    }
    return Step(kind, words, written)


def in_words(quantity: Decimal, unit: Unit) -> str:
    """1 CPU-hour, 20.5 CPU-hours, 3 GB; what is counted singly has no unit."""
    if unit.name == "one":
        return shortened(quantity)
    return f"{shortened(quantity)} {named_unit(unit.name, quantity)}"


def named_unit(name: str, quantity: Decimal) -> str:
    """The unit as it is written after the quantity: user, users, GB."""
    if quantity == 1 or not name.endswith(_PLURALS):
        return name
    return f"{name}es" if name == "process" else f"{name}s"


def per_unit(name: str) -> str:
    """What a price or a conversion is for: each, per GB-hour, for 1 per second."""
    if name == "one":
        return "each"
    return f"for 1 {name}" if name.startswith("per ") else f"per {name}"


def raw_in_words(raw: int | Decimal, unit: Unit) -> str:
    """20 bytes, 36000 byte·s."""
    written = raw if isinstance(raw, int) else plain(raw)
    return f"{written} {unit.raw_unit}{'s' if raw != 1 and unit.raw_unit == 'byte' else ''}"


def measured(reading: Reading, raw: int | Decimal, unit: Unit) -> Step:
    """The quantity as the meter gave it."""
    words = f"{reading.meter}, {how_read(reading)}: {raw_in_words(raw, unit)}"
    return step("measured", words, {"raw": raw})


def how_read(reading: Reading) -> str:
    """How values become one quantity: "sum", "95th percentile of 5-minute intervals"."""
    if reading.aggregation == "unique":
        return f"different values of {reading.distinct}"
    if reading.aggregation not in ("percentile", "peak"):
        return reading.aggregation
    which = (
        f"{ordinal(reading.percentile)} percentile"
        if reading.aggregation == "percentile"
        else "peak"
    )
    over = " over all applications" if reading.over == "customer" else ""
    return f"{which} of {reading.interval_minutes}-minute intervals{over}"


def ordinal(number: Decimal) -> str:
    """95th, 1st, 99.9th."""
    text = plain(number)
    teen = text[-2:] in ("11", "12", "13")
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return text + ("th" if teen or "." in text else ending)


def converted(raw: int | Decimal, unit: Unit) -> Step:
    """The same quantity in the price's unit."""
    quantity = in_unit(raw, unit)
    words = (
        f"{raw_in_words(raw, unit)} ÷ {raw_in_words(unit.raw_per_unit, unit)} "
        f"{per_unit(unit.name)} = {in_words(quantity, unit)}"
    )
    return step(
        "converted", words, {"raw": raw, "raw_per_unit": unit.raw_per_unit, "quantity": quantity}
    )


def refused(provenance: Provenance, reading: Reading, unit: Unit) -> Step:
    """What was measured too badly for the price, and is not in the quantity above."""
    quantity = in_unit(provenance.refused, unit)
    what = "a largest value of " if reading.aggregation == "maximum" else ""
    found = " or ".join(map(quality.in_words, provenance.refused_for))
    accepted = [each for each in quality.MEASURED_QUALITIES if each in reading.accepts]
    words = (
        f"Not billed: {what}{in_words(quantity, unit)}, measured as {found}; "
        f"this price takes {' or '.join(map(quality.in_words, accepted))}"
    )
    return step("refused", words, {"raw": provenance.refused, "quantity": quantity})


def cell(attributes: Sequence[tuple[str, str]]) -> Step:
    """Which usage a matrix price's line is for."""
    named = ", ".join(
        f"{name.replace('_', ' ')} {value or 'not stated'}" for name, value in attributes
    )
    return step("cell", f"Usage with {named}", {})


def earlier(used_before: int | Decimal, unit: Unit, *, in_parts: bool) -> Step:
    """How much of the price was used before this line: by other applications, and on the period's
    earlier invoices if it is billed in parts."""
    quantity = in_unit(used_before, unit)
    who = "Other applications before this one on the invoice used"
    if in_parts:
        who = "Before this line the period's invoices have"
    words = f"{who} {in_words(quantity, unit)}"
    return step("earlier", words, {"raw": used_before, "quantity": quantity})


def included(allowance: Decimal, carried: Decimal, amount: RatedAmount, unit: Unit) -> Step:
    """What the included allowance took off."""
    before = in_unit(amount.raw_included_before, unit)
    here = in_unit(amount.raw_included, unit)
    billable = in_unit(amount.raw_billable, unit)
    rolled = f" and {in_words(in_unit(carried, unit), unit)} carried over" if carried else ""
    words = (
        f"Included {in_words(allowance, unit)}{rolled}: {shortened(before)} used before, "
        f"{shortened(here)} used here, {in_words(billable, unit)} left to pay"
    )
    numbers: dict[str, Decimal | int] = {
        "allowance": allowance,
        "raw_before": amount.raw_included_before,
        "raw_here": amount.raw_included,
        "raw_billable": amount.raw_billable,
    }
    if carried:
        numbers["raw_carried"] = carried
    return step("included", words, numbers)


def priced(part: Slice, unit: Unit, currency: str) -> Step:
    """One slice of the quantity at its price."""
    if isinstance(part, PackageSlice):
        return _packages(part, unit, currency)
    quantity = in_unit(part.raw, unit)
    words = f"{in_words(quantity, unit)} at {plain(part.unit_price)} {currency}"
    numbers: dict[str, Decimal | int] = {
        "raw_from": part.raw_from,
        "raw_to": part.raw_to,
        "raw_per_unit": unit.raw_per_unit,
        "quantity": quantity,
        "unit_price": part.unit_price,
    }
    if isinstance(part, UnitSlice):
        numbers["amount"] = part.amount
        return step("unit_price", f"{words} = {shortened(part.amount)} {currency}", numbers)
    return _in_tier(part, unit, currency, words, numbers)


def _in_tier(
    part: TierSlice, unit: Unit, currency: str, words: str, numbers: dict[str, Decimal | int]
) -> Step:
    if part.flat_fee:
        words += f" plus a fee of {plain(part.flat_fee)} {currency}"
    if part.repriced:
        words += f" plus {plain(part.repriced)} {currency} for what was billed in another tier"
    words += f" = {shortened(part.amount)} {currency}"
    bounds: dict[str, Decimal | int] = {"tier": part.number, "above": part.above}
    if part.up_to is not None:
        bounds["up_to"] = part.up_to
    charged = {
        "usage_amount": part.usage_amount,
        "flat_fee": part.flat_fee,
        "repriced": part.repriced,
        "amount": part.amount,
    }
    kind: StepKind = "tier" if part.kind == "graduated" else "volume"
    whose = "" if kind == "tier" else ", which holds the whole quantity"
    return step(
        kind, f"{_tier_in_words(part, unit)}{whose}: {words}", {**bounds, **numbers, **charged}
    )


def _tier_in_words(part: TierSlice, unit: Unit) -> str:
    if part.up_to is None:
        return f"Tier {part.number}, above {in_words(part.above, unit)}"
    return f"Tier {part.number}, above {plain(part.above)} up to {in_words(part.up_to, unit)}"


def _packages(part: PackageSlice, unit: Unit, currency: str) -> Step:
    begun = part.packages_before + part.packages
    words = (
        f"{in_words(in_unit(part.raw_to, unit), unit)} need {begun} packages of "
        f"{in_words(part.size, unit)}"
    )
    if part.packages_before:
        words += f", {part.packages_before} of them before this line"
    words += (
        f": {part.packages} at {plain(part.unit_price)} {currency} "
        f"= {shortened(part.amount)} {currency}"
    )
    numbers: dict[str, Decimal | int] = {
        "raw_from": part.raw_from,
        "raw_to": part.raw_to,
        "raw_per_unit": unit.raw_per_unit,
        "size": part.size,
        "packages_before": part.packages_before,
        "packages": part.packages,
        "unit_price": part.unit_price,
        "amount": part.amount,
    }
    return step("packages", words, numbers)


def capped(maximum: Decimal, before: Decimal, charged: Decimal, currency: str) -> Step:
    """What the price's maximum leaves of the amount."""
    words = (
        f"At most {plain(maximum)} {currency} a period, {shortened(before)} {currency} before this "
        f"line: {shortened(charged)} {currency}"
    )
    return step("capped", words, {"maximum": maximum, "before": before, "amount": charged})


def unrounded(amount: Decimal, currency: str) -> Step:
    """What the line comes to."""
    words = f"Before rounding: {shortened(amount)} {currency}"
    return step("unrounded", words, {"unrounded": amount})


@dataclass(slots=True)
class Rounding:
    """How one line was rounded as part of its invoice's total."""

    unrounded: Decimal
    rounded_down: Decimal
    amount: Decimal
    total_unrounded: Decimal
    total: Decimal


def rounded_line(rounding: Rounding, currency: str) -> Step:
    """The line's payable amount, and the total that the lines together must meet."""
    if rounding.unrounded == rounding.amount:
        words = f"No rounding needed: {rounding.amount} {currency}"
    else:
        way = "down" if rounding.amount == rounding.rounded_down else "up"
        words = (
            f"Rounded {way} to {rounding.amount} {currency}, "
            f"so that the lines sum to {rounding.total} {currency}"
        )
    numbers = {
        "unrounded": rounding.unrounded,
        "rounded_down": rounding.rounded_down,
        "amount": rounding.amount,
        "total_unrounded": rounding.total_unrounded,
        "total": rounding.total,
    }
    return step("rounded", words, numbers)
