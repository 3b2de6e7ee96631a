"""Reading the probes of one step: what each costs is noted, and the dearest may be left out."""

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.measure.budget import Budget
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings, withdraw
from hostmeter_agent.measure.scan import Scan

PROBE_SHED: Final = "probe-shed"
SCAN: Final = "scan"


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes saw; states: what each goes on from, by its name; marks: of every window."""

    readings: list[Readings]
    states: dict[str, object]
    marks: frozenset[str]


@dataclass(slots=True)
class Probing:
    """The probes of one run, in order; of two that measure one meter the later wins.

    A shed probe keeps its last state: where its source goes on counting, the time without it is in
    its next reading.
    """

    openers: Mapping[str, Callable[[], Probe]]
    """By name; a probe is opened when it is first used, and closed when it is not wanted."""
    budget: Budget
    _open: dict[str, Probe] = field(default_factory=dict)
    _meters: dict[str, dict[str, Measured]] = field(default_factory=dict)
    """By probe, the meters that it last told of, as it would say that they are unavailable."""
    _shed: frozenset[str] = frozenset()

    def use(self, off: Container[str] = ()) -> None:
        """From now on all but those that are off."""
        for name in [name for name in self._open if name in off]:
            self._open.pop(name).close()
        self._open = {
            name: self._open.get(name) or opener()
            for name, opener in self.openers.items()
            if name not in off
        }

    def states(self) -> dict[str, str]:
        """What each probe does at present, in words."""
        return {
            name: "shed: it costs too much" if name in self._shed
            else "on" if name in self._open else "off"
            for name in self.openers
        }  # fmt: skip

    def begin(self) -> frozenset[str]:
        """What the coming step leaves out."""
        self.budget.note_memory(resident_bytes())
        self._shed = frozenset(self.budget.plan())
        return self._shed

    def note_details(self, details_us: Mapping[str, int]) -> None:
        """What details of the scan took stands in the scan's time, too: move it to their names."""
        for name, us in details_us.items():
            self.budget.note(name, us)
            self.budget.note(SCAN, -us)

    def watch(self) -> None:
        for name, probe in self._open.items():
            if name not in self._shed:
                with self.budget.timed(name):
                    probe.watch()

    def read(self, scan: Scan, former: Mapping[str, object], *, elapsed_ms: int) -> Probed:
        """Raises nothing of its own: a probe says by its readings what it could not do."""
        probed = Probed([], {}, frozenset({PROBE_SHED} if self._shed else ()))
        for name in self.openers:
            probe, state = self._open.get(name), former.get(name)
            if probe is None:
                probed.readings.append(Readings(default=self._meters.get(name, {})))
                continue
            if name in self._shed:
                readings = Readings(default=self._meters.get(name, {}), state=state)
            else:
                with self.budget.timed(name):
                    readings = probe.read(scan, state, elapsed_ms=elapsed_ms)
                self._meters[name] = _unavailable(readings)
            withdraw(probed.readings, probe)
            probed.readings.append(readings)
            probed.states[name] = readings.state
        return probed

    def stored(self) -> None:
        for name, probe in self._open.items():
            if name not in self._shed:
                probe.stored()

    def close(self) -> None:
        """Let go of all."""
        self.use(off=self.openers)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _unavailable(readings: Readings) -> dict[str, Measured]:
    told = dict(readings.default)
    for stated in readings.measured.values():
        told.update(stated)
    return {meter: how._replace(quality="unavailable") for meter, how in told.items()}
