"""What the usage explorer shows as a CSV file: every group, none folded, bar by bar."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.core.quantity import raw_unit_of
from metering.usage_points import Point, usage_points
from portal.explorer import periods_of
from portal.usage_names import Named, names_of
from portal.usage_question import Question
from tenants.models import Customer

_DAY: Final = timedelta(days=1)
_HEADER: Final = ("from", "meter", "unit", "quantity", "group", "id", "name", "quality", "method")
# A cell that begins so would be a formula in a spreadsheet.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# So long a stretch of time is read at once.
_DAYS_AT_ONCE: Final = {"5m": 1, "hour": 1, "day": 7, "month": 1_100}


def write_usage(file: BinaryIO, *, customer: Customer, question: Question, zone: ZoneInfo) -> None:
    """Quantities are whole numbers of the meter's small unit, times UTC. Raises TooManyPoints where
    a single stretch has too many rows."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    rows = csv.writer(text)
    rows.writerow(_HEADER)
    names: dict[UUID | None, Named] = {}
    for part in _stretches(question):
        points = _points(customer, part, zone)
        rows.writerows(_rows(points, question, names))
    text.detach()


def _stretches(question: Question) -> Iterator[Question]:
    first, step = question.first, _DAYS_AT_ONCE[question.step] * _DAY
    while first <= question.last:
        yield replace(question, first=first, last=min(first + step - _DAY, question.last))
        first += step


def _points(customer: Customer, question: Question, zone: ZoneInfo) -> list[Point]:
    return usage_points(
        periods_of(customer, question, zone),
        [question.meter],
        bucket=question.step,
        time_zone=zone.key,
        groups=[] if question.key is None else [question.key],
        part=question.part,
    )


def _rows(
    points: list[Point], question: Question, names: dict[UUID | None, Named]
) -> Iterator[tuple[str, ...]]:
    key, unit = question.key, raw_unit_of(question.meter)
    if key is not None:
        missing = {point.keys[key] for point in points} - names.keys()
        names |= names_of(key, missing) if missing else {}
    for point in points:
        group = (key or "", "", "")
        if key is not None:
            place = point.keys[key]
            group = (key, str(place or ""), _plain(names[place].name))
        how = point.measured[0] if point.measured else None
        yield (
            _instant(point.start), point.meter, unit, str(point.quantity), *group,
            " ".join(point.qualities), how.method if how else "",
        )  # fmt: skip


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _plain(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name
