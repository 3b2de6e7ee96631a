"""The steps from what was measured to what is charged, in words and numbers.

`words` are for a reader and may cut long fractions (marked with "…"); `numbers` hold every
digit and are enough to redo the computation. Both are plain text, so that a stored line never
changes with the code that explains it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypedDict

from billing.core.exact import plain, shortened
from billing.core.pricing import RatedAmount, TierSlice
from billing.core.provenance import Provenance
from billing.core.quantity import Unit, in_unit
from metering.core.quality import MEASURED_QUALITIES, in_words

StepKind = Literal[
    "measured",
    "converted",
    "refused",
    "earlier",
    "included",
    "unit_price",
    "tier",
    "unrounded",
    "rounded",
]


class StepJson(TypedDict):
    """A step as it is stored."""

    kind: str
    words: str
    numbers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a computation; `numbers` are Decimals written out in full."""

    kind: StepKind
    words: str
    numbers: tuple[tuple[str, str], ...]

    def to_json(self) -> StepJson:
        """The step as JSON values."""
        return {"kind": self.kind, "words": self.words, "numbers": dict(self.numbers)}


def step(kind: StepKind, words: str, numbers: Mapping[str, Decimal | int]) -> Step:
    """A step with its numbers written out."""
    written = tuple((name, plain(Decimal(number))) for name, number in numbers.items())
    return Step(kind, words, written)


def _in_words(quantity: Decimal, unit: Unit) -> str:
    """1 CPU-hour, 20.5 CPU-hours, 3 GB; what is counted singly has no unit."""
    if unit.name == "one":
        return shortened(quantity)
    plural = quantity != 1 and unit.name.endswith(("-hour", "-second"))
    return f"{shortened(quantity)} {unit.name}{'s' if plural else ''}"


def _raw_in_words(raw: int, unit: Unit) -> str:
    plural = raw != 1 and unit.raw_unit == "byte"
    return f"{raw} {unit.raw_unit}{'s' if plural else ''}"


def measured(meter: str, aggregation: str, raw: int, unit: Unit) -> Step:
    """The quantity as the meter gave it."""
    return step("measured", f"{meter}, {aggregation}: {_raw_in_words(raw, unit)}", {"raw": raw})


def converted(raw: int, unit: Unit) -> Step:
    """The same quantity in the price's unit."""
    quantity = in_unit(raw, unit)
    words = (
        f"{_raw_in_words(raw, unit)} ÷ {_raw_in_words(unit.raw_per_unit, unit)} per {unit.name} "
        f"= {_in_words(quantity, unit)}"
    )
    numbers: dict[str, Decimal | int] = {
        "raw": raw,
        "raw_per_unit": unit.raw_per_unit,
        "quantity": quantity,
    }
    return step("converted", words, numbers)


def earlier(used_before: int, unit: Unit) -> Step:
    """How much of the price other applications used before this one in the line order."""
    quantity = in_unit(used_before, unit)
    words = f"Other applications before this one on the invoice used {_in_words(quantity, unit)}"
    return step("earlier", words, {"raw": used_before, "quantity": quantity})


def refused(provenance: Provenance, accepts: Collection[str], aggregation: str, unit: Unit) -> Step:
    """What was measured too badly for the price, and is not in the quantity above."""
    quantity = in_unit(provenance.refused, unit)
    what = "a largest value of " if aggregation == "maximum" else ""
    found = " or ".join(map(in_words, provenance.refused_for))
    taken = " or ".join(in_words(each) for each in MEASURED_QUALITIES if each in accepts)
    words = (
        f"Not billed: {what}{_in_words(quantity, unit)}, measured as {found}; "
        f"this price takes {taken}"
    )
    return step("refused", words, {"raw": provenance.refused, "quantity": quantity})


def included(allowance: Decimal, amount: RatedAmount, unit: Unit) -> Step:
    """What the included allowance took off."""
    before = in_unit(amount.raw_included_before, unit)
    here = in_unit(amount.raw_included, unit)
    billable = in_unit(amount.raw_billable, unit)
    words = (
        f"Included {_in_words(allowance, unit)}: {shortened(before)} used before, "
        f"{shortened(here)} used here, {_in_words(billable, unit)} left to pay"
    )
    numbers = {
        "allowance": allowance,
        "raw_before": amount.raw_included_before,
        "raw_here": amount.raw_included,
        "raw_billable": amount.raw_billable,
    }
    return step("included", words, numbers)


def priced(part: TierSlice, unit: Unit, currency: str, *, tiered: bool) -> Step:
    """One tier's slice (or the whole, for a price without tiers) at its price."""
    quantity = in_unit(part.raw, unit)
    words = f"{_in_words(quantity, unit)} at {plain(part.unit_price)} {currency}"
    if part.flat_fee:
        words += f" plus a fee of {plain(part.flat_fee)} {currency}"
    words += f" = {shortened(part.amount)} {currency}"
    numbers: dict[str, Decimal | int] = {
        "raw_from": part.raw_from,
        "raw_to": part.raw_to,
        "raw_per_unit": unit.raw_per_unit,
        "quantity": quantity,
        "unit_price": part.unit_price,
        "usage_amount": part.usage_amount,
        "flat_fee": part.flat_fee,
        "amount": part.amount,
    }
    if not tiered:
        return step("unit_price", words, numbers)
    bounds: dict[str, Decimal | int] = {"tier": part.number, "above": part.above}
    if part.up_to is not None:
        bounds["up_to"] = part.up_to
    return step("tier", f"{_tier_in_words(part, unit)}: {words}", bounds | numbers)


def _tier_in_words(part: TierSlice, unit: Unit) -> str:
    if part.up_to is None:
        return f"Tier {part.number}, above {_in_words(part.above, unit)}"
    return f"Tier {part.number}, above {plain(part.above)} up to {_in_words(part.up_to, unit)}"


def unrounded(amount: Decimal, currency: str) -> Step:
    """The sum of the slices."""
    words = f"Before rounding: {shortened(amount)} {currency}"
    return step("unrounded", words, {"unrounded": amount})


@dataclass(frozen=True, slots=True)
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
