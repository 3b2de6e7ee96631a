"""What of a host nobody used is spread over the applications on it, by a stated rule: pure.

A host's usage of a meter is what its applications used, what is nobody's (unattributed, and the
system's own, called unattributed here as well), and,
where its capacity is known, what was idle: the capacity times the time less all usage, and never
below 0.

- *none*: idle and unattributed usage stay the host's.
- *by_share*: each application gets a part in proportion to its own usage of the meter; where none
  used any there is nobody to give it to.
- *evenly*: each application that has any sample of the meter gets the same.

Parts are whole: of a pool p, the application behind whose share the running share is s of S gets
floor(p·s/S) less what was given before it, in the order of their ids. So they sum to the pool.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, TypeVar
from uuid import UUID

Rule = Literal["none", "by_share", "evenly"]
RULES: Final[tuple[Rule, ...]] = ("none", "by_share", "evenly")

Owner = TypeVar("Owner", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Share:
    """What one application used of a host while it was one customer's, or nobody's."""

    application_id: UUID
    customer_id: UUID | None
    own: int


@dataclass(frozen=True, slots=True)
class AllocatedShare:
    """The share with what it was given of what nobody used. `weight` is its part of the host's
    weights, `weight_before` what those before it weigh: enough to redo its parts."""

    share: Share
    idle: int
    unattributed: int
    weight: int
    weight_before: int

    @property
    def given(self) -> int:
        return self.idle + self.unattributed

    @property
    def total(self) -> int:
        return self.share.own + self.given


@dataclass(frozen=True, slots=True)
class HostAllocation:
    """A host's usage of a meter, told apart without a rest. `idle` is None where the host's
    capacity is not known; `idle_left` and `unattributed_left` were given to nobody."""

    shares: tuple[AllocatedShare, ...]
    used: int
    unattributed: int
    idle: int | None
    idle_left: int
    unattributed_left: int
    weight: int

    @property
    def total(self) -> int:
        """What the host comes to: all that was used, and what was idle."""
        return self.used + self.unattributed + (self.idle or 0)


def allocated(
    shares: Iterable[Share], unattributed: int, capacity: int | None, rule: Rule
) -> HostAllocation:
    """Spread a host's idle and unattributed usage over its applications' shares."""
    # Nobody's usage stands before a customer's.
    every = sorted(shares, key=lambda each: (each.application_id, str(each.customer_id or "")))
    used = sum(each.own for each in every)
    idle = None if capacity is None else max(capacity - used - unattributed, 0)
    weights = {each: 1 if rule == "evenly" else each.own for each in every}
    if rule == "none":
        weights = {}
    of_idle, of_unattributed = spread(idle or 0, weights), spread(unattributed, weights)
    before = dict(zip(weights, accumulate(weights.values(), initial=0), strict=False))
    return HostAllocation(
        shares=tuple(
            AllocatedShare(
                each,
                of_idle.get(each, 0),
                of_unattributed.get(each, 0),
                weights.get(each, 0),
                before.get(each, 0),
            )
            for each in every
        ),
        used=used,
        unattributed=unattributed,
        idle=idle,
        idle_left=(idle or 0) - sum(of_idle.values()),
        unattributed_left=unattributed - sum(of_unattributed.values()),
        weight=sum(weights.values()),
    )


def spread(pool: int, weights: Mapping[Owner, int]) -> dict[Owner, int]:
    """Whole parts of the pool in proportion to the weights, in their order; they sum to it. Without
    any weight there are none."""
    whole = sum(weights.values())
    if not whole:
        return {}
    parts, running, given = {}, 0, 0
    for owner, weight in weights.items():
        running += weight
        up_to = pool * running // whole
        parts[owner], given = up_to - given, up_to
    return parts
