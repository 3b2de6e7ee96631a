"""Where several instances were primary at one time: what metering.primaries asks the database."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from billing.core.cells import Cell
from billing.core.explanation import Json
from billing.core.periods import Period
from billing.core.proof.known import Known
from billing.core.proof.records import RollupRecord
from billing.core.readings import Reading
from metering.core.aggregation import combined_quantities
from metering.core.buckets import bucket_of
from metering.core.hours import hour_of
from metering.core.primaries import PrimaryWindow, left_out

# Of one line's windows and instances; the rest is counted.
_SHOWN_MAX = 20
_Place = tuple[UUID, UUID, datetime]


class SamplesMissing(ValueError):
    """Two instances were primary in an hour whose samples are not known, so that what is billed of
    them cannot be."""


def contested_hours(rows: Sequence[RollupRecord]) -> set[datetime]:
    """The hours in which more than one of an application's instances was primary."""
    primaries: defaultdict[datetime, set[str]] = defaultdict(set)
    for row in rows:
        if may_contest(row):
            primaries[hour_of(row.start)].add(row.instance)
    return {hour for hour, instances in primaries.items() if len(instances) > 1}


def may_contest(row: RollupRecord) -> bool:
    """Whether it has windows of a primary."""
    return row.role == "primary" and row.window_us > 0


@dataclass(frozen=True, slots=True)
class _Overlap:
    row: RollupRecord
    counted: Mapping[str, int]
    left_out: Sequence[PrimaryWindow]


class Contests:
    """Of the readings that bill one primary at a time. `counted` has what counts of a rollup, by
    its application, instance and bucket, where windows of it are left out."""

    def __init__(self, known: Known, readings: Sequence[Reading]) -> None:
        self._known, self._readings = known, readings
        self._meters = {each.meter for each in readings}
        self._overlaps: list[_Overlap] = []
        self.counted: dict[_Place, Mapping[str, int]] = {}

    def add(self, application: UUID, rows: Sequence[RollupRecord], span: Period) -> None:
        """Raises SamplesMissing."""
        if not self._readings:
            return
        windows = [
            window
            for hour in sorted(contested_hours(rows))
            for window in self._windows(str(application), hour)
            if span.start <= bucket_of(window.start) < span.end
        ]
        out: defaultdict[_Place, list[PrimaryWindow]] = defaultdict(list)
        for window in left_out(windows):
            out[_place(window)].append(window)
        gone = {id(window) for own in out.values() for window in own}
        kept: defaultdict[_Place, list[PrimaryWindow]] = defaultdict(list)
        for window in windows:
            if id(window) not in gone:
                kept[_place(window)].append(window)
        for row in rows:
            place = (application, UUID(row.instance), row.start)
            if row.role == "primary" and place in out:
                overlap = _Overlap(row, self._counts(row, kept[place]), out[place])
                self._overlaps.append(overlap)
                self.counted[place] = overlap.counted

    def _windows(self, application: str, hour: datetime) -> Sequence[PrimaryWindow]:
        windows = self._known.windows.get((application, hour))
        if windows is None:
            raise SamplesMissing(
                f"two instances of application {application} were primary in the hour of "
                f"{hour:%Y-%m-%d %H:%M} UTC, whose samples are not here"
            )
        return [
            each for each in windows if self._known.is_assigned(application, bucket_of(each.start))
        ]

    def _counts(self, row: RollupRecord, kept: Sequence[PrimaryWindow]) -> dict[str, int]:
        counted = {}
        for meter in self._meters & row.usage.keys():
            quantities = [each.usage[meter] for each in kept if meter in each.usage]
            if self._is_stated(row, meter):
                counted[meter] = row.usage[meter]
            else:
                counted[meter] = combined_quantities(meter, quantities) if quantities else 0
        return counted

    def _is_stated(self, row: RollupRecord, meter: str) -> bool:
        return any(
            str(each.application_id) == row.application
            and (each.instance_id is None or str(each.instance_id) == row.instance)
            and each.start <= row.start < each.end
            and meter in (each.quantities or each.meters or (meter,))
            for each in self._known.corrections
        )

    def facts(self, reading: Reading) -> dict[Cell, dict[str, Json]]:
        """The fact `overlap` by application, or of None for all: what is left out."""
        if reading.primaries != "one":
            return {}
        refusing = self._known.refusing(reading)
        gathered: defaultdict[Cell, list[_Overlap]] = defaultdict(list)
        for overlap in sorted(self._overlaps, key=lambda each: each.row.start):
            row = overlap.row
            if reading.meter in row.usage and refusing.isdisjoint(row.measured):
                key = None if reading.over == "customer" else UUID(row.application)
                gathered[key, ()].append(overlap)
        return {cell: _fact(reading.meter, own) for cell, own in gathered.items()}


def _fact(meter: str, overlaps: Sequence[_Overlap]) -> dict[str, Json]:
    windows = [window for overlap in overlaps for window in overlap.left_out]
    return {
        "raw": sum(overlap.row.usage[meter] - overlap.counted[meter] for overlap in overlaps),
        "windows": len(windows),
        "from": min(window.start for window in windows).isoformat(),
        "to": max(window.end for window in windows).isoformat(),
        "instances": sorted({str(window.instance_id) for window in windows})[:_SHOWN_MAX],
        "times": [
            [window.start.isoformat(), window.end.isoformat()] for window in windows[:_SHOWN_MAX]
        ],
    }


def _place(window: PrimaryWindow) -> _Place:
    return window.application_id, window.instance_id, bucket_of(window.start)
