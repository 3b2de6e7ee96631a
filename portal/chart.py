"""Stacked bar charts as numbers for an SVG: in whole units of the drawing, no floats.

The template draws what `bar_chart` returns. A chart is laid out twice, for a wide and for a narrow
screen, because SVG text shrinks with its drawing and would be unreadable on a phone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

SERIES_MAX: Final = 6
_ZERO: Final = Decimal(0)
_STEPS: Final = 4
_LABEL_GAP: Final = 8
_DIGIT_WIDTH: Final = 7


@dataclass(frozen=True, slots=True)
class Series:
    """One application's (or meter's) values, one for each slot of the chart."""

    name: str
    values: tuple[Decimal, ...]
    generated: bool = False

    @property
    def total(self) -> Decimal:
        return sum(self.values, _ZERO)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on the time axis: `label` stands below it, `name` in its tooltip. The axis names the
    `group` (such as the month) where it begins. Of a slot that `is_gap` nothing is known, which is
    not zero; `gap` says so in words."""

    label: str
    name: str
    is_open: bool = False
    group: str = ""
    gap: str = ""

    @property
    def is_gap(self) -> bool:
        return bool(self.gap)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a slot is compared with, and its name."""

    name: str
    value: Decimal


# What of an earlier time stands beside a slot; None where nothing was measured then.
Slotted = Earlier | None
# The same as it is drawn: its value and what its mark says.
_Marked = tuple[Decimal, str] | None


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: int
    width: int
    height: int
    colour: int
    title: str
    is_open: bool

    @property
    def box(self) -> SafeString:
        """Its attributes, as one: templates write numbers slowly, and a page has hundreds."""
        box = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        return mark_safe(box)  # noqa: S308  whole numbers


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a slot's earlier value lies: a line across the place of its bar."""

    x: int
    y: int
    width: int
    title: str

    @property
    def line(self) -> SafeString:
        """Its attributes, as one."""
        ends = f'x1="{self.x}" x2="{self.x + self.width}" y1="{self.y}" y2="{self.y}"'
        return mark_safe(ends)  # noqa: S308  whole numbers


@dataclass(frozen=True, slots=True)
class Tick:
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing's size and the room that its labels take."""

    name: str
    width: int
    height: int
    labels_max: int
    bottom: int = 24
    top: int = 12

    @property
    def floor(self) -> int:
        return self.height - self.bottom

    @property
    def plot_height(self) -> int:
        return self.floor - self.top


WIDE: Final = Layout("wide", width=1040, height=260, labels_max=16)
NARROW: Final = Layout("narrow", width=358, height=220, labels_max=6)


@dataclass(frozen=True, slots=True)
class Axis:
    """How the value axis is divided: in steps of at least `step_min`, in a unit that is `size` of
    the values and that the page names once."""

    written: Callable[[Decimal], str]
    unit: str = ""
    size: Decimal = Decimal(1)
    step_min: Decimal = Decimal("1e-12")

    def ceiling(self, largest: Decimal) -> Decimal:
        """The value at the top of the axis; not below `largest`."""
        least = self.step_min * _STEPS
        nice = nice_ceiling(largest / self.size)
        return (nice / least).to_integral_value(ROUND_CEILING) * least * self.size

    def label(self, value: Decimal) -> str:
        return self.written(value / self.size)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything in one layout of a chart, in units of its view box. Bars begin at `left`."""

    layout: Layout
    left: int
    bars: tuple[Bar, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    gaps: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def label_x(self) -> int:
        """Where the labels of the value axis end."""
        return self.left - _LABEL_GAP


@dataclass(frozen=True, slots=True)
class Chart:
    """Both layouts of one chart, and the same values for its legend and table."""

    slots: tuple[Slot, ...]
    series: tuple[Series, ...]
    drawings: tuple[Drawing, ...]
    summary: str
    unit: str

    @property
    def is_empty(self) -> bool:
        return not any(series.total for series in self.series)

    @property
    def total(self) -> Decimal:
        return sum((series.total for series in self.series), _ZERO)

    @property
    def rows(self) -> tuple[tuple[Slot, tuple[Decimal, ...], Decimal], ...]:
        """Each slot with its values, series by series, and their sum."""
        columns = [series.values for series in self.series]
        return tuple(
            (slot, values, sum(values, _ZERO))
            for slot, values in zip(self.slots, zip(*columns, strict=True), strict=True)
        )


def bar_chart(
    slots: Sequence[Slot],
    series: Sequence[Series],
    written: Callable[[Decimal], str],
    axis: Axis | None = None,
    earlier: Sequence[Slotted] = (),
) -> Chart:
    """A stacked bar for each slot, a layer for each series, largest series first; of `earlier`,
    if given, a mark for each slot.

    Beyond SERIES_MAX series the smallest are added up as one, the others. Every series must
    have one value for each slot. A value below zero (a day on which a cheaper tier was reached) is
    not drawn; it stands in the rows.
    """
    divided = axis or Axis(written)
    layers = merge_smallest(series) or (Series("", (_ZERO,) * len(slots)),)
    titles = _titles(slots, layers, written)
    marked = [
        None if each is None else (each.value, f"{each.name}: {written(each.value)}")
        for each in earlier
    ]
    drawings = tuple(
        _draw(layout, slots, layers, titles, divided, marked) for layout in (WIDE, NARROW)
    )
    return Chart(
        tuple(slots), layers, drawings, _summary(slots, layers, written), unit=divided.unit
    )


def _summary(
    slots: Sequence[Slot], series: Sequence[Series], written: Callable[[Decimal], str]
) -> str:
    """The chart in a sentence, for those who do not see it."""
    sums = [sum(values, _ZERO) for values in zip(*(each.values for each in series), strict=True)]
    if not any(sums):
        return gettext("No bars: every value is zero")
    highest = max(range(len(sums)), key=lambda index: sums[index])
    words = ngettext(
        "%(count)d bar; the highest is %(name)s with %(value)s",
        "%(count)d bars; the highest is %(name)s with %(value)s",
        len(slots),
    )
    value = written(sums[highest])
    return words % {"count": len(slots), "name": slots[highest].name, "value": value}


def merge_smallest(series: Sequence[Series]) -> tuple[Series, ...]:
    """At most SERIES_MAX series with the same total in every slot."""
    ordered = sorted(series, key=lambda each: (-each.total, each.name))
    if len(ordered) <= SERIES_MAX:
        return tuple(ordered)
    kept, rest = ordered[: SERIES_MAX - 1], ordered[SERIES_MAX - 1 :]
    sums = tuple(sum(values, _ZERO) for values in zip(*(each.values for each in rest), strict=True))
    return (*kept, Series(gettext("%(count)d others") % {"count": len(rest)}, sums))


def nice_ceiling(largest: Decimal) -> Decimal:
    """The smallest of 1, 2, 4, 6, 8 or 10 times a power of ten that is not below `largest`."""
    if largest <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(largest.adjusted())
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= largest)


def _titles(
    slots: Sequence[Slot], series: Sequence[Series], written: Callable[[Decimal], str]
) -> list[list[str]]:
    """What each slot's bars say, layer by layer: the same on either screen."""
    return [
        [
            ": ".join(part for part in (slot.name, each.name, written(each.values[index])) if part)
            for each in series
        ]
        for index, slot in enumerate(slots)
    ]


