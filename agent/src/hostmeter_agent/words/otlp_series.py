"""What OTLP points add to what is known of their series."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hostmeter_agent.wire import kind_of
from hostmeter_agent.words.config import Metric
from hostmeter_agent.words.exposition import digest_of, passes
from hostmeter_agent.words.otlp_points import Point

SERIES_MAX: Final = 2_000
TIMES_KEPT: Final = 8
FORGOTTEN_AFTER_MS: Final = 86_400_000
RESET: Final = "counter-reset"
TOO_MANY: Final = "too-many-series"
BEGINS: Final = "series-begins"
LATE: Final = "points-late"

Target = tuple[str, str]
"""An application and a meter."""


@dataclass(frozen=True, slots=True)
class Row:
    """A point and whose meters it is, as the journal keeps it. targets: application, meter and
    what the value is multiplied by."""

    series: str
    kind: str
    start_ns: int
    time_ns: int
    value: int
    targets: Sequence[tuple[str, str, int]]

    def encode(self) -> list[object]:
        return [self.series, self.kind, self.start_ns, self.time_ns, self.value, self.targets]


class Mapping:
    """Finds out whose meters a point is."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._rules: dict[str, list[Metric]] = {}
        for metric in metrics:
            self._rules.setdefault(metric.name, []).append(metric)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._rules)

    def rows(self, points: Iterable[Point]) -> list[Row]:
        """The points that are somebody's; counters take what only grows, gauges take levels."""
        rows = []
        for point in points:
            labels = {**point.resource, **point.attributes}
            targets = [
                (rule.application, rule.meter, rule.multiply)
                for rule in self._rules.get(point.name, ())
                if (kind_of(rule.meter) == "gauge") == (point.kind == "gauge")
                and passes(labels, rule.where, rule.unless)
            ]
            if targets and point.value >= 0:
                row = Row(
                    _series(point), point.kind, point.start_ns, point.time_ns, point.value, targets
                )
                rows.append(row)
        return rows


def _series(point: Point) -> str:
    own = {f"a:{key}": value for key, value in point.attributes.items()}
    return digest_of(point.name, own | {f"r:{k}": v for k, v in point.resource.items()})


@dataclass(slots=True)
class Series:
    """What is known of a series. times_ns: ends of the last points, to tell repeats; value: of
    the last one; quiet_ms: since it came; targets: whose it is."""

    kind: str
    start_ns: int
    times_ns: list[int]
    value: int
    quiet_ms: int
    targets: list[list[Any]]

    def encode(self) -> list[object]:
        return [
            self.kind, self.start_ns, self.times_ns, self.value, self.quiet_ms, self.targets
        ]  # fmt: skip


@dataclass(slots=True)
class Fold:
    """Adds points to what is known. since_ns: by target, when it was first looked for; a series
    that is older begins with its first point, and so does one that was forgotten meanwhile."""

    series: dict[str, Series]
    since_ns: dict[Target, int]
    floor_ns: int = 0
    counters: dict[Target, int] = field(default_factory=dict)
    marks: dict[Target, set[str]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        known = self.series.get(row.series)
        if known is None and len(self.series) >= SERIES_MAX:
            self._mark(row, TOO_MANY)
            return
        if known is not None and row.kind != known.kind:
            known = None
        adding: Callable[[Row, Series | None], bool] = {
            "delta": self._add_delta, "cumulative": self._add_cumulative
        }.get(row.kind, self._is_newer)  # fmt: skip
        if not adding(row, known):
            return
        times = [*(known.times_ns if known is not None else []), row.time_ns][-TIMES_KEPT:]
        targets = [list(target) for target in row.targets]
        self.series[row.series] = Series(row.kind, row.start_ns, times, row.value, 0, targets)

    def _is_newer(self, row: Row, known: Series | None) -> bool:
        return known is None or row.time_ns >= known.times_ns[-1]

    def _add_delta(self, row: Row, known: Series | None) -> bool:
        """A repeat, known by its end, adds nothing."""
        if known is not None and row.time_ns in known.times_ns:
            return False
        if known is not None and row.time_ns < known.times_ns[-1]:
            if len(known.times_ns) == TIMES_KEPT and row.time_ns < known.times_ns[0]:
                self._mark(row, LATE)
                return False
            self._count(row, row.value)
            known.times_ns = sorted([*known.times_ns, row.time_ns])[-TIMES_KEPT:]
            return False
        self._count(row, row.value)
        return True

    def _add_cumulative(self, row: Row, known: Series | None) -> bool:
        if known is None:
            self._count_new(row)
            return True
        if row.time_ns <= known.times_ns[-1]:
            return False
        if row.start_ns > known.start_ns or row.value < known.value:
            self._mark(row, RESET)
            self._count(row, row.value)
        else:
            self._count(row, row.value - known.value)
        return True

    def _count_new(self, row: Row) -> None:
        for application, meter, multiply in row.targets:
            target = (application, meter)
            if row.start_ns > max(self.since_ns.get(target, 0), self.floor_ns):
                self.counters[target] = self.counters.get(target, 0) + row.value * multiply
            else:
                self.marks.setdefault(target, set()).add(BEGINS)

    def _count(self, row: Row, amount: int) -> None:
        for application, meter, multiply in row.targets:
            target = (application, meter)
            self.counters[target] = self.counters.get(target, 0) + amount * multiply

    def _mark(self, row: Row, mark: str) -> None:
        for application, meter, _ in row.targets:
            self.marks.setdefault((application, meter), set()).add(mark)

    def age(self, elapsed_ms: int) -> None:
        """Forget what has not come for a day. Its start is kept, so that it counts on from where
        it comes back, not once more from its beginning."""
        for digest, series in list(self.series.items()):
            series.quiet_ms += elapsed_ms
            if series.quiet_ms > FORGOTTEN_AFTER_MS:
                self.floor_ns = max(self.floor_ns, series.start_ns)
                del self.series[digest]

    def gauges(self, *, stale_ms: int) -> dict[Target, int]:
        """The sum of the gauges that are fresh, in billionths of the meter's unit."""
        totals: dict[Target, int] = {}
        for series in self.series.values():
            if series.kind == "gauge" and series.quiet_ms <= stale_ms:
                for application, meter, multiply in series.targets:
                    target = (application, meter)
                    totals[target] = totals.get(target, 0) + series.value * multiply
        return totals
