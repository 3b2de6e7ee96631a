"""Money, quantities and times in the language of the page, by Babel's data. Exact, no floats.

The language is the one that is active while a page is answered: English or German. A short form
may drop digits of a quantity; the page then carries `exact` beside it. Amounts are never shortened.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, dates, numbers
from django.utils.translation import get_language, gettext, ngettext, pgettext
from hostmeter_agent.wire import kind_of

from billing.core.currencies import currency_of
from billing.core.exact import DIGITS, decimals_of, quotient
from billing.core.provenance import Provenance
from billing.core.quantity import UNITS, plus, raw_unit_of
from billing.documents.texts import written_unit
from metering.core.quality import in_words

NBSP: Final = "\u00a0"
THIN: Final = "\u2009"
MINUS: Final = "\u2212"

# As in Babel's patterns; the English one is that of Britain, whose days nobody takes for months.
_DAY: Final = {"en": "d MMM y", "de": "d. MMM y"}
_DAY_OF_YEAR: Final = {"en": "d MMM", "de": "d. MMM"}
_DAY_OF_MONTH: Final = {"en": "d", "de": "d."}

_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_SIGNIFICANT_DIGITS: Final = 4
_DECIMALS_MAX: Final = 12
_ROUNDING: Final = Context(prec=DIGITS, rounding=ROUND_HALF_UP)
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)"
    r"| \d\d:\d\d(?::\d\d)? UTC)"
)
_FRACTION: Final = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\.\d)")
_LONG_NUMBER: Final = re.compile(r"(?<![\d.,])\d{5,}(?![\d,])")


def amount(value: Decimal, currency: str) -> str:
    """A payable amount in its currency's decimals: €12.34, ¥1,234, KWD 1.234.

    An amount with more decimals than the currency keeps them: nothing is rounded here.
    """
    decimals = max(currency_of(currency).decimals, decimals_of(value))
    return _with_currency(_fixed(abs(value), decimals), currency, negative=value < 0)


def unit_price(value: Decimal, currency: str) -> str:
    """A price per unit with every digit that it has, and at least the currency's: €0.0125."""
    return amount(value, currency)


def quantity(value: Decimal) -> str:
    """Four significant digits, whole numbers in full: 20.01, 0.0005556, 72,000.

    `exact` writes all of them.
    """
    if value == value.to_integral_value():
        return _fixed(value, 0)
    decimals = min(max(_SIGNIFICANT_DIGITS - 1 - value.adjusted(), 0), _DECIMALS_MAX)
    decimals = min(decimals, decimals_of(value))
    short = _ROUNDING.quantize(value, Decimal(1).scaleb(-decimals))
    if not short:
        return "<0.000000000001"
    return _fixed(short, decimals)


def exact(value: Decimal | int) -> str:
    """Every digit, grouped by thousands: 72,000,000,000 or 20.000277777777777777."""
    number = Decimal(value)
    return _fixed(number, decimals_of(number))


@dataclass(frozen=True, slots=True)
class UsageUnit:
    """A unit to read a meter in: `raw_per_unit` of its small unit make one."""

    name: str
    raw_per_unit: int


_SIZES: Final = tuple(
    UsageUnit(name, 1000**power) for power, name in enumerate(("B", "kB", "MB", "GB", "TB", "PB"))
)


def usage_unit(meter: str, raw: int | Decimal) -> UsageUnit:
    """The unit in which a quantity of about `raw` reads best."""
    raw_unit = raw_unit_of(meter)
    if raw_unit == "byte":
        return next((size for size in _SIZES[:-1] if raw < size.raw_per_unit * 1000), _SIZES[-1])
    if raw_unit == "count":
        return UsageUnit("", 1)
    if raw_unit == "µs":
        return _unit_named("CPU-second" if raw < UNITS["CPU-hour"].raw_per_unit else "CPU-hour")
    return _unit_named("GB-hour" if raw_unit == "byte·s" else _gauge_hour(meter))


def _unit_named(name: str) -> UsageUnit:
    return UsageUnit(name, UNITS[name].raw_per_unit)


def _gauge_hour(meter: str) -> str:
    for name, unit in UNITS.items():
        if meter in unit.meters:
            return name
    return "count-hour"


