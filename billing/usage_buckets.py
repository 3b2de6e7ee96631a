"""Readings that look at each 5 minutes of each instance: percentiles and peaks, gaps that are
filled, matrices by host, and what counts different values."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.core.cells import Attributes, Cell, CellUsage, cell_of, cells_of
from billing.core.intervals import Raw, interval_count
from billing.core.readings import Aggregation, Reading
from billing.core.weighing import factor_of
from billing.usage_basis import Basis, Facts, attributes_of, wanted_by
from metering.bucket_usage import RollupUsage, rollups_in
from metering.core.filling import BucketUsage, filled, silent_buckets
from metering.core.quality import NOT_STATED, worst_of
from metering.distinct import distinct_values
from metering.measurements import measured_by
from metering.models import Instance

_Placed = tuple[BucketUsage, Attributes]


@dataclass(frozen=True, slots=True)
class BucketReading:
    """What a reading finds: its cells, what of them was refused, what stands with them."""

    cells: Mapping[Cell, CellUsage]
    refused: Mapping[Cell, Raw]
    gaps: Mapping[Cell, Facts]


@dataclass(frozen=True, slots=True)
class _Instances:
    """Where instances run."""

    hosts: Mapping[UUID, tuple[str, str]]

    def of(self, instance_id: UUID) -> dict[str, str]:
        region, host_class = self.hosts.get(instance_id, ("", ""))
        return {"region": region, "host_class": host_class}


class Buckets:
    """Every rollup of some applications, read once for some readings."""

    def __init__(self, basis: Basis, readings: Sequence[Reading]) -> None:
        self._basis = basis
        meters = sorted({each.meter for each in readings if each.aggregation != "unique"})
        self._rows = list(rollups_in(basis.periods, meters)) if meters else []
        self._once = {
            (each.row.application_id, each.row.instance_id, each.row.bucket_start): each.counted
            for each in basis.overlaps
        }
        wanted = any({"region", "host_class"}.intersection(each.by) for each in readings)
        self._instances = _instances(basis) if wanted else _Instances({})

    def read(self, reading: Reading) -> BucketReading:
        """The whole period."""
        if reading.aggregation == "unique":
            return self._unique(reading)
        placed, gaps = self._filled(reading, self._accepted(reading))
        refused = [each for each in self._rows if self._basis.refuses(reading, each.measurements)]
        total = replace(reading, aggregation=_total_of(reading))
        left = cells_of(total, [self._placed(reading, each) for each in refused], 0)
        return BucketReading(
            cells_of(reading, placed, self._intervals(reading)),
            {cell: own.quantity for cell, own in left.items()},
            gaps,
        )

    def read_by_day(self, reading: Reading, time_zone: str) -> dict[date, dict[Cell, CellUsage]]:
        """A total's parts of each day of the time zone; gaps are filled before they are told
        apart."""
        zone = ZoneInfo(time_zone)
        days: defaultdict[date, list[_Placed]] = defaultdict(list)
        placed, _ = self._filled(reading, self._accepted(reading))
        for bucket, attributes in placed:
            days[bucket.bucket_start.astimezone(zone).date()].append((bucket, attributes))
        return {day: cells_of(reading, own, 0) for day, own in days.items()}

    def _intervals(self, reading: Reading) -> int:
        period = self._basis.period
        return interval_count(period.start, period.end, reading.interval_minutes)

    def _accepted(self, reading: Reading) -> Iterator[_Placed]:
        for row in self._rows:
            if not self._basis.refuses(reading, row.measurements):
                yield self._placed(reading, row)

    def _placed(self, reading: Reading, row: RollupUsage) -> _Placed:
        quantity = row.usage.get(reading.meter)
        if reading.primaries == "one" and row.role == "primary" and quantity is not None:
            counted = self._once.get((row.application_id, row.instance_id, row.bucket_start))
            quantity = quantity if counted is None else counted[reading.meter]
        bucket = BucketUsage(
            row.application_id, row.instance_id, row.role, row.bucket_start,
            row.window_us, row.covered_us, quantity,
        )  # fmt: skip
        return bucket, self._attributes(reading, row) if reading.by else ()

    def _attributes(self, reading: Reading, row: RollupUsage) -> Attributes:
        more = self._instances.of(row.instance_id)
        if "quality" in reading.by:
            measured = measured_by(row.measurements, self._basis.profiles, reading.meter)
            more["quality"] = worst_of(measured)
        return attributes_of(reading, self._basis, row.application_id, row.role, more)

    def _filled(
        self, reading: Reading, placed: Iterator[_Placed]
    ) -> tuple[list[_Placed], dict[Cell, Facts]]:
        if reading.gaps not in ("held", "interpolated"):
            return list(placed), {}
        series: defaultdict[tuple[UUID, UUID, str], list[_Placed]] = defaultdict(list)
        for bucket, attributes in placed:
            series[bucket.application_id, bucket.instance_id, bucket.role].append(
                (bucket, attributes)
            )
        result: list[_Placed] = []
        gaps: dict[Cell, Facts] = {}
        for key, heard in series.items():
            own = [*heard, *self._silent(key, heard[-1])]
            buckets = filled([bucket for bucket, _ in own], reading.meter, reading.gaps)
            for bucket, (_, attributes) in zip(buckets, own, strict=True):
                result.append((bucket, attributes))
                if bucket.gap_us and factor_of(reading.factors, bucket.role):
                    cell = cell_of(reading, bucket.application_id, attributes)
                    _count_gap(gaps, cell, reading, bucket.filled)
        return result, gaps

    def _silent(self, key: tuple[UUID, UUID, str], last: _Placed) -> list[_Placed]:
        """The time in which the instance's host is silent."""
        return [
            (bucket, last[1])
            for silence in self._basis.silences
            if (silence.application_id, silence.instance_id, silence.role) == key
            for bucket in silent_buckets(last[0], silence.start, silence.end)
        ]

    def _unique(self, reading: Reading) -> BucketReading:
        without = self._basis.without.get(wanted_by(reading), frozenset())
        values: defaultdict[Cell, set[str]] = defaultdict(set)
        for each in distinct_values(
            self._basis.periods, reading.meter, reading.distinct, without=without
        ):
            if not factor_of(reading.factors, each.role):
                continue
            more = {**self._instances.of(each.instance_id), "quality": NOT_STATED.quality}
            attributes = attributes_of(reading, self._basis, each.application_id, each.role, more)
            values[cell_of(reading, each.application_id, attributes)].add(each.value)
        return BucketReading({cell: CellUsage(len(own)) for cell, own in values.items()}, {}, {})


def _total_of(reading: Reading) -> Aggregation:
    return "maximum" if reading.meter.endswith(".max") else "sum"


def _count_gap(gaps: dict[Cell, Facts], cell: Cell, reading: Reading, added: int) -> None:
    fact = gaps.setdefault(cell, {"policy": reading.gaps, "intervals": 0, "raw": 0})
    fact["intervals"] = int(str(fact["intervals"])) + 1
    fact["raw"] = int(str(fact["raw"])) + added


def _instances(basis: Basis) -> _Instances:
    rows = Instance.objects.filter(
        application_id__in={each.application_id for each in basis.periods}, host__isnull=False
    ).values_list("pk", "host__region", "host__host_class")
    return _Instances({pk: (region, host_class) for pk, region, host_class in rows})
