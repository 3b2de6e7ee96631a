"""From rollups to the quantities that rating is given: what billing.billable asks the database,
said in plain Python. A test holds the two against each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from billing.core.cells import Attributes, Cell, CellUsage, cell_of, cells_of
from billing.core.explanation import Json
from billing.core.facts import seconds_of
from billing.core.intervals import Raw, interval_count
from billing.core.periods import Period
from billing.core.proof.contests import Contests
from billing.core.proof.distinct import distinct_values
from billing.core.proof.known import Known, Silent
from billing.core.proof.records import RollupRecord
from billing.core.provenance import Provenance
from billing.core.rating import UsageQuantity
from billing.core.readings import Aggregation, Reading
from billing.core.weighing import by_role_told, factor_of, written
from metering.core.filling import BucketUsage, filled, silent_buckets
from metering.core.quality import NOT_STATED, in_order, refused_qualities, worst_of

Facts = dict[str, Json]
_Placed = tuple[BucketUsage, Attributes]
_FILLING = ("held", "interpolated")


class RollupNotBilled(ValueError):
    """A rollup lies outside every stretch of time in which its application is the customer's."""


@dataclass(frozen=True, slots=True)
class MeasuredTime:
    """Of so many µs of a cell's windows so many were measured."""

    window_us: int
    covered_us: int


@dataclass(slots=True)
class SpanUsage:
    """What a stretch of the period comes to. Where silences are not known facts lack the coverage,
    which `measured` is a part of: how long a silent host's usage was expected stands in no
    rollup."""

    quantities: list[UsageQuantity] = field(default_factory=list)
    measured: dict[str | None, MeasuredTime] = field(default_factory=dict)


def usage_by_span(
    wanted: Mapping[Period, Collection[Reading]], rollups: Iterable[RollupRecord], known: Known
) -> dict[Period, SpanUsage]:
    """The customer's usage by each reading, in no order. `rollups` come application by application.

    A rollup is billed whole or not at all: not where any of its profiles says that the meter was
    measured in a quality that the reading does not accept. Raises RollupNotBilled,
    contests.SamplesMissing, and KeyError for a profile or an instance that is not given.
    """
    readers = [_SpanReader(span, list(readings), known) for span, readings in wanted.items()]
    for application, own in groupby(rollups, key=lambda each: each.application):
        rows = [_assigned(rollup, known) for rollup in own]
        for reader in readers:
            inside = [row for row in rows if reader.span.start <= row.start < reader.span.end]
            if inside:
                reader.add(UUID(application), inside)
    return {reader.span: reader.usage() for reader in readers}


def _assigned(rollup: RollupRecord, known: Known) -> RollupRecord:
    if not known.is_assigned(rollup.application, rollup.start):
        raise RollupNotBilled(
            f"usage of application {rollup.application} at {rollup.start:%Y-%m-%d %H:%M} UTC is "
            "not the customer's"
        )
    return rollup


@dataclass(slots=True)
class _Gathered:
    """What a reading finds, application by application."""

    cells: dict[Cell, CellUsage] = field(default_factory=dict)
    refused: dict[Cell, Raw] = field(default_factory=dict)
    gaps: dict[Cell, Facts] = field(default_factory=dict)
    overlaps: dict[Cell, Facts] = field(default_factory=dict)
    # Of a reading over the customer: until all applications are there.
    placed: list[_Placed] = field(default_factory=list)
    left: list[_Placed] = field(default_factory=list)
    values: defaultdict[Cell, set[str]] = field(default_factory=lambda: defaultdict(set))


