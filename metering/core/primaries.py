"""Two instances that both call themselves primary at one time are billed once: which windows count.

Instances go first that have been known longest (first_seen_at, then id). All windows of the first
count; a window of a later one that overlaps a window that counts, of another instance, is left out
whole. A window that is left out leaves no other out. Pure.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class PrimaryWindow:
    """A sample's window [start, end) of an instance that called itself primary, and the meters'
    quantities in it."""

    application_id: UUID
    instance_id: UUID
    known_since: datetime
    start: datetime
    end: datetime
    usage: dict[str, int]


def left_out(windows: Iterable[PrimaryWindow]) -> list[PrimaryWindow]:
    """Those that do not count, in order of time."""
    by_application: defaultdict[UUID, list[PrimaryWindow]] = defaultdict(list)
    for window in windows:
        by_application[window.application_id].append(window)
    out = [each for own in by_application.values() for each in _left_out(own)]
    return sorted(out, key=lambda each: (each.start, each.application_id, each.instance_id))


def _left_out(windows: Sequence[PrimaryWindow]) -> list[PrimaryWindow]:
    by_instance: defaultdict[tuple[datetime, UUID], list[PrimaryWindow]] = defaultdict(list)
    for window in windows:
        by_instance[window.known_since, window.instance_id].append(window)
    counted: list[Span] = []
    out = []
    for key in sorted(by_instance):
        own = by_instance[key]
        overlapping = [_overlaps(counted, each) for each in own]
        out += [each for each, over in zip(own, overlapping, strict=True) if over]
        kept = [each for each, over in zip(own, overlapping, strict=True) if not over]
        counted = _joined([*counted, *((each.start, each.end) for each in kept)])
    return out


def _overlaps(counted: Sequence[Span], window: PrimaryWindow) -> bool:
    """Whether one of the spans, which lie apart and in order, has a moment of the window."""
    before = bisect_right(counted, window.start, key=lambda span: span[0])
    if before and counted[before - 1][1] > window.start:
        return True
    return before < len(counted) and counted[before][0] < window.end


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
