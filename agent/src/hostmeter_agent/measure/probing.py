"""Reading the probes of one step: what each costs is noted, and the dearest may be left out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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

    probes: Sequence[Probe]
    budget: Budget
    _meters: dict[str, dict[str, Measured]] = field(default_factory=dict)
    """By probe, the meters that it last told of, as it would say that they are unavailable."""
    _shed: frozenset[str] = frozenset()

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
        for probe in self.probes:
            if probe.name not in self._shed:
                with self.budget.timed(probe.name):
                    probe.watch()

    def read(self, scan: Scan, former: Mapping[str, object], *, elapsed_ms: int) -> Probed:
        """Raises nothing of its own: a probe says by its readings what it could not do."""
        probed = Probed([], {}, frozenset({PROBE_SHED} if self._shed else ()))
        for probe in self.probes:
            state = former.get(probe.name)
            if probe.name in self._shed:
                readings = Readings(default=self._meters.get(probe.name, {}), state=state)
            else:
                with self.budget.timed(probe.name):
                    readings = probe.read(scan, state, elapsed_ms=elapsed_ms)
                self._meters[probe.name] = _unavailable(readings)
            withdraw(probed.readings, probe)
            probed.readings.append(readings)
            probed.states[probe.name] = readings.state
        return probed

    def stored(self) -> None:
        for probe in self.probes:
            if probe.name not in self._shed:
                probe.stored()

    def close(self) -> None:
        for probe in self.probes:
            probe.close()


def resident_bytes() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _unavailable(readings: Readings) -> dict[str, Measured]:
    told = dict(readings.default)
    for stated in readings.measured.values():
        told.update(stated)
    return {meter: replace(how, quality="unavailable") for meter, how in told.items()}