def _draw(
    layout: Layout,
    slots: Sequence[Slot],
    series: Sequence[Series],
    titles: Sequence[Sequence[str]],
    axis: Axis,
    marked: Sequence[_Marked],
) -> Drawing:
    drawn = [[max(value, _ZERO) for value in each.values] for each in series]
    sums = [sum(values, _ZERO) for values in zip(*drawn, strict=True)]
    ceiling = axis.ceiling(max([*sums, *(each[0] for each in marked if each)], default=_ZERO))
    y_ticks = tuple(
        Tick(
            layout.floor - layout.plot_height * part // _STEPS,
            axis.label(ceiling * part / _STEPS),
        )
        for part in range(_STEPS + 1)
    )
    left = _LABEL_GAP + max(len(tick.text) for tick in y_ticks) * _DIGIT_WIDTH
    places = [_place(layout.width, left, len(slots), index) for index in range(len(slots))]
    bars: list[Bar] = []
    for index, (slot, place) in enumerate(zip(slots, places, strict=True)):
        parts = [*zip(titles[index], (each.values[index] for each in series), strict=True)]
        bars += _stack(layout, place, parts, ceiling, is_open=slot.is_open)
    return Drawing(
        layout,
        left,
        tuple(bars),
        y_ticks,
        _x_ticks(layout, slots, places),
        tuple(
            _gap(layout, slot, place)
            for slot, place in zip(slots, places, strict=True)
            if slot.is_gap
        ),
        tuple(
            _mark(layout, each, place, ceiling)
            for each, place in zip(marked, places, strict=False)
            if each is not None
        ),
    )


def _gap(layout: Layout, slot: Slot, place: tuple[int, int]) -> Bar:
    """The place of a bar that nobody measured, from the axis to the top."""
    title = f"{slot.name}: {slot.gap}"
    return Bar(place[0], layout.top, place[1], layout.plot_height, 0, title, is_open=False)


def _mark(
    layout: Layout, marked: tuple[Decimal, str], place: tuple[int, int], ceiling: Decimal
) -> Mark:
    value, title = marked
    height = max(value, _ZERO) * layout.plot_height / ceiling
    y = layout.floor - int(height.to_integral_value())
    return Mark(place[0], y, place[1], title)


def _stack(
    layout: Layout,
    place: tuple[int, int],
    parts: Sequence[tuple[str, Decimal]],
    ceiling: Decimal,
    *,
    is_open: bool,
) -> list[Bar]:
    bars, below, floor = [], _ZERO, layout.floor
    for colour, (title, value) in enumerate(parts):
        below += max(value, _ZERO)
        # Heights are differences of rounded positions, so that layers never gap or overlap.
        top = layout.floor - int((below * layout.plot_height / ceiling).to_integral_value())
        if value > 0:
            x, width = place
            bars.append(Bar(x, top, width, floor - top, colour, title, is_open))
        floor = top
    return bars


def _place(width: int, left: int, count: int, index: int) -> tuple[int, int]:
    """Where a slot's bar begins and how wide it is."""
    start = left + (width - left) * index // count
    end = left + (width - left) * (index + 1) // count
    gap = max((end - start) // 5, 1)
    return start + gap // 2, max(end - start - gap, 1)


def _x_ticks(
    layout: Layout, slots: Sequence[Slot], places: Sequence[tuple[int, int]]
) -> tuple[Tick, ...]:
    every = max(-(-len(slots) // layout.labels_max), 1)
    ticks, group = [], ""
    for slot, (x, width) in list(zip(slots, places, strict=True))[::every]:
        text = slot.label if slot.group == group else f"{slot.label} {slot.group}"
        ticks.append(Tick(x + width // 2, text))
        group = slot.group
    return tuple(ticks)
