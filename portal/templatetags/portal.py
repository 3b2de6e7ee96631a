"""portal.formatting for templates. Times are in the reader's zone, which the page activated."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from billing.core.currencies import currency_of
from billing.core.exact import plain
from billing.core.provenance import Provenance
from billing.models import Invoice
from metering.core.gaps import Gap
from metering.core.posting import spread_meter
from metering.core.quality import Measured, in_words, written
from portal import formatting
from portal.step_words import said_again

register = template.Library()

_BAR_WIDTH = 72
_INTERVALS = {
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "half_yearly": "half-year",
    "yearly": "year",
}
# Named for the catalog; whoever shows one asks for its translation.
_STEP_NAMES = {
    "measured": gettext_noop("Measured"),
    "converted": gettext_noop("In the price's unit"),
    "refused": gettext_noop("Not billed"),
    "earlier": gettext_noop("Used before this line"),
    "included": gettext_noop("Included"),
    "unit_price": gettext_noop("At the price"),
    "tier": gettext_noop("At the tier's price"),
    "cell": gettext_noop("Row of the price"),
    "volume": gettext_noop("At the tier's price"),
    "override": gettext_noop("Own price"),
    "segment": gettext_noop("Part of the period"),
    "fact": gettext_noop("How it counts"),
    "unrounded": gettext_noop("Sum"),
    "rounded": gettext_noop("Rounded"),
}


@register.simple_tag
def money(value: Decimal | int, currency: str) -> str:
    return formatting.amount(Decimal(value), currency)


@register.simple_tag
def money_change(value: Decimal, currency: str) -> str:
    """+€12.34, or less with a minus."""
    return f"{'+' if value > 0 else ''}{formatting.amount(value, currency)}"


@register.simple_tag
def least(currency: str) -> str:
    """The smallest amount that can be paid: €0.01."""
    return formatting.amount(currency_of(currency).minor_unit, currency)


@register.simple_tag
def price(value: Decimal, currency: str) -> str:
    return formatting.unit_price(value, currency)


@register.simple_tag
def quantity(value: Decimal, unit: str) -> SafeString:
    """Sensible digits and the unit; all digits in the tooltip and in the data."""
    name = formatting.unit_name(unit, value)
    title = f"{formatting.exact(value)} {name}".strip()
    shown = formatting.quantity(value)
    return format_html(
        '<data value="{}" title="{}">{}</data> <span class="quiet">{}</span>',
        plain(value),
        title,
        shown,
        name,
    )


@register.filter
def meter_name(meter: str) -> str:
    """A meter's own name; in words where it holds what was spread of another one."""
    spread = spread_meter(meter)
    if spread is None:
        return meter
    return gettext("share of %(meter)s that nobody used") % {"meter": spread}


@register.simple_tag
def usage(meter: str, raw: int) -> SafeString:
    title = formatting.raw_quantity(meter, raw)
    return format_html(
        '<data value="{}" title="{}">{}</data>', str(raw), title, formatting.usage(meter, int(raw))
    )


@register.simple_tag
def usage_change(meter: str, raw: int) -> str:
    """+20 CPU-seconds, or less with a minus."""
    sign = "+" if raw > 0 else formatting.MINUS if raw < 0 else ""
    return f"{sign}{formatting.usage(meter, abs(raw))}"


@register.simple_tag
def raw(meter: str, value: int | Decimal) -> str:
    return formatting.raw_quantity(meter, value)


@register.filter
def exact(value: Decimal | int) -> str:
    return formatting.exact(value)


@register.filter
def unit_of(unit: str, value: Decimal) -> str:
    """The unit as it is written after `value`."""
    return formatting.unit_name(unit, value)


@register.filter
def coverage(ppm: int) -> str:
    return formatting.coverage(ppm)


@register.filter
def grouped(words: str) -> str:
    """A step's words, with its times in the reader's zone."""
    said = said_again(words)
    local = formatting.with_local_times(said, timezone.get_current_timezone())
    return formatting.with_groups(local)


@register.filter
def instant(written: str) -> datetime:
    """A time as facts hold it."""
    return datetime.fromisoformat(written)


@register.simple_tag
def stretch(start: str, end: str) -> SafeString:
    """From a fact's time to another: 24 Nov 2026, 14:00 to 14:20."""
    return span_of(instant(start), instant(end))


@register.filter
def step_name(kind: str) -> str:
    return gettext(_STEP_NAMES.get(kind, spaced(kind).capitalize()))


@register.filter
def interval_name(interval: str | None) -> str:
    """What a flat fee is for: "month"; without one, the subscription's period."""
    return _INTERVALS.get(interval or "", "billing period")


@register.filter
def spaced(name: str) -> str:
    return formatting.spaced(name)


@register.filter
def measured(hows: Iterable[Measured]) -> SafeString:
    """exact, cgroup/2; lower bound, turnaround/1. In a `brief` table a phone shows no more than
    each quality once: exact; lower bound."""
    by_quality = groupby(hows, key=lambda each: each.quality)
    named = ((in_words(quality), written(group)) for quality, group in by_quality)
    return format_html_join(
        "; ",
        '{}<span class="method">{}</span>',
        ((gettext(words), in_full.removeprefix(words)) for words, in_full in named),
    )


