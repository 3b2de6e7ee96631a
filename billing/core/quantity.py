"""From what a meter counted to the unit that a price is quoted in.

A meter's raw quantity is an integer in its small unit (µs, byte·s, byte, count·s, count), as
the wire contract states it. A price's unit holds a whole number of those, so the conversion is
one division. Decimal multiples (GB = 10^9 bytes) and binary ones (GiB = 2^30 bytes) are
different units and never stand for each other.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from hostmeter_agent.wire import METERS_BY_NAME, Kind, kind_of

from billing.core.exact import InexactNumber, NumberOutOfBounds, quotient

Aggregation = Literal["sum", "integral", "maximum"]

# A year of every meter's largest value from a million hosts stays below this.
RAW_QUANTITY_BELOW: Final = 10**30

_AGGREGATION_OF_KIND: Final[dict[Kind, Aggregation]] = {
    "counter": "sum",
    "gauge": "integral",
    "maximum": "maximum",
}


class UnknownUnit(ValueError):
    """No price can be quoted in a unit of this name."""


class UnitDoesNotFit(ValueError):
    """The meter does not measure what the unit is made of: files in CPU-hours."""


class AggregationDoesNotFit(ValueError):
    """The meter's values do not combine in this way: the sum of a maximum."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that prices are quoted in: `raw_per_unit` of the meters' `raw_unit` make one.

    Where `meters` are named, only they are measured in it.
    """

    name: str
    raw_unit: str
    raw_per_unit: int
    meters: tuple[str, ...] = ()


_HOUR_S = 3_600
_RESOURCES_OPEN = tuple(name for name in METERS_BY_NAME if name.startswith("resources.open."))

UNITS: Final = {
    unit.name: unit
    for unit in (
        Unit("CPU-second", "µs", 10**6),
        Unit("CPU-hour", "µs", 10**6 * _HOUR_S),
        Unit("GB-hour", "byte·s", 10**9 * _HOUR_S),
        Unit("GiB-hour", "byte·s", 2**30 * _HOUR_S),
        Unit("MB", "byte", 10**6),
        Unit("MiB", "byte", 2**20),
        Unit("GB", "byte", 10**9),
        Unit("GiB", "byte", 2**30),
        Unit("TB", "byte", 10**12),
        Unit("TiB", "byte", 2**40),
        Unit("count-hour", "count·s", _HOUR_S),
        Unit("process-hour", "count·s", _HOUR_S, ("processes",)),
        Unit("thread-hour", "count·s", _HOUR_S, ("threads",)),
        Unit("file-hour", "count·s", _HOUR_S, ("files.open", "resources.open.file")),
        Unit("resource-hour", "count·s", _HOUR_S, ("resources.open", *_RESOURCES_OPEN)),
        Unit("user-hour", "count·s", _HOUR_S, ("users.concurrent",)),
        Unit("one", "count", 1),
        Unit("thousand", "count", 10**3),
        Unit("million", "count", 10**6),
    )
}


def raw_unit_of(meter: str) -> str:
    """The unit of the meter's integers; a meter that is not built in counts things."""
    known = METERS_BY_NAME.get(meter)
    return "count" if known is None else known.unit


def units_for(meter: str) -> tuple[Unit, ...]:
    """Every unit that a price on `meter` can be quoted in."""
    raw_unit = raw_unit_of(meter)
    return tuple(
        unit
        for unit in UNITS.values()
        if unit.raw_unit == raw_unit and (not unit.meters or meter in unit.meters)
    )


def unit_for(meter: str, name: str) -> Unit:
    """The unit `name`, if `meter` can be quoted in it. Raises UnknownUnit, UnitDoesNotFit."""
    unit = UNITS.get(name)
    if unit is None:
        raise UnknownUnit(f"no unit is called {name[:40]!r}")
    fitting = units_for(meter)
    if unit not in fitting:
        names = ", ".join(each.name for each in fitting)
        raise UnitDoesNotFit(f"{meter} is not measured in {name}; it can be in {names}")
    return unit


def aggregation_of(meter: str) -> Aggregation:
    """How the meter's samples become one quantity: counters are summed, gauges integrated."""
    return _AGGREGATION_OF_KIND[kind_of(meter)]


def require_aggregation(meter: str, aggregation: str) -> None:
    """Refuse an aggregation that is not the meter's. Raises AggregationDoesNotFit."""
    expected = aggregation_of(meter)
    if aggregation != expected:
        raise AggregationDoesNotFit(f"{meter} is billed by its {expected}, not {aggregation!r}")


def require_raw_quantity(raw: int) -> None:
    """Refuse what is not a whole, non-negative raw quantity.

    Raises InexactNumber and NumberOutOfBounds.
    """
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise InexactNumber(f"a raw quantity must be an int, not {type(raw).__name__}")
    if not 0 <= raw < RAW_QUANTITY_BELOW:
        raise NumberOutOfBounds(f"a raw quantity must be from 0 to below 10^30: {raw}")


def in_unit(raw: int | Decimal, unit: Unit) -> Decimal:
    """`raw` of the meter's unit as a quantity in `unit`: exact up to 30 decimals, half up.

    Charges are not computed from this figure but from the raw quantity, so that a third of an
    hour costs a third of the price and not 0.333... of it.
    """
    return quotient(Decimal(raw), unit.raw_per_unit)
