"""What is known of a line's usage beside its quantity, in words.

A UsageQuantity's facts are JSON; raw quantities in them are ints, or text where they are not whole:

- `roles`: {role: raw}, what instances in each role used before the role's factor.
- `overlap`: {"raw", "windows", "from", "to"}, what a second primary used at the same time as the
  first, which is in no quantity.
- `coverage`: {"measured_s", "expected_s"}, for how long of the time usage was measured.
- `gaps`: {"policy", "intervals", "raw"}, what the gap policy made of the time without a
  measurement; the raw quantity is in the line's.
- `percentile`: {"intervals", "missing", "rank", "at"}, which of how many intervals gave the value.
- `peak`: {"intervals", "missing", "at"}.
- `unique`: {"property", "values"}, how many different values of an event's property there were.

Whatever else stands there is shown as it is.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Final

from billing.core.exact import plain
from billing.core.explanation import Json, Step, StepKind, ordinal, raw_in_words, step
from billing.core.quantity import Unit
from billing.core.readings import Reading

_GAPS_IN_WORDS: Final = {
    "not_billed": "are not billed",
    "held": "are billed at the last rate before",
    "interpolated": "are billed on a straight line between the values on both sides",
    "credited": "are not billed, and their share of flat fees is given back",
}

_Facts = Mapping[str, Json]
_Words = Callable[[_Facts, Reading, Unit], str]


def fact_steps(facts: _Facts, reading: Reading, unit: Unit) -> list[Step]:
    """A step for each fact, in the facts' order."""
    return [_step(name, fact, reading, unit) for name, fact in facts.items()]


def _step(name: str, fact: Json, reading: Reading, unit: Unit) -> Step:
    if name == "unique" and isinstance(fact, Mapping):
        return Step("fact", _unique(fact), {})
    known = _KNOWN.get(name)
    if known is None or not isinstance(fact, Mapping):
        return Step("fact", f"{name.replace('_', ' ').capitalize()}: {_shown(fact)}", {})
    kind, words = known
    numbers = {key: number for key, value in fact.items() if (number := _number(value)) is not None}
    return step(kind, words(fact, reading, unit), numbers)


def _roles(fact: _Facts, reading: Reading, unit: Unit) -> str:
    factors: Mapping[str, Decimal] = {
        "primary": reading.factors.primary,
        "replica": reading.factors.replica,
        "standby": reading.factors.standby,
    }
    parts = []
    for role, raw in fact.items():
        factor = factors.get(role, Decimal(1))
        counts = "not billed" if not factor else f"× {plain(factor)}"
        parts.append(f"{role} {_raw(raw, unit)} {counts}")
    return f"By role: {', '.join(parts)}"


def _overlap(fact: _Facts, reading: Reading, unit: Unit) -> str:
    span = (
        f", {_instant(fact['from'])} to {_instant(fact['to'])}"
        if "from" in fact and "to" in fact
        else ""
    )
    return (
        f"Two instances called themselves primary in {_shown(fact.get('windows'))} windows{span}: "
        f"{_raw(fact.get('raw'), unit)} of the later one are not billed again"
    )


def seconds_of(us: int) -> int | str:
    """Whole, or written out with its fraction."""
    whole, rest = divmod(us, 1_000_000)
    return format(Decimal(us).scaleb(-6).normalize(), "f") if rest else whole


def _coverage(fact: _Facts, reading: Reading, unit: Unit) -> str:
    measured, expected = (_number(fact.get(name)) for name in ("measured_s", "expected_s"))
    if measured is None or not expected:
        return f"Measured for {_shown(fact.get('measured_s'))} s"
    percent = Decimal(measured) * 100 / Decimal(expected)
    # Never 100 % unless it is.
    shown = plain(percent.quantize(Decimal("0.01"), rounding=ROUND_DOWN))
    return (
        f"Measured for {duration_in_words(measured)} of the {duration_in_words(expected)} "
        f"in which it was expected: {shown} %"
    )


def duration_in_words(seconds: int | Decimal) -> str:
    """1167 h, 43 h 30 min, 0.5 s: all of it."""
    minutes, rest = divmod(Decimal(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [
        f"{plain(count)} {name}"
        for count, name in ((hours, "h"), (minutes, "min"), (rest, "s"))
        if count
    ]
    return " ".join(parts) or "0 s"


def _gaps(fact: _Facts, reading: Reading, unit: Unit) -> str:
    policy = _GAPS_IN_WORDS.get(str(fact.get("policy", reading.gaps)), "follow the plan's policy")
    added = f": {_raw(fact['raw'], unit)}" if fact.get("raw") else ""
    return f"{_shown(fact.get('intervals'))} intervals without a measurement {policy}{added}"


def _percentile(fact: _Facts, reading: Reading, unit: Unit) -> str:
    count = _shown(fact.get("intervals"))
    return (
        f"{ordinal(reading.percentile)} percentile, nearest rank: of {count} intervals of "
        f"{reading.interval_minutes} minutes in rising order, number {_shown(fact.get('rank'))} = "
        f"{plain(reading.percentile)} % × {count}, rounded up{_at(fact)}"
    )


def _peak(fact: _Facts, reading: Reading, unit: Unit) -> str:
    return (
        f"The largest of {_shown(fact.get('intervals'))} intervals of "
        f"{reading.interval_minutes} minutes{_at(fact)}"
    )


def _at(fact: _Facts) -> str:
    began = f"; it began at {_instant(fact['at'])}" if fact.get("at") else ""
    missing = fact.get("missing")
    return began + (f"; {_shown(missing)} of them had no usage" if missing else "")


def _instant(value: Json) -> str:
    """2026-10-10 04:25 UTC; with seconds where it has some."""
    try:
        moment = datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return _shown(value)
    return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def _unique(fact: _Facts) -> str:
    count = _shown(fact.get("values"))
    values = "value was" if count == "1" else "values were"
    return f"{count} different {values} counted of the property {_shown(fact.get('property'))}"


_KNOWN: Final[Mapping[str, tuple[StepKind, _Words]]] = {
    "roles": ("roles", _roles),
    "overlap": ("overlap", _overlap),
    "coverage": ("coverage", _coverage),
    "gaps": ("gaps", _gaps),
    "percentile": ("percentile", _percentile),
    "peak": ("peak", _peak),
}


def _raw(value: Json, unit: Unit) -> str:
    number = _number(value)
    return _shown(value) if number is None else raw_in_words(number, unit)


def _number(value: Json) -> int | Decimal | None:
    """A whole number, or one written out with a fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return Decimal(value)
    return None


def _shown(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(each) for each in value)
    return "none" if value is None else str(value)
