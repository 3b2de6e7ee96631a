"""What is posted of a host's allocated hour: pure.

What is spread of a meter is usage of a meter of its own, `cpu.time.allocated`: what an application
used itself is not in it. Each posting states what an application's part of the hour is now and what
was posted of it before; its quantity is the difference, so that the postings of an hour sum to the
newest parts, whatever came late.

A part stands in the 5-minute bucket in which its customer's stretch of the hour begins: so it is
billed to whom the application belonged, and an hour without a change stands where it begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from hostmeter_agent.wire import METERS_BY_NAME

from metering.core.allocation import AllocatedShare, HostAllocation

ALLOCATED: Final = ".allocated"

# An application and the bucket in which its part stands.
Place = tuple[UUID, datetime]
# Whose an application is over [start, end); without an end until further notice.
Stretch = tuple[datetime, datetime | None, UUID]


def allocated_meter(meter: str) -> str:
    """The meter of what is spread of `meter`."""
    return meter + ALLOCATED


def spread_meter(meter: str) -> str | None:
    """The meter whose idle and unattributed usage `meter` holds; None where it holds none."""
    base = meter.removesuffix(ALLOCATED)
    known = METERS_BY_NAME.get(base)
    return base if base != meter and known is not None and known.kind != "maximum" else None


# Maxima do not add up, so nothing is left of a host's to be spread.
SPREADABLE: Final = tuple(name for name, meter in METERS_BY_NAME.items() if meter.kind != "maximum")
ALLOCATED_METERS: Final = tuple(allocated_meter(name) for name in SPREADABLE)


def owner_at(stretches: Iterable[Stretch], moment: datetime) -> UUID | None:
    """Whose an application is at a moment; None where it is nobody's."""
    for start, end, customer_id in stretches:
        if start <= moment and (end is None or moment < end):
            return customer_id
    return None


def changes_in(stretches: Iterable[Stretch], start: datetime, end: datetime) -> list[datetime]:
    """When, inside (start, end), it becomes another's or nobody's, in order."""
    bounds = {bound for first, last, _ in stretches for bound in (first, last)}
    return sorted(bound for bound in bounds if bound is not None and start < bound < end)


def stands_at(
    stretches: Sequence[Stretch], customer_id: UUID | None, start: datetime, end: datetime
) -> datetime:
    """Where in [start, end) the customer's, or nobody's, first stretch begins."""
    for moment in (start, *changes_in(stretches, start, end)):
        if owner_at(stretches, moment) == customer_id:
            return moment
    return start


@dataclass(frozen=True, slots=True)
class Posted:
    """All that was posted at a place before: their sum, and how many."""

    quantity: int
    postings: int


@dataclass(frozen=True, slots=True)
class Posting:
    """What an application is given of a host's hour, in the meter's unit: its part in all, None
    where it has none any more, of which `before` is posted already."""

    application_id: UUID
    bucket_start: datetime
    part: AllocatedShare | None
    before: int
    revision: int

    @property
    def quantity(self) -> int:
        return (0 if self.part is None else self.part.given) - self.before


def postings(
    found: HostAllocation,
    stretches: Mapping[UUID, Sequence[Stretch]],
    posted: Mapping[Place, Posted],
    start: datetime,
    end: datetime,
) -> list[Posting]:
    """What is to be posted so that all postings come to the allocation of [start, end). Where
    nothing changes nothing is."""
    parts = {
        (
            each.share.application_id,
            stands_at(
                stretches.get(each.share.application_id, ()), each.share.customer_id, start, end
            ),
        ): each
        for each in found.shares
    }
    made = []
    for place in sorted({*parts, *posted}):
        before = posted.get(place, Posted(0, 0))
        made.append(Posting(*place, parts.get(place), before.quantity, before.postings + 1))
    return [each for each in made if each.quantity]