def usage(meter: str, raw: int | Decimal) -> str:
    """A meter's raw quantity in a unit of fitting size: 20 CPU-seconds, 1.5 GB-hours, 12 MB."""
    unit = usage_unit(meter, raw)
    value = quotient(Decimal(raw), unit.raw_per_unit)
    return f"{quantity(value)}{NBSP}{unit_name(unit.name, value)}".rstrip(NBSP)


def unit_name(unit: str, value: Decimal) -> str:
    """The unit after a number: 1 GB-hour, 3 GB-hours, 3 GB; nothing for what is counted singly."""
    if unit == "byte":
        if _language() == "de":
            return "Byte"
        return "byte" if value == 1 else "bytes"
    return written_unit(unit, value, _language())


def raw_quantity(meter: str, raw: Decimal | int) -> str:
    """The meter's own integer with its unit: 72,000,000,000 µs, 512 bytes."""
    return f"{exact(raw)}{NBSP}{unit_name(raw_unit_of(meter), Decimal(raw))}"


def share(part: Decimal, whole: Decimal) -> str:
    """A percentage with one decimal; a dash where there is no whole."""
    if not whole:
        return "–"  # noqa: RUF001
    return _percent(_fixed(_ROUNDING.quantize(part * 100 / whole, Decimal("0.1")), 1))


def unbilled(meter: str, billed: int | Decimal, provenance: Provenance) -> str:
    """What a line leaves unbilled, and why: "3.2% not billed: estimated". The largest values of a
    meter make no whole, so of these it is the value itself."""
    refused = provenance.refused
    if kind_of(meter) == "maximum":
        part = usage(meter, refused)
    else:
        part = share(Decimal(refused), Decimal(plus(billed, refused)))
        part = f"<{_percent(_fixed(Decimal('0.1'), 1))}" if part == share(_ZERO, _ONE) else part
    reasons = gettext(" or ").join(gettext(in_words(each)) for each in provenance.refused_for)
    return gettext("%(part)s not billed: %(reasons)s") % {"part": part, "reasons": reasons}


def buckets_in_words(buckets: int, days: int) -> str:
    """3 buckets on 1 day."""
    first = ngettext("%(count)s bucket", "%(count)s buckets", buckets) % {"count": exact(buckets)}
    second = ngettext("on %(count)s day", "on %(count)s days", days) % {"count": exact(days)}
    return f"{first} {second}"


def spaced(name: str) -> str:
    """raw_per_unit → raw per unit, agent-stopped → agent stopped."""
    return name.replace("_", " ").replace("-", " ")


def coverage(ppm: int) -> str:
    """Millionths as a percentage that never says 100% unless it is."""
    percent = Decimal(ppm) / 10_000
    decimals = 0 if percent == percent.to_integral_value() else 2
    shown = percent.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)
    return _percent(_localized(f"{shown}"))


def with_groups(words: str) -> str:
    """A sentence whose long whole numbers are grouped: "72000000000 µs" → "72,000,000,000 µs"."""
    return _LONG_NUMBER.sub(lambda found: _fixed(Decimal(found[0]), 0), words)


def localized_numbers(words: str) -> str:
    """A sentence whose decimal fractions are written with the language's own separator."""
    symbol = numbers.get_decimal_symbol(_language())
    return _FRACTION.sub(lambda found: found[0].replace(".", symbol), words)


def with_local_times(words: str, zone: tzinfo) -> str:
    """A sentence whose UTC times are written in a zone: "2026-10-10 04:25 UTC" or
    "2026-10-10T04:25:00Z" → "10 Oct 2026, 06:25 CEST"."""
    return _INSTANT.sub(lambda found: _in_zone(found[0], zone), words)


def _in_zone(written: str, zone: tzinfo) -> str:
    try:
        moment = datetime.fromisoformat(written.replace(" UTC", "+00:00"))
        return moment_in_full(moment, zone)
    except (ValueError, OverflowError):
        return written


def day(moment: datetime, zone: tzinfo) -> str:
    """23 Nov 2026; 23. Nov. 2026."""
    return _written(moment.astimezone(zone), _DAY)


def day_of_year(local: date) -> str:
    """23 Nov; 23. Nov."""
    return _written(local, _DAY_OF_YEAR)


def day_of_month(local: date) -> str:
    """23; 23."""
    return _written(local, _DAY_OF_MONTH)


