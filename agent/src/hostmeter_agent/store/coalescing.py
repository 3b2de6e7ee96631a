"""Samples of one 5-minute bucket as fewer, longer ones: exact, or not at all. Pure.

Counters and integrals add up and maxima are taken, so every meter's total is what it was, and so
is the covered time, to the microsecond and in the millionths in which the server keeps a sample's
coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hostmeter_agent.measure.windows import BUCKET_MS, stamp
from hostmeter_agent.wire import VALUE_MAX, kind_of

Sample = dict[str, Any]
_PPM: Final = 1_000_000


@dataclass(slots=True)
class _Run:
    """Some samples of one key as one: `covered` in millionths of a millisecond."""

    start_ms: int
    end_ms: int
    covered: int
    sample: Sample
    merged: bool = False

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms

    def as_sample(self) -> Sample:
        if not self.merged:
            return self.sample
        ppm = self.covered // self.length_ms
        coverage = ppm // _PPM if ppm % _PPM == 0 else ppm / _PPM
        return self.sample | {
            "window": [stamp(self.start_ms), stamp(self.end_ms)],
            "coverage": coverage,
        }


def at_ms(text: str) -> int:
    """Milliseconds since the epoch of what `windows.stamp` wrote."""
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1_000 + at.microsecond // 1_000


def bucket_ms(sample: Sample) -> int:
    """The start of the bucket in which a sample's window lies."""
    return at_ms(sample["window"][0]) // BUCKET_MS * BUCKET_MS


def coalesce(samples: Sequence[Sample]) -> list[Sample]:
    """The same usage in fewer samples: one for each application, instance, role, environment and
    way of measuring in a bucket, or more where one would not be exact."""
    groups: dict[tuple[object, ...], list[_Run]] = {}
    for sample in samples:
        run = _run(sample)
        bucket = run.start_ms // BUCKET_MS
        groups.setdefault((bucket, *_key(sample)), []).append(run)
    return [
        run.as_sample()
        for runs in groups.values()
        for run in _one(_neighbours(sorted(runs, key=lambda run: run.start_ms)))
    ]


def _run(sample: Sample) -> _Run:
    start_ms, end_ms = map(at_ms, sample["window"])
    ppm = round(sample["coverage"] * _PPM)
    return _Run(start_ms, end_ms, ppm * (end_ms - start_ms), sample)


def _key(sample: Sample) -> tuple[object, ...]:
    names = ("application", "instance", "role", "environment", "measured")
    return tuple(sample.get(name) for name in names)


def _neighbours(runs: Sequence[_Run]) -> list[_Run]:
    """Runs that follow upon each other, equally covered, become one."""
    found: list[_Run] = []
    for run in runs:
        last = found[-1] if found else None
        both = _both(last, run) if last is not None and last.end_ms == run.start_ms else None
        if last is not None and both is not None and _equally_covered(last, run):
            found[-1] = both
        else:
            found.append(run)
    return found


def _equally_covered(one: _Run, other: _Run) -> bool:
    return one.covered * other.length_ms == other.covered * one.length_ms


def _one(runs: list[_Run]) -> list[_Run]:
    """All runs of a bucket as one over their hull, where some whole number of millionths covers
    exactly as much; else as they are."""
    whole = runs[0]
    for run in runs[1:]:
        both = _both(whole, run) if whole.end_ms <= run.start_ms else None
        if both is None:
            return runs
        whole = both
    return [whole] if whole.covered % whole.length_ms == 0 else runs


def _both(one: _Run, other: _Run) -> _Run | None:
    """Two runs as one; None where a sum would be out of the contract's bounds."""
    usage = dict(one.sample["usage"])
    for meter, value in other.sample["usage"].items():
        if meter not in usage:
            usage[meter] = value
        elif kind_of(meter) == "maximum":
            usage[meter] = max(usage[meter], value)
        else:
            usage[meter] += value
            if usage[meter] > VALUE_MAX:
                return None
    sample = one.sample | {"usage": usage}
    return _Run(one.start_ms, other.end_ms, one.covered + other.covered, sample, merged=True)
