"""Windows of measured time: pure arithmetic on whole milliseconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hostmeter_agent.wire import BUCKET_SECONDS

BUCKET_MS: Final = BUCKET_SECONDS * 1_000
WINDOWS_PER_GAP_MAX: Final = 288
"""A gap's usage is spread over its last day at most, in buckets."""


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in milliseconds since the epoch, within one bucket."""

    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms

    def label(self) -> list[str]:
        """Start and end as the wire wants them."""
        return [stamp(self.start_ms), stamp(self.end_ms)]


def stamp(at_ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds only where there are some."""
    at = datetime.fromtimestamp(at_ms // 1_000, UTC).replace(microsecond=at_ms % 1_000 * 1_000)
    precision = "milliseconds" if at_ms % 1_000 else "seconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def split(start_ms: int, end_ms: int, *, pieces_max: int = WINDOWS_PER_GAP_MAX) -> list[Window]:
    """[start, end) cut at the bucket boundaries; at most the last `pieces_max` pieces."""
    if end_ms <= start_ms:
        return []
    earliest = (end_ms - 1) // BUCKET_MS * BUCKET_MS - (pieces_max - 1) * BUCKET_MS
    pieces, at = [], max(start_ms, earliest)
    while at < end_ms:
        boundary = min((at // BUCKET_MS + 1) * BUCKET_MS, end_ms)
        pieces.append(Window(at, boundary))
        at = boundary
    return pieces


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to `weights`; the parts sum to it exactly."""
    whole = sum(weights)
    parts, given, seen = [], 0, 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        parts.append(upto - given)
        given = upto
    return parts


def next_boundary_ms(now_ms: int, interval_ms: int) -> int:
    """The first aligned moment after now."""
    return (now_ms // interval_ms + 1) * interval_ms


def aligned_ms(now_ms: int, interval_ms: int) -> int:
    """now, or the aligned moment at most half a second before it that it stands for."""
    late = now_ms % interval_ms
    return now_ms - late if late < min(500, interval_ms) else now_ms
