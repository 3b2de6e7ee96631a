"""Readings that are totals of whole periods, from hours: sums, integrals and maxima by role, one
pass for all prices that accept the same qualities."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.core.cells import Cell, CellUsage, cell_of
from billing.core.intervals import Raw
from billing.core.readings import Reading
from billing.core.weighing import factor_of, weighed_together
from billing.usage_basis import Basis, attributes_of, wanted_by
from metering.core.aggregation import combined_quantities
from metering.measurements import Wanted
from metering.usage import (
    RoleKey,
    usage_by_role,
    usage_by_role_and_day,
    usage_with_by_role,
)

GROWING: Final = ("sum", "integral", "maximum")
_KNOWN_BY_HOUR: Final = frozenset({"role", "environment"})

# A meter's usage, as far as it was measured as is wanted, by application and role.
Used = dict[Wanted, dict[RoleKey, int]]


def is_total(reading: Reading, basis: Basis) -> bool:
    """Whether hours tell all that the reading asks for."""
    return is_told_by_hours(reading) or (_could_be_total(reading) and not basis.overlaps)


def is_told_by_hours(reading: Reading) -> bool:
    """Whether hours tell all that the reading asks for, wherever it is read."""
    # What a window adds to a maximum cannot be taken out of it again.
    return _could_be_total(reading) and not (
        reading.aggregation == "maximum" and reading.primaries == "one"
    )


def _could_be_total(reading: Reading) -> bool:
    return (
        reading.aggregation in GROWING
        and reading.gaps in ("not_billed", "credited")
        and _KNOWN_BY_HOUR.issuperset(reading.by)
    )


def totals(basis: Basis, readings: Sequence[Reading]) -> dict[Reading, dict[Cell, CellUsage]]:
    """What each reading's cells used in the period."""
    used: Used = {}
    for refused, wanted in _by_refused(basis, readings).items():
        rows = basis.totals
        if refused:
            rows = usage_by_role(basis.periods, _meters_of(wanted), without=refused)
        used |= _by_wanted(rows, wanted)
    return {each: _cells(basis, each, used, _left_out(basis, each)) for each in readings}


def totals_by_day(
    basis: Basis, readings: Sequence[Reading], time_zone: str
) -> dict[date, dict[Reading, dict[Cell, CellUsage]]]:
    """The same for each day of the time zone."""
    days: defaultdict[date, Used] = defaultdict(dict)
    for refused, wanted in _by_refused(basis, readings).items():
        meters = _meters_of(wanted)
        by_day = usage_by_role_and_day(basis.periods, meters, time_zone, without=refused)
        for day, rows in by_day.items():
            days[day] |= _by_wanted(rows, wanted)
    left_out = {each: _left_out_by_day(basis, each, ZoneInfo(time_zone)) for each in readings}
    return {
        day: {each: _cells(basis, each, used, left_out[each].get(day, {})) for each in readings}
        for day, used in days.items()
    }


def refused_totals(basis: Basis, readings: Sequence[Reading]) -> dict[Reading, dict[Cell, Raw]]:
    """What each reading leaves unbilled because of how it was measured."""
    refused: Used = {}
    for ids, wanted in _by_refused(basis, readings).items():
        refused |= _by_wanted(usage_with_by_role(basis.periods, _meters_of(wanted), ids), wanted)
    return {
        each: {cell: own.quantity for cell, own in _cells(basis, each, refused, {}).items()}
        for each in readings
    }


def _by_refused(
    basis: Basis, readings: Iterable[Reading]
) -> Mapping[frozenset[UUID], Sequence[Wanted]]:
    """What is wanted, by the profiles that it leaves out."""
    by_refused: defaultdict[frozenset[UUID], list[Wanted]] = defaultdict(list)
    every = {wanted_by(each) for each in readings}
    for wanted in sorted(every, key=lambda each: (each.meter, sorted(each.accepts))):
        by_refused[basis.without.get(wanted, frozenset())].append(wanted)
    return by_refused


def _meters_of(wanted: Iterable[Wanted]) -> list[str]:
    return sorted({each.meter for each in wanted})


def _by_wanted(rows: Mapping[RoleKey, Mapping[str, int]], wanted: Sequence[Wanted]) -> Used:
    return {
        each: {key: used[each.meter] for key, used in rows.items() if each.meter in used}
        for each in wanted
    }


def _cells(
    basis: Basis, reading: Reading, used: Used, left_out: Mapping[UUID, int]
) -> dict[Cell, CellUsage]:
    by_role: defaultdict[Cell, dict[str, Raw]] = defaultdict(dict)
    for (application_id, role), quantity in used.get(wanted_by(reading), {}).items():
        if not factor_of(reading.factors, role):
            continue
        attributes = attributes_of(reading, basis, application_id, role, {})
        roles = by_role[cell_of(reading, application_id, attributes)]
        counted = quantity - (left_out.get(application_id, 0) if role == "primary" else 0)
        before = [int(roles[role])] if role in roles else []
        roles[role] = combined_quantities(reading.meter, [*before, counted])
    return {
        cell: CellUsage(weighed_together(reading, roles), roles) for cell, roles in by_role.items()
    }


def _left_out(basis: Basis, reading: Reading) -> dict[UUID, int]:
    """By application, what a second primary used at the same time as the first."""
    out: defaultdict[UUID, int] = defaultdict(int)
    for by_application in _left_out_by_day(basis, reading, None).values():
        for application_id, quantity in by_application.items():
            out[application_id] += quantity
    return out


def _left_out_by_day(
    basis: Basis, reading: Reading, zone: ZoneInfo | None
) -> dict[date, dict[UUID, int]]:
    days: defaultdict[date, dict[UUID, int]] = defaultdict(dict)
    if reading.primaries == "every":
        return days
    for overlap in basis.overlaps:
        row, meter = overlap.row, reading.meter
        if meter in row.usage and not basis.refuses(reading, row.measurements):
            day = row.bucket_start.astimezone(zone).date()
            before = days[day].get(row.application_id, 0)
            days[day][row.application_id] = before + row.usage[meter] - overlap.counted[meter]
    return days
