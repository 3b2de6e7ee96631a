"""Which steps of dunning are due of an overdue invoice.

Days are counted from its due date, by a clock that stands still while dunning is held. A step is
taken once. Of each action one step is taken a day at most: after an outage, or where a schedule is
shortened, a customer is not sent everything at once, and nothing is left out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """The `number`th step of an action, so many days after the due date. `action` and `number` name
    it: of an invoice it is taken once, whatever becomes of its day."""

    days_after_due: int
    action: str
    number: int

    @property
    def name(self) -> tuple[str, int]:
        return self.action, self.number


@dataclass(frozen=True, slots=True)
class Hold:
    """Dunning stands still in [start, end); without an end until further notice."""

    start: datetime
    end: datetime | None = None


def elapsed(due_at: datetime, holds: Collection[Hold], as_of: datetime) -> timedelta:
    """How long it has been due, without the time of holds; holds may overlap."""
    counted = timedelta(0)
    at = due_at
    for hold in sorted(holds, key=lambda each: each.start):
        counted += max(min(hold.start, as_of) - at, timedelta(0))
        at = max(at, as_of if hold.end is None else hold.end)
    return counted + max(as_of - at, timedelta(0))


def is_held(holds: Collection[Hold], as_of: datetime) -> bool:
    return any(hold.start <= as_of and (hold.end is None or as_of < hold.end) for hold in holds)


def due_steps(
    schedule: Collection[Step],
    taken: Mapping[tuple[str, int], datetime],
    due_at: datetime,
    holds: Collection[Hold],
    as_of: datetime,
) -> Sequence[Step]:
    """The steps to take now, earliest first. `taken` has the moment of each that was."""
    if is_held(holds, as_of):
        return ()
    passed = elapsed(due_at, holds, as_of)
    found: dict[str, Step] = {}
    for step in sorted(schedule):
        is_next = step.name not in taken and step.action not in found
        if is_next and passed >= step.days_after_due * _DAY and not _acted(step, taken, as_of):
            found[step.action] = step
    return sorted(found.values())


def _acted(step: Step, taken: Mapping[tuple[str, int], datetime], as_of: datetime) -> bool:
    """Whether a step of the same action was taken within a day."""
    return any(
        action == step.action and as_of - moment < _DAY for (action, _), moment in taken.items()
    )
