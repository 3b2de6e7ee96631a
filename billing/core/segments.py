"""A billing period cut where what rates it changes.

A version takes effect at the next period boundary or, if it says so, at once. A trial's end and a
customer's own prices cut a period as well. Usage is rolled up in 5-minute buckets, so a cut lies
on the start of the bucket in which the change falls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.core.periods import Period, bucket_start


class NoVersionInForce(ValueError):
    """No version of the plan was in force when the period began."""


@dataclass(frozen=True, slots=True)
class VersionTerm:
    """A published plan version: from when on it is in force, and whether within a period."""

    id: str
    number: int
    effective_from: datetime
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class OverrideTerm:
    """When a customer has a price of their own in place of the plan's `code`."""

    id: str
    code: str
    starts_at: datetime
    ends_at: datetime | None = None

    def covers(self, instant: datetime) -> bool:
        return bucket_start(self.starts_at) <= instant and (
            self.ends_at is None or instant < bucket_start(self.ends_at)
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a period in which one version, the same overrides and one trial state hold."""

    span: Period
    version_id: str
    trial: bool = False
    overrides: tuple[str, ...] = ()


def segments(
    period: Period,
    versions: Iterable[VersionTerm],
    *,
    trial_ends_at: datetime | None = None,
    overrides: Sequence[OverrideTerm] = (),
) -> tuple[Segment, ...]:
    """The period's segments in order; they tile it.

    Of two versions or overrides of one price that are in force at once, the later one holds:
    later by its start, then by its number or id. Raises NoVersionInForce.
    """
    in_force = _in_force(period, versions)
    cuts = {instant for instant, _ in in_force[1:]}
    if trial_ends_at is not None:
        cuts.add(bucket_start(trial_ends_at))
    for override in overrides:
        cuts.add(bucket_start(override.starts_at))
        if override.ends_at is not None:
            cuts.add(bucket_start(override.ends_at))
    bounds = [period.start, *sorted(cut for cut in cuts if period.start < cut < period.end)]
    spans = map(Period, bounds, [*bounds[1:], period.end])
    return tuple(
        Segment(
            span=span,
            version_id=[each.id for start, each in in_force if start <= span.start][-1],
            trial=trial_ends_at is not None and span.start < bucket_start(trial_ends_at),
            overrides=_overriding(overrides, span.start),
        )
        for span in spans
    )


def _in_force(
    period: Period, versions: Iterable[VersionTerm]
) -> list[tuple[datetime, VersionTerm]]:
    ordered = sorted(versions, key=lambda each: (each.effective_from, each.number))
    first = [each for each in ordered if each.effective_from <= period.start][-1:]
    if not first:
        raise NoVersionInForce(f"when the period began, {period.start:%Y-%m-%d %H:%M} UTC")
    later = [
        (max(bucket_start(each.effective_from), period.start), each)
        for each in ordered
        if each.at_once and period.start < each.effective_from < period.end
    ]
    return [(period.start, first[0]), *later]


def _overriding(overrides: Sequence[OverrideTerm], instant: datetime) -> tuple[str, ...]:
    ordered = sorted(overrides, key=lambda each: (each.starts_at, each.id))
    by_code = {each.code: each.id for each in ordered if each.covers(instant)}
    return tuple(sorted(by_code.values()))
