"""What the usage of some applications in a period is read with, whichever price asks. Every query
runs inside a tenant's scope."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from billing.core.cells import Attributes, Cell, CellUsage
from billing.core.explanation import Json
from billing.core.facts import seconds_of
from billing.core.intervals import Raw
from billing.core.periods import Period
from billing.core.provenance import Provenance
from billing.core.readings import Reading
from billing.core.weighing import by_role_told, written
from metering.core.quality import Measured, Profile, refused_qualities
from metering.coverage import Silence, silences_in
from metering.gaps import gaps_in
from metering.measured_time import MeasuredTime, measured_time
from metering.measurements import Wanted, measured_by, profiles, refused_profiles
from metering.models import Application
from metering.primaries import Overlap, overlaps_in
from metering.usage import RoleKey, measured_usage, role_totals
from metering.usage_rows import UsagePeriod

# The newest gaps of an application that stand with its usage.
CAUSES_MAX: Final = 20

Facts = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Basis:
    """What all readings of some applications' usage share. `without` has the profiles whose usage
    is not what is wanted; mostly there are none. `totals` are those of meters that some reading
    takes however they were measured."""

    period: Period
    periods: Sequence[UsagePeriod]
    names: Mapping[UUID, str]
    environments: Mapping[UUID, str]
    without: Mapping[Wanted, frozenset[UUID]]
    totals: Mapping[RoleKey, Mapping[str, int]]
    time: Mapping[UUID, MeasuredTime]
    profiles: Mapping[UUID, Profile]
    overlaps: Sequence[Overlap]
    silences: Sequence[Silence]
    coverages: dict[UUID | None, Json] = field(default_factory=dict)
    ways: dict[tuple[frozenset[UUID | None], str], tuple[Measured, ...]] = field(
        default_factory=dict
    )

    def refuses(self, reading: Reading, measurements: Collection[UUID | None]) -> bool:
        """Whether a rollup that was measured so is not what the reading accepts."""
        return not self.without.get(wanted_by(reading), frozenset()).isdisjoint(measurements)

    def name_of(self, cell: Cell) -> str:
        return "" if cell[0] is None else self.names[cell[0]]

    def applications_of(self, cell: Cell) -> Collection[UUID]:
        return self.time.keys() if cell[0] is None else (cell[0],)

    def provenance(self, reading: Reading, cell: Cell, refused: Raw) -> Provenance:
        measured = self._measured(cell, reading.meter)
        reasons = refused_qualities(reading.accepts) if refused else frozenset[str]()
        found = dict.fromkeys(how.quality for how in measured if how.quality in reasons)
        return Provenance(refused, tuple(found), measured)

    def _measured(self, cell: Cell, meter: str) -> tuple[Measured, ...]:
        own = [self.time[each].profiles for each in self.applications_of(cell) if each in self.time]
        ids = own[0] if len(own) == 1 else frozenset[UUID | None]().union(*own)
        # Most applications were measured in one of a few ways.
        if (ids, meter) not in self.ways:
            self.ways[ids, meter] = measured_by(ids, self.profiles, meter)
        return self.ways[ids, meter]

    def coverage(self, cell: Cell) -> Json:
        """The fact `coverage`: for how long of the time in which usage was expected it was
        measured, and why not; None where nothing was, such as of events."""
        if cell[0] not in self.coverages:
            self.coverages[cell[0]] = self._coverage(cell)
        return self.coverages[cell[0]]

    def _coverage(self, cell: Cell) -> Json:
        own = set(self.applications_of(cell))
        times = [self.time[each] for each in own if each in self.time]
        silences = [each for each in self.silences if each.application_id in own]
        covered = sum(each.covered_us for each in times)
        expected = sum(each.window_us for each in times) + sum(each.length_us for each in silences)
        if not expected:
            return None
        told: Facts = {"measured_s": seconds_of(covered), "expected_s": seconds_of(expected)}
        if covered < expected:
            told["causes"] = self._causes(own, silences)
        return told

    def _causes(self, own: Collection[UUID], silences: Sequence[Silence]) -> list[Json]:
        gaps = gaps_in([period for period in self.periods if period.application_id in own])
        causes: list[Json] = [
            {
                "cause": "host-silent",
                "host": each.host,
                "from": each.start.isoformat(),
                "to": each.end.isoformat(),
            }
            for each in silences
        ]
        causes += [
            {
                "cause": gap.cause,
                "host": gap.host,
                "from": gap.start.isoformat(),
                "to": gap.end.isoformat(),
            }
            for gap in gaps[:CAUSES_MAX]
        ]
        return causes[:CAUSES_MAX]


def wanted_by(reading: Reading) -> Wanted:
    return Wanted(reading.meter, reading.accepts)


def basis_of(periods: Sequence[UsagePeriod], readings: Sequence[Reading], period: Period) -> Basis:
    """Read what the readings share, in as many queries for many applications as for one."""
    once = sorted({each.meter for each in readings if each.primaries == "one"})
    wanted = {wanted_by(each) for each in readings}
    without = refused_profiles(wanted)
    meters = sorted({each.meter for each in wanted if each not in without})
    measured = measured_usage(periods, meters)
    time = measured_time(measured)
    ids = frozenset[UUID | None]().union(*(each.profiles for each in time.values()))
    known = Application.objects.filter(pk__in={each.application_id for each in periods})
    rows = list(known.values_list("pk", "name", "environment__name"))
    return Basis(
        period=period,
        periods=periods,
        names={pk: name for pk, name, _ in rows},
        environments={pk: environment for pk, _, environment in rows},
        without=without,
        totals=role_totals(measured),
        time=time,
        profiles=profiles(ids),
        overlaps=overlaps_in(periods, once) if once else (),
        silences=silences_in(periods),
    )


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


def overlap_facts(reading: Reading, basis: Basis) -> dict[UUID | None, Facts]:
    """The fact `overlap` by application, or of None for all: what is left out of the reading."""
    gathered: defaultdict[UUID | None, list[Overlap]] = defaultdict(list)
    for overlap in basis.overlaps if reading.primaries == "one" else ():
        row = overlap.row
        if reading.meter in row.usage and not basis.refuses(reading, row.measurements):
            gathered[None if reading.over == "customer" else row.application_id].append(overlap)
    return {key: _overlap_fact(reading, own) for key, own in gathered.items()}


def _overlap_fact(reading: Reading, overlaps: Sequence[Overlap]) -> Facts:
    windows = [window for overlap in overlaps for window in overlap.left_out]
    meter = reading.meter
    return {
        "raw": sum(overlap.row.usage[meter] - overlap.counted[meter] for overlap in overlaps),
        "windows": len(windows),
        "from": min(window.start for window in windows).isoformat(),
        "to": max(window.end for window in windows).isoformat(),
        "instances": sorted({str(window.instance_id) for window in windows})[:CAUSES_MAX],
        "times": [
            [window.start.isoformat(), window.end.isoformat()] for window in windows[:CAUSES_MAX]
        ],
    }


def attributes_of(
    reading: Reading, basis: Basis, application_id: UUID, role: str, more: Mapping[str, str]
) -> Attributes:
    """The cell of a matrix price that the usage of an instance belongs to."""
    if not reading.by:
        return ()
    values = {"environment": basis.environments[application_id], "role": role, **more}
    return tuple((name, values[name]) for name in sorted(reading.by))
