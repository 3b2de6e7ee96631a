"""From what a meter counted to the unit that a price is quoted in.

A meter's raw quantity is an integer in its small unit (µs, byte·s, byte, count·s, count), as
the wire contract states it. A price's unit holds a whole number of those, so the conversion is
one division. Decimal multiples (GB = 10^9 bytes) and binary ones (GiB = 2^30 bytes) are
different units and never stand for each other.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from hostmeter_agent.wire import METERS_BY_NAME, Kind, kind_of

from billing.core.exact import EXACT, InexactNumber, NumberOutOfBounds, decimals_of, quotient
from billing.core.readings import Aggregation, Reading
from metering.core.posting import spread_meter

# A role's factor has up to 4 decimals, and so has what is left of a whole number of raw units.
RAW_DECIMALS_MAX: Final = 4
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


# What a price on intervals (percentile, peak) is quoted in, by what the meter counts. Of a counter
# or a gauge a value is the interval's mean rate, so a unit holds `per_second` raw units for each
# second of the interval; of a maximum it is the largest value, and a unit holds `per_second` once.
_RATE_UNITS: Final = {
    "byte": (
        ("kbit/s", Fraction(10**3, 8)),
        ("Mbit/s", Fraction(10**6, 8)),
        ("Gbit/s", Fraction(10**9, 8)),
    ),
    "count": (("per second", Fraction(1)), ("per minute", Fraction(1, 60))),
    "µs": (("CPU", Fraction(10**6)),),
}
_LEVEL_UNITS: Final = {
    "byte": (
        ("MB", 10**6),
        ("MiB", 2**20),
        ("GB", 10**9),
        ("GiB", 2**30),
        ("TB", 10**12),
        ("TiB", 2**40),
    ),
    "count": (("one", 1), ("user", 1), ("process", 1), ("thread", 1), ("file", 1)),
}
# Every name of a unit, wherever it fits.
UNIT_NAMES: Final = tuple(
    dict.fromkeys(
        [
            *UNITS,
            *(name for units in _RATE_UNITS.values() for name, _ in units),
            *(name for units in _LEVEL_UNITS.values() for name, _ in units),
        ]
    )
)
# Which meters are counted in people, processes and so on; the others in ones.
_LEVEL_OF: Final = {
    "user": "users.concurrent",
    "process": "processes",
    "thread": "threads",
    "file": "files.open",
}


def raw_unit_of(meter: str) -> str:
    """The unit of the meter's integers; a meter that is not built in counts things, or what is
    spread of one that is."""
    known = METERS_BY_NAME.get(spread_meter(meter) or meter)
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


def units_of(reading: Reading) -> tuple[Unit, ...]:
    """Every unit that a price on the reading can be quoted in.

    What is read interval by interval has units of a rate (Mbit/s) or of a level (GB, users): how
    many raw units make one depends on the interval's length and is always a whole number.
    """
    if reading.aggregation == "unique":
        return tuple(UNITS[name] for name in ("one", "thousand", "million"))
    if reading.aggregation not in ("percentile", "peak"):
        return units_for(reading.meter)
    seconds = reading.interval_minutes * 60
    raw_unit = raw_unit_of(reading.meter)
    if kind_of(reading.meter) == "counter":
        return tuple(
            Unit(name, raw_unit, int(per_second * seconds))
            for name, per_second in _RATE_UNITS[raw_unit]
        )
    gauge = kind_of(reading.meter) == "gauge"
    meter = reading.meter.removesuffix(".max")
    return tuple(
        Unit(name, raw_unit, size * (seconds if gauge else 1))
        for name, size in _LEVEL_UNITS[raw_unit.removesuffix("·s")]
        if _LEVEL_OF.get(name, meter) == meter
    )


def unit_of(reading: Reading, name: str) -> Unit:
    """The unit `name`, if the reading can be quoted in it. Raises UnknownUnit, UnitDoesNotFit."""
    return _unit_of(reading.meter, reading.aggregation, reading.interval_minutes, name)


@lru_cache(maxsize=4_096)
def _unit_of(meter: str, aggregation: Aggregation, interval_minutes: int, name: str) -> Unit:
    reading = Reading(meter, aggregation, interval_minutes=interval_minutes)
    fitting = units_of(reading)
    for unit in fitting:
        if unit.name == name:
            return unit
    if name not in UNIT_NAMES:
        raise UnknownUnit(f"no unit is called {name[:40]!r}")
    names = ", ".join(each.name for each in fitting)
    usual = reading.aggregation == aggregation_of(reading.meter)
    what = reading.meter if usual else f"the {reading.aggregation} of {reading.meter}"
    raise UnitDoesNotFit(f"{what} is not measured in {name}; it can be in {names}")


def aggregation_of(meter: str) -> Aggregation:
    """How the meter's samples become one quantity: counters are summed, gauges integrated."""
    return _AGGREGATION_OF_KIND[kind_of(meter)]


def aggregations_of(meter: str) -> tuple[Aggregation, ...]:
    """Every way in which a price can count the meter; the first is the usual one."""
    own = aggregation_of(meter)
    # A host's hour is spread whole and stands where it begins: that has no rate.
    if spread_meter(meter) is not None:
        return (own,)
    if own == "sum":
        return ("sum", "percentile", "peak", "unique")
    return (own, "percentile", "peak")


def require_aggregation(meter: str, aggregation: str) -> None:
    """Refuse an aggregation that the meter has not. Raises AggregationDoesNotFit."""
    possible = aggregations_of(meter)
    if aggregation not in possible:
        raise AggregationDoesNotFit(
            f"{meter} is billed by its {' or '.join(possible)}, not {aggregation!r}"
        )


def require_raw_quantity(raw: int | Decimal) -> None:
    """Refuse what is not a non-negative raw quantity: an int, or a Decimal of up to 4 decimals.

    Raises InexactNumber and NumberOutOfBounds.
    """
    if type(raw) is int and 0 <= raw < RAW_QUANTITY_BELOW:
        return
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal):
        raise InexactNumber(f"a raw quantity must be an int or Decimal, not {type(raw).__name__}")
    if isinstance(raw, Decimal) and (not raw.is_finite() or decimals_of(raw) > RAW_DECIMALS_MAX):
        raise NumberOutOfBounds(f"a raw quantity has at most 4 decimals: {raw}")
    if not 0 <= raw < RAW_QUANTITY_BELOW:
        raise NumberOutOfBounds(f"a raw quantity must be from 0 to below 10^30: {raw}")


def plus(*raws: int | Decimal) -> int | Decimal:
    """The exact sum of raw quantities; whole numbers stay ints."""
    total: int | Decimal = 0
    for raw in raws:
        if isinstance(total, int) and isinstance(raw, int):
            total += raw
        else:
            total = EXACT.add(Decimal(total), Decimal(raw))
    return total


def in_unit(raw: int | Decimal, unit: Unit) -> Decimal:
    """`raw` of the meter's unit as a quantity in `unit`: exact up to 30 decimals, half up.

    Charges are not computed from this figure but from the raw quantity, so that a third of an
    hour costs a third of the price and not 0.333... of it.
    """
    return _units(raw, unit.raw_per_unit)


# Of each line it is asked for the quantity, for the conversion and for what was priced; and the
# lines of many invoices are rated before any of them is explained.
@lru_cache(maxsize=16_384)
def _units(raw: int | Decimal, raw_per_unit: int) -> Decimal:
    return quotient(Decimal(raw), raw_per_unit)