def month_name(local: date) -> str:
    """Nov; Nov."""
    return dates.format_date(local, "LLL", _language())


def date_text(day: date) -> str:
    """A day that no clock belongs to: 23 Nov 2026."""
    return _written(datetime.combine(day, time.min), _DAY)


def minute(moment: datetime, zone: tzinfo) -> str:
    """14:05, on a 24-hour clock."""
    return f"{moment.astimezone(zone):%H:%M}"


def minute_lately(moment: datetime, as_of: datetime, zone: tzinfo) -> str:
    """14:05 on the local day of `as_of`; on another one 23 Nov, 14:05, with the year if it is not
    this one."""
    local, now = moment.astimezone(zone), as_of.astimezone(zone)
    if local.date() == now.date():
        return minute(moment, zone)
    if local.year == now.year:
        return f"{_written(local, _DAY_OF_YEAR)}, {minute(moment, zone)}"
    return f"{day(moment, zone)}, {minute(moment, zone)}"


def moment_in_full(moment: datetime, zone: tzinfo) -> str:
    """23 Nov 2026, 14:05:30 CET; a full minute without its seconds."""
    local = moment.astimezone(zone)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{day(moment, zone)}, {clock}{NBSP}{zone_name(local)}"


def zone_name(local: datetime) -> str:
    """CET where the zone has an abbreviation, else its offset as UTC+05:30."""
    name = local.tzname() or ""
    offset = f"{local:%z}"
    return name if name[:1].isalpha() else f"UTC{offset[:3]}:{offset[3:5]}"


def period(start: datetime, end: datetime, zone: tzinfo) -> str:
    """A half-open period by its first and last local day: 1 to 30 Nov 2026."""
    first = start.astimezone(zone)
    last = (end - timedelta(microseconds=1)).astimezone(zone)
    if first.date() == last.date():
        return day(start, zone)
    if (first.year, first.month) == (last.year, last.month):
        dot = "." if _language() == "de" else ""
        return f"{first.day}{dot}–{_written(last, _DAY)}"  # noqa: RUF001
    if first.year == last.year:
        return f"{_written(first, _DAY_OF_YEAR)} – {_written(last, _DAY)}"  # noqa: RUF001
    return f"{day(start, zone)} – {day(last, zone)}"  # noqa: RUF001


def duration(length: timedelta) -> str:
    """The two largest parts: 20 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    seconds = max(int(length.total_seconds()), 0)
    parts = []
    for size, name in ((86_400, pgettext("days", "d")), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{NBSP}{name}")
        elif parts:
            break
    return " ".join(parts[:2]) or f"0{NBSP}s"


def _language() -> str:
    short = (get_language() or "en").partition("-")[0]
    return short if short in _DAY else "en"


@lru_cache(maxsize=8)
def _separators(language: str) -> dict[int, str]:
    return str.maketrans(
        {",": numbers.get_group_symbol(language), ".": numbers.get_decimal_symbol(language)}
    )


@lru_cache(maxsize=8)
def _currency_stands_last(language: str) -> bool:
    return str(Locale.parse(language).currency_formats["standard"].pattern).endswith("¤")


@lru_cache(maxsize=512)
def _symbol(currency: str, language: str) -> str:
    return numbers.get_currency_symbol(currency, language)


def _written(local: date, patterns: dict[str, str]) -> str:
    language = _language()
    return dates.format_date(local, patterns[language], language).replace(" ", NBSP)


def _localized(number: str) -> str:
    """A number as Python writes it, with the language's own separators."""
    return number.translate(_separators(_language()))


def _fixed(value: Decimal, decimals: int) -> str:
    text = _localized(f"{value:,.{decimals}f}")
    return f"{MINUS}{text[1:]}" if text.startswith("-") else text


def _percent(number: str) -> str:
    return f"{number}{NBSP}%" if _language() == "de" else f"{number}%"


def _with_currency(number: str, currency: str, *, negative: bool) -> str:
    language = _language()
    symbol = _symbol(currency, language)
    if _currency_stands_last(language):
        text = f"{number}{NBSP}{symbol}"
    else:
        text = f"{symbol}{NBSP}{number}" if symbol[-1].isalpha() else f"{symbol}{number}"
    return f"{MINUS}{text}" if negative else text