class _SpanReader:
    def __init__(self, span: Period, readings: Sequence[Reading], known: Known) -> None:
        self.span, self._known = span, known
        self._found = {reading: _Gathered() for reading in readings}
        self._profiles: dict[UUID, frozenset[str | None]] = {}
        self._time: dict[UUID, MeasuredTime] = {}
        self._contests = Contests(known, [each for each in readings if each.primaries == "one"])
        self._silences = known.silences_in(span)

    def _end_of(self, silent: Silent) -> datetime:
        return min(silent.end, self.span.end)

    def add(self, application: UUID, rows: Sequence[RollupRecord]) -> None:
        """All of an application's rollups in the span, in order of time."""
        self._profiles[application] = frozenset[str | None]().union(
            *(each.measured for each in rows)
        )
        self._time[application] = MeasuredTime(
            sum(each.window_us for each in rows), sum(each.covered_us for each in rows)
        )
        self._contests.add(application, rows, self.span)
        for reading, found in self._found.items():
            if reading.aggregation == "unique":
                self._add_values(reading, found, application, rows)
            else:
                self._add_rows(reading, found, rows)

    def _add_rows(self, reading: Reading, found: _Gathered, rows: Sequence[RollupRecord]) -> None:
        refusing = self._known.refusing(reading)
        accepted = [row for row in rows if refusing.isdisjoint(row.measured)]
        refused = [row for row in rows if not refusing.isdisjoint(row.measured)]
        placed = [self._placed(reading, row) for row in accepted]
        placed = self._filled(reading, placed, found.gaps)
        left = [self._placed(reading, row, whole=self._is_total(reading)) for row in refused]
        if reading.over == "customer":
            found.placed += placed
            found.left += left
        else:
            self._count(reading, found, placed, left)

    def _count(
        self, reading: Reading, found: _Gathered, placed: list[_Placed], left: list[_Placed]
    ) -> None:
        found.cells |= cells_of(reading, placed, self._intervals(reading))
        total: Aggregation = "maximum" if reading.meter.endswith(".max") else "sum"
        refused = cells_of(replace(reading, aggregation=total), left, 0)
        found.refused |= {cell: own.quantity for cell, own in refused.items()}

    def _intervals(self, reading: Reading) -> int:
        return interval_count(self.span.start, self.span.end, reading.interval_minutes)

    def _is_total(self, reading: Reading) -> bool:
        """As billing.usage_totals: what hours tell is refused as it was measured."""
        return (
            reading.aggregation in ("sum", "integral", "maximum")
            and reading.gaps not in _FILLING
            and {"role", "environment"}.issuperset(reading.by)
            and not (reading.aggregation == "maximum" and self._contests.counted)
        )

    def _placed(self, reading: Reading, row: RollupRecord, *, whole: bool = False) -> _Placed:
        application, instance = UUID(row.application), UUID(row.instance)
        quantity = row.usage.get(reading.meter)
        if reading.primaries == "one" and row.role == "primary" and quantity is not None:
            counted = self._contests.counted.get((application, instance, row.start))
            if counted is not None and not whole:
                quantity = counted[reading.meter]
        bucket = BucketUsage(
            application, instance, row.role, row.start, row.window_us, row.covered_us, quantity
        )
        return bucket, self._attributes(reading, row) if reading.by else ()

    def _attributes(self, reading: Reading, row: RollupRecord) -> Attributes:
        values = self._known.attributes(row.application, row.instance, row.role)
        if "quality" in reading.by:
            named = self._known.measured_by(row.measured, reading.meter)
            values["quality"] = worst_of(named)
        return tuple((name, values[name]) for name in sorted(reading.by))

    def _filled(
        self, reading: Reading, placed: list[_Placed], gaps: dict[Cell, Facts]
    ) -> list[_Placed]:
        if reading.gaps not in ("held", "interpolated"):
            return placed
        series: defaultdict[tuple[UUID, str], list[_Placed]] = defaultdict(list)
        for bucket, attributes in placed:
            series[bucket.instance_id, bucket.role].append((bucket, attributes))
        result: list[_Placed] = []
        for key, heard in series.items():
            own = [*heard, *self._silent(key, heard[-1])]
            buckets = filled([bucket for bucket, _ in own], reading.meter, reading.gaps)
            for bucket, (_, attributes) in zip(buckets, own, strict=True):
                result.append((bucket, attributes))
                if bucket.gap_us and factor_of(reading.factors, bucket.role):
                    _count_gap(
                        gaps, cell_of(reading, bucket.application_id, attributes), reading, bucket
                    )
        return result

    def _silent(self, key: tuple[UUID, str], last: _Placed) -> list[_Placed]:
        """The time in which the instance's host is silent."""
        return [
            (bucket, last[1])
            for each in self._silences or ()
            if (UUID(each.instance), each.role) == key
            and UUID(each.application) == last[0].application_id
            for bucket in silent_buckets(last[0], each.start, self._end_of(each))
        ]

    def _add_values(
        self, reading: Reading, found: _Gathered, application: UUID, rows: Sequence[RollupRecord]
    ) -> None:
        for instance, role, value in distinct_values(
            self._known, reading, str(application), rows, self.span
        ):
            if factor_of(reading.factors, role):
                values = self._known.attributes(str(application), instance, role)
                values["quality"] = NOT_STATED.quality
                attributes = tuple((name, values[name]) for name in sorted(reading.by))
                found.values[cell_of(reading, application, attributes)].add(value)

    def usage(self) -> SpanUsage:
        result = SpanUsage()
        for reading, found in self._found.items():
            if reading.aggregation == "unique":
                found.cells = {cell: CellUsage(len(own)) for cell, own in found.values.items()}
            elif reading.over == "customer":
                self._count(reading, found, found.placed, found.left)
            found.overlaps = self._contests.facts(reading)
            result.quantities += self._quantities(reading, found)
        every = list(self._time.values())
        result.measured = {str(key): time for key, time in self._time.items()} | {
            None: MeasuredTime(
                sum(each.window_us for each in every), sum(each.covered_us for each in every)
            )
        }
        return result

    def _quantities(self, reading: Reading, found: _Gathered) -> Iterator[UsageQuantity]:
        # A meter that stood still makes no line: 0 of it costs nothing.
        cells = {cell for cell, used in found.cells.items() if used.quantity or used.chosen}
        cells |= {cell for cell, quantity in found.refused.items() if quantity}
        for cell in cells:
            used = found.cells.get(cell, CellUsage(0))
            overlap = found.overlaps.get((cell[0], ()))
            facts = facts_of(reading, used, overlap, found.gaps.get(cell))
            coverage = self._coverage(cell)
            if coverage is not None:
                facts["coverage"] = coverage
            yield UsageQuantity(
                None if cell[0] is None else str(cell[0]),
                "" if cell[0] is None else self._known.names[str(cell[0])],
                reading,
                used.quantity,
                cell[1],
                self._provenance(reading, cell, found.refused.get(cell, 0)),
                facts,
            )

    def _coverage(self, cell: Cell) -> Facts | None:
        """The fact `coverage` without its causes; None where silences are not known."""
        if self._silences is None:
            return None
        own = set(self._time if cell[0] is None else (cell[0],))
        times = [time for application, time in self._time.items() if application in own]
        silent_us = sum(
            (self._end_of(each) - each.start) // timedelta.resolution
            for each in self._silences
            if UUID(each.application) in own
        )
        expected = sum(each.window_us for each in times) + silent_us
        if not expected:
            return None
        covered = sum(each.covered_us for each in times)
        return {"measured_s": seconds_of(covered), "expected_s": seconds_of(expected)}

    def _provenance(self, reading: Reading, cell: Cell, refused: Raw) -> Provenance:
        applications = self._profiles.keys() if cell[0] is None else (cell[0],)
        profiles = (self._profiles.get(each, frozenset()) for each in applications)
        ids = frozenset[str | None]().union(*profiles)
        measured = in_order(self._known.measured_by(ids, reading.meter)) or (NOT_STATED,)
        reasons = refused_qualities(reading.accepts) if refused else frozenset[str]()
        named = dict.fromkeys(how.quality for how in measured if how.quality in reasons)
        return Provenance(refused, tuple(named), measured)


