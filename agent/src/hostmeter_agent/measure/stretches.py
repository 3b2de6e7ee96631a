"""The time between two scans, and what is known of it: pure arithmetic on both clocks."""

from dataclasses import dataclass
from typing import Final

from hostmeter_agent.measure.baseline import Baseline
from hostmeter_agent.measure.samples import Stretch
from hostmeter_agent.measure.windows import split

STEP_MS_MAX: Final = 1_000
"""A wall clock that moved further than this has been set: the window takes the new time."""
SUSPENDED_MS_MIN: Final = 1_000
INTERVALS_PER_WINDOW_MAX: Final = 3
GAP_SAMPLES_MAX: Final = 50_000
GAP_WINDOWS_MAX: Final = 30 * 288
"""A machine that was down longer than this has its gap for its last 30 days."""
GAP_AGE_MS_MAX: Final = 365 * 86_400_000
"""A server takes no windows that are much older, and these have still to be delivered."""

AGENT_STOPPED: Final = "agent-stopped"
HOST_DOWN: Final = "host-down"
HOST_SUSPENDED: Final = "host-suspended"
SCAN_LATE: Final = "scan-late"
CLOCK_STEP: Final = "clock-step"


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant: CLOCK_BOOTTIME measures, the wall clock labels.

    suspended_ms: how much of the time since the boot the machine was suspended.
    """

    boot_ms: int
    wall_ms: int
    suspended_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stretches:
    """What lies between a baseline and now.

    measured: the time over which counters were compared, None when there is none; down: the time
    before it in which the machine was off.
    """

    same_boot: bool
    elapsed_ms: int
    measured: Stretch | None = None
    down: Stretch | None = None


def stretches_since(
    baseline: Baseline | None, now: Moment, end_ms: int, *, boot_id: str, running: bool,
    interval_ms: int,
) -> Stretches:  # fmt: skip
    """The time since `baseline`, which ends at `end_ms` on the wall clock.

    running: this run of the agent made the baseline; else another did, and then stopped.
    """
    if baseline is None:
        return Stretches(same_boot=False, elapsed_ms=0)
    same_boot = baseline.boot_id == boot_id
    elapsed_ms = now.boot_ms - baseline.at_boot_ms if same_boot else now.boot_ms
    if elapsed_ms <= 0:
        return Stretches(same_boot, 0)
    start_ms = end_ms - elapsed_ms
    if not same_boot:
        stepped = baseline.end_ms - start_ms > STEP_MS_MAX
        marks = frozenset({CLOCK_STEP} if stepped else ())
        measured = Stretch(split(start_ms, end_ms), watched=False, gap=AGENT_STOPPED, marks=marks)
        return Stretches(same_boot, elapsed_ms, measured, _down(baseline, start_ms, end_ms))
    stepped = abs(baseline.end_ms - start_ms) > STEP_MS_MAX
    if not stepped:
        start_ms = min(baseline.end_ms, end_ms - 1)
    gap = _gap(baseline, now, elapsed_ms, running=running, interval_ms=interval_ms)
    marks = frozenset({CLOCK_STEP} if stepped else ())
    measured = Stretch(split(start_ms, end_ms), watched=gap is None, gap=gap, marks=marks)
    return Stretches(same_boot, elapsed_ms, measured)


def _gap(
    baseline: Baseline, now: Moment, elapsed_ms: int, *, running: bool, interval_ms: int
) -> str | None:
    if not running:
        return AGENT_STOPPED
    if now.suspended_ms - baseline.suspended_ms >= SUSPENDED_MS_MIN:
        return HOST_SUSPENDED
    return SCAN_LATE if elapsed_ms > INTERVALS_PER_WINDOW_MAX * interval_ms else None


def _down(baseline: Baseline, boot_ms: int, now_ms: int) -> Stretch | None:
    """From the baseline to the boot; a clock that was set back has no such time."""
    applications = len({r.application for r in baseline.table.processes.values()})
    pieces_max = min(GAP_SAMPLES_MAX // max(applications, 1), GAP_WINDOWS_MAX)
    start_ms = max(baseline.end_ms, now_ms - GAP_AGE_MS_MAX)
    windows = split(start_ms, boot_ms, pieces_max=max(pieces_max, 1))
    return Stretch(windows, watched=False, gap=HOST_DOWN) if windows else None
