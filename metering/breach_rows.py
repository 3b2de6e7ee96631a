"""Writes what one day was over limits into breaches that begin and end on any day: inside a
tenant's scope and a transaction that holds the policy."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Case, IntegerField, Max, Min, Q, Sum, Value, When

from metering.assignments import running
from metering.breach_models import RULES, SPEND_TERMS, BreachDay, PolicyBreach
from metering.breach_telling import tell_breaches
from metering.core.breaches import Part, Whole, wholes
from metering.models import Application, Assignment
from tenants.policy_models import PolicyVersion

# A breach goes on while the last bucket over it ended no longer ago; agents deliver every minute.
GOES_ON: Final = timedelta(minutes=30)
_AT_ONCE: Final = 1_000
_BEFORE, _ON, _AFTER = -1, 0, 1
_FOLLOWS: Final = (
    "day", "measured", "buckets_over", "first_over_at", "last_over_at", "standing", "told",
)  # fmt: skip


class Key(NamedTuple):
    """Of what at most one breach can be at a time."""

    version_id: UUID
    term: str
    application_id: UUID
    host_id: UUID | None


@dataclass(frozen=True, slots=True)
class Over:
    """What was found of one key on a day: the most that was measured (of rules nothing), in how
    many buckets, and when the first of them began and the last ended."""

    measured: int | None
    buckets: int
    first: datetime
    last: datetime


class Judged(NamedTuple):
    """The versions that a day was judged by, and what was over."""

    by: Mapping[UUID, PolicyVersion]
    found: Mapping[Key, Over]


class _Stored(NamedTuple):
    """A part of a row, and whether it lies before the day, on it or after it."""

    side: int
    part: Part


class _Kept(NamedTuple):
    """What a breach is now, its row, and whether that says anything else than before."""

    row: PolicyBreach
    whole: Whole
    is_changed: bool


def keep_day(
    policy_id: UUID,
    day: date,
    judged: Judged,
    *,
    holding: Collection[UUID],
    as_of: datetime,
) -> None:
    """Put what was found of a day in the place of what is stored of it, and tell which breaches
    begin and end by that. `holding`: the versions that hold now; what others found goes on no
    more, and what they found of the day stays."""
    rows = _near(policy_id, day)
    was_standing = {pk for pk, row in rows.items() if row.standing}
    stored = _stored(rows, day)
    found = _found(rows, stored, judged, day, was_standing)
    made = iter(_made([key for key, whole in found if whole.breach is None], judged, as_of))
    kept = []
    for key, whole in found:
        row = next(made) if whole.breach is None else rows[whole.breach]
        goes_on = key.version_id in holding and as_of - whole.last <= GOES_ON
        changed = _follow(row, whole, standing=goes_on, began=row.pk not in was_standing)
        kept.append(_Kept(row, whole, changed))
    gone = rows.keys() - {each.row.pk for each in kept}
    for pk in gone:
        rows[pk].standing = False
    _write(kept, gone, stored, judged, day)
    told = [*(rows[pk] for pk in gone), *(each.row for each in kept)]
    tell_breaches(told, was_standing, as_of=as_of)


def _near(policy_id: UUID, day: date) -> dict[UUID, PolicyBreach]:
    """Those that the day can be a part of, and those that go on and may be over by now."""
    start = datetime.combine(day, time.min, UTC)
    touching = Q(
        first_over_at__lte=start + timedelta(days=1) + GOES_ON, last_over_at__gte=start - GOES_ON
    )
    rows = PolicyBreach.objects.filter(touching | Q(standing=True), version__policy=policy_id)
    return {row.pk: row for row in rows.exclude(term__in=SPEND_TERMS)}


def _stored(rows: Collection[UUID], day: date) -> dict[UUID, list[_Stored]]:
    """What is stored of each row: the days before, the day, the days after it, added up."""
    side = Case(
        When(day__lt=day, then=Value(_BEFORE)),
        When(day=day, then=Value(_ON)),
        default=Value(_AFTER),
        output_field=IntegerField(),
    )
    found: defaultdict[UUID, list[_Stored]] = defaultdict(list)
    summed = (
        BreachDay.objects.filter(breach__in=rows)
        .annotate(side=side)
        .order_by()
        .values_list("breach", "side")
        .annotate(
            Min("day"), Min("first_over_at"), Max("last_over_at"), Max("measured"),
            Sum("buckets_over"),
        )
    )  # fmt: skip
    for breach_id, where, *figures in summed:
        found[breach_id].append(_Stored(where, Part(breach_id, *figures)))
    return found


def _found(
    rows: Mapping[UUID, PolicyBreach],
    stored: Mapping[UUID, Sequence[_Stored]],
    judged: Judged,
    day: date,
    was_standing: Collection[UUID],
) -> list[tuple[Key, Whole]]:
    by_key: defaultdict[Key, list[Part]] = defaultdict(list)
    had: dict[Key, UUID] = {}
    for breach_id, parts in stored.items():
        key = _key(rows[breach_id])
        for side, part in parts:
            if side == _ON and key.version_id in judged.by:
                had[key] = breach_id
            else:
                by_key[key].append(part)
    for key, over in judged.found.items():
        measured = None if over.measured is None else Decimal(over.measured)
        by_key[key].append(Part(had.get(key), day, over.first, over.last, measured, over.buckets))
    return [
        (key, whole)
        for key, parts in by_key.items()
        for whole in wholes(parts, standing=was_standing, goes_on=GOES_ON)
    ]


def _key(row: PolicyBreach) -> Key:
    if row.application_id is None:
        raise AssertionError("only spend is of all applications together")
    return Key(row.version_id, row.term, row.application_id, row.host_id)


def _made(keys: Sequence[Key], judged: Judged, as_of: datetime) -> list[PolicyBreach]:
    """New rows in the order of the keys. Only what the day's versions judge can begin a breach, or
    cut one in two."""
    chosen = {key.application_id for key in keys}
    applications = Application.objects.in_bulk(chosen)
    billed = dict(
        Assignment.objects.filter(running(as_of), application__in=chosen).values_list(
            "application", "customer"
        )
    )
    return [
        PolicyBreach(
            version=judged.by[key.version_id],
            term=key.term,
            environment_id=applications[key.application_id].environment_id,
            application=applications[key.application_id],
            host_id=key.host_id,
            customer_id=billed.get(key.application_id),
            limit=_limit(judged.by[key.version_id], key.term),
            noticed_at=as_of,
        )
        for key in keys
    ]


def _limit(version: PolicyVersion, term: str) -> Decimal | None:
    return None if term == RULES else Decimal(getattr(version, term))


def _follow(row: PolicyBreach, whole: Whole, *, standing: bool, began: bool) -> bool:
    """Give the row what is known of it now, and say whether that is anything new; a breach that
    begins is told once."""
    before = [getattr(row, name) for name in _FOLLOWS]
    row.day, row.measured, row.buckets_over = whole.day, whole.measured, whole.buckets
    row.first_over_at, row.last_over_at = whole.first, whole.last
    row.standing = standing
    row.told += standing and began
    return before != [getattr(row, name) for name in _FOLLOWS]


def _write(
    kept: Sequence[_Kept],
    gone: Collection[UUID],
    stored: Mapping[UUID, Sequence[_Stored]],
    judged: Judged,
    day: date,
) -> None:
    """In this order no two rows of a key ever begin on one day, not even between two statements.
    What is stored of the day as it was found again is not written again."""
    followed = [each for each in kept if each.whole.breach is not None]
    made = [each for each in kept if each.whole.breach is None]
    wanted = {
        each.row.pk: part
        for each in kept
        if each.row.version_id in judged.by
        for part in each.whole.parts
        if part.day == day
    }
    # What is stored of a version that judges the day no more is no part of `wanted`, and stays.
    judged_rows = [each.row.pk for each in followed if each.row.version_id in judged.by]
    had = {
        pk: part for pk in [*judged_rows, *gone] for side, part in stored.get(pk, ()) if side == _ON
    }
    again = {pk for pk, part in had.items() if wanted.get(pk) == part}
    BreachDay.objects.filter(day=day, breach__in=had.keys() - again).delete()
    _move(followed, stored, day)
    PolicyBreach.objects.filter(pk__in=gone).delete()
    rows = [each.row for each in followed if each.is_changed]
    PolicyBreach.objects.bulk_update(rows, _FOLLOWS, batch_size=_AT_ONCE)
    PolicyBreach.objects.bulk_create((each.row for each in made), batch_size=_AT_ONCE)
    _move(made, stored, day)
    BreachDay.objects.bulk_create(
        (_day(pk, part) for pk, part in wanted.items() if pk not in again), batch_size=_AT_ONCE
    )


def _move(kept: Iterable[_Kept], stored: Mapping[UUID, Sequence[_Stored]], day: date) -> None:
    """Give rows the days of other rows that are theirs now."""
    sides = {_BEFORE: Q(day__lt=day), _ON: Q(day=day), _AFTER: Q(day__gt=day)}
    for row, whole, _ in kept:
        for part in whole.parts:
            if part.breach is None or part.breach == row.pk:
                continue
            for side, own in stored[part.breach]:
                if own == part:
                    BreachDay.objects.filter(sides[side], breach=part.breach).update(breach=row)


def _day(breach_id: UUID, part: Part) -> BreachDay:
    return BreachDay(
        breach_id=breach_id,
        day=part.day,
        measured=part.measured,
        buckets_over=part.buckets,
        first_over_at=part.first,
        last_over_at=part.last,
    )