def facts_of(reading: Reading, used: CellUsage, overlap: Facts | None, gaps: Facts | None) -> Facts:
    """What stands with a cell's quantity, as billing.core.facts names it."""
    facts: Facts = {}
    roles = by_role_told(reading, used.by_role)
    if roles is not None:
        facts["roles"] = roles
    if overlap is not None:
        facts["overlap"] = overlap
    if gaps is not None:
        facts["gaps"] = gaps
    if used.chosen is not None:
        chosen = used.chosen
        at = None if chosen.at is None else chosen.at.isoformat()
        told: Facts = {"intervals": chosen.intervals, "missing": chosen.missing, "at": at}
        if reading.aggregation == "percentile":
            told["rank"] = chosen.rank
        facts[reading.aggregation] = told
    if reading.aggregation == "unique":
        facts["unique"] = {"property": reading.distinct, "values": written(used.quantity)}
    return facts


def _count_gap(gaps: dict[Cell, Facts], cell: Cell, reading: Reading, bucket: BucketUsage) -> None:
    fact = gaps.setdefault(cell, {"policy": reading.gaps, "intervals": 0, "raw": 0})
    fact["intervals"] = int(str(fact["intervals"])) + 1
    fact["raw"] = int(str(fact["raw"])) + bucket.filled