@register.simple_tag
def how(hows: Iterable[Measured]) -> SafeString:
    """How a figure was measured, in small letters below it."""
    told = measured(hows)
    # Beside a figure a quality explains itself, but not that none is stated.
    hidden = "" if str(told).startswith(gettext("not stated")) else "visually-hidden"
    return format_html(
        '<span class="how"><span class="{}">{} </span>{}</span>', hidden, gettext("Measured:"), told
    )


@register.simple_tag
def unbilled(meter: str, billed: int | Decimal, provenance: Provenance) -> str:
    return formatting.unbilled(meter, int(billed), provenance)


@register.filter
def bucket(start: datetime) -> str:
    """A bucket's start as addresses write it: 20261123T1405Z."""
    return f"{start.astimezone(UTC):%Y%m%dT%H%MZ}"


@register.simple_tag
def covered(covered_us: int, window_us: int) -> str:
    """How much of some windows was measured; a dash for no window at all."""
    return formatting.coverage(covered_us * 1_000_000 // window_us) if window_us else "–"  # noqa: RUF001


def _time(moment: datetime, shown: str) -> SafeString:
    zone = timezone.get_current_timezone()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        formatting.moment_in_full(moment, zone),
        shown,
    )


@register.simple_tag
def clock(moment: datetime) -> SafeString:
    """14:05."""
    return _time(moment, formatting.minute(moment, timezone.get_current_timezone()))


@register.simple_tag
def lately(moment: datetime, as_of: datetime) -> SafeString:
    """20:00 today; 23 Nov, 20:00 on another day."""
    zone = timezone.get_current_timezone()
    return _time(moment, formatting.minute_lately(moment, as_of, zone))


@register.simple_tag
def clock_seconds(moment: datetime) -> SafeString:
    """14:05:30."""
    return _time(moment, f"{moment.astimezone(timezone.get_current_timezone()):%H:%M:%S}")


@register.simple_tag
def day(moment: datetime) -> SafeString:
    """23 Nov 2026."""
    return _time(moment, formatting.day(moment, timezone.get_current_timezone()))


@register.simple_tag
def date_of(day: date) -> str:
    """A day without a moment: 23 Nov 2026."""
    return formatting.date_text(day)


@register.simple_tag
def full(moment: datetime) -> SafeString:
    """23 Nov 2026, 14:05:30 CET."""
    return _time(moment, formatting.moment_in_full(moment, timezone.get_current_timezone()))


@register.simple_tag
def gap_time(gap: Gap) -> SafeString:
    """24 Nov 2026, 14:00 to 14:20; with the day again where it ends on another one."""
    return span_of(gap.start, gap.end)


def span_of(start: datetime, end: datetime) -> SafeString:
    zone = timezone.get_current_timezone()
    same_day = start.astimezone(zone).date() == end.astimezone(zone).date()
    shown = clock(end) if same_day else _time(end, _day_and_minute(end))
    return format_html(gettext("{} to {}"), _time(start, _day_and_minute(start)), shown)


def _day_and_minute(moment: datetime) -> str:
    zone = timezone.get_current_timezone()
    return f"{formatting.day(moment, zone)}, {formatting.minute(moment, zone)}"


@register.simple_tag
def period(start: datetime, end: datetime) -> str:
    return formatting.period(start, end, timezone.get_current_timezone())


@register.simple_tag
def ago(moment: datetime, as_of: datetime) -> str:
    """20 s ago; "now" for what lies ahead of a clock that is a little behind."""
    length = formatting.duration(as_of - moment)
    return gettext("%(length)s ago") % {"length": length} if moment < as_of else gettext("now")


@register.simple_tag
def share_bar(part: Decimal | int, whole: Decimal | int) -> SafeString:
    """A small bar beside a figure; it repeats the figure, so it is hidden from screen readers."""
    filled = int(_BAR_WIDTH * max(Decimal(part), Decimal(0)) / Decimal(whole)) if whole else 0
    return format_html(
        '<svg class="bar" viewBox="0 0 {w} 6" width="{w}" height="6" aria-hidden="true">'
        '<rect class="track" width="{w}" height="6"/>'
        '<rect class="part" width="{filled}" height="6"/></svg>',
        w=_BAR_WIDTH,
        filled=filled,
    )


@register.simple_tag
def share(part: Decimal | int, whole: Decimal | int) -> str:
    return formatting.share(Decimal(part), Decimal(whole))


@register.filter
def duration(length: timedelta) -> str:
    return formatting.duration(length)


@register.filter
def ppm_percent(millionths: int) -> str:
    """Whole percents, rounded down: 100 % is all of it."""
    return f"{millionths // 10_000}{formatting.NBSP}%"


@register.filter
def translated(text: str) -> str:
    """For what a filter made: the tag of Django's asks for the translation before it."""
    return gettext(text)


@register.filter
def document_name(invoice: Invoice) -> str:
    """Invoice INV-12, Credit note CN-3, or Draft invoice while it has no number."""
    kind = gettext(invoice.kind_in_words)
    if not invoice.number:
        return gettext("Draft %(kind)s") % {"kind": kind}
    return f"{kind[:1].upper()}{kind[1:]} {invoice.reference}"
