"""Reading the probes of one step: what each costs is noted, and the dearest may be left out."""

import logging
import os
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.errors import AgentError
from hostmeter_agent.measure.budget import Budget
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings, withdraw
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

PROBE_SHED: Final = "probe-shed"
PROBE_FAILED: Final = "probe-failed"
SCAN: Final = "scan"
FAILURES_MAX: Final = 3
"""So often in a row a probe may fail for no reason that it knows; then it begins anew."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes saw; states: what each goes on from, by its name; marks: of every window."""

    readings: list[Readings]
    states: dict[str, object]
    marks: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a probe's last reading told. meters: as it would say that they are unavailable; counted:
    by application, the counters; names: the applications that there were."""

    meters: dict[str, Measured] = field(default_factory=dict)
    counted: dict[str, frozenset[str]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def to_come(self, names: Iterator[str]) -> dict[str, frozenset[str]]:
        """By application, the counters of which this time's growth is in a later reading, where
        the probe cannot be read now; `names`: the applications that there are."""
        new = frozenset().union(*self.counted.values())
        return self.counted | {name: new for name in names if name not in self.names}


_NOTHING_TOLD: Final = _Told()


@dataclass(slots=True)
class Probing:
    """The probes of one run, in order; of two that measure one meter the later wins.

    A probe that is shed or fails keeps its last state: where its source goes on counting, the time
    without it is in its next reading. So no earlier probe stands in for it meanwhile.
    """

    openers: Mapping[str, Callable[[], Probe]]
    """By name; a probe is opened when it is first used, and closed when it is not wanted."""
    budget: Budget
    _open: dict[str, Probe] = field(default_factory=dict)
    _told: dict[str, _Told] = field(default_factory=dict)
    _shed: frozenset[str] = frozenset()
    _unread: frozenset[str] = frozenset()
    """Those that the last step did not read: shed, or failed."""
    _failures: dict[str, int] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def use(self, off: Container[str] = ()) -> None:
        """From now on all but those that are off."""
        for name in [name for name in self._open if name in off]:
            with self._survived(name):
                self._open.pop(name).close()
        for name in self.openers:
            if name not in off and name not in self._open:
                self._open_anew(name)

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
        former, self._shed = self._shed, frozenset(self.budget.plan())
        for name in sorted(self._shed - former):
            log.warning("%s is left out: measuring costs more than the agent may use", name)
        for name in sorted(former - self._shed):
            log.info("%s is measured again", name)
        return self._shed

    def note_details(self, details_us: Mapping[str, int]) -> None:
        """What details of the scan took stands in the scan's time, too: move it to their names."""
        for name, us in details_us.items():
            self.budget.note(name, us)
            self.budget.note(SCAN, -us)

    def watch(self) -> None:
        for name, probe in self._open.items():
            if name not in self._shed:
                with self._survived(name), self.budget.timed(name):
                    probe.watch()

    def read(self, scan: Scan, former: Mapping[str, object], *, elapsed_ms: int) -> Probed:
        """Raises nothing: of a probe that fails the meters are unavailable, and the log says why
        once."""
        readings: list[Readings] = []
        states: dict[str, object] = {}
        unread: set[str] = set()
        for name in self.openers:
            probe, state = self._open.get(name), former.get(name)
            told = self._told.get(name, _NOTHING_TOLD)
            if probe is None:
                readings.append(Readings(default=told.meters))
                continue
            reading = None
            if name not in self._shed:
                reading = self._read(name, probe, scan, state, elapsed_ms)
            withdraw(readings, name, probe.claims)
            if reading is None:
                unread.add(name)
                withdraw(readings, name, told.to_come(iter(scan.gauges)))
                reading = Readings(default=told.meters, state=self._put_off(name, state))
            else:
                self._told[name] = _told_by(reading, scan)
            readings.append(reading)
            states[name] = reading.state
        self._unread = frozenset(unread)
        marks = {PROBE_SHED} if self._shed else set()
        marks |= {PROBE_FAILED} if unread - self._shed else set()
        return Probed(readings, states, frozenset(marks))

    def _read(
        self, name: str, probe: Probe, scan: Scan, state: object, elapsed_ms: int
    ) -> Readings | None:
        """None where it fails."""
        reading: Readings | None = None
        with self._survived(name), self.budget.timed(name):
            reading = probe.read(scan, state, elapsed_ms=elapsed_ms)
            self._failures.pop(name, None)
            self._said.pop(name, None)
        return reading

    def _put_off(self, name: str, state: object) -> object:
        """What a probe that could not be read goes on from: what it cannot get over is given up."""
        if self._failures.get(name, 0) < FAILURES_MAX:
            return state
        log.error("%s failed %d times in a row and begins anew", name, FAILURES_MAX)
        self._begin_anew(name)
        return None

    def stored(self) -> None:
        for name, probe in list(self._open.items()):
            if name in self._unread:
                continue
            stored = False
            with self._survived(name):
                probe.stored()
                stored = True
            if not stored:
                # What it keeps in memory may be half in this step and half in the next.
                self._begin_anew(name)

    def _begin_anew(self, name: str) -> None:
        """Go on as after a restart of the agent."""
        self._failures.pop(name, None)
        former = self._open.pop(name)
        with self._survived(name):
            former.close()
        self._open_anew(name)

    def _open_anew(self, name: str) -> None:
        with self._survived(name):
            self._open[name] = self.openers[name]()

    @contextmanager
    def _survived(self, name: str) -> Iterator[None]:
        """What goes wrong in one probe ends neither the agent nor the others."""
        try:
            yield
        except (AgentError, OSError) as error:
            self._say(name, str(error))
        except Exception as error:  # noqa: BLE001  a mistake in one probe is not the others'
            self._failures[name] = self._failures.get(name, 0) + 1
            self._say(name, f"{type(error).__name__}: {error}")

    def _say(self, name: str, text: str) -> None:
        if self._said.get(name) != text:
            log.error("%s failed, its meters are unavailable meanwhile: %s", name, text)
        self._said[name] = text

    def close(self) -> None:
        """Let go of all."""
        self.use(off=self.openers)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _told_by(readings: Readings, scan: Scan) -> _Told:
    told = dict(readings.default)
    for stated in readings.measured.values():
        told.update(stated)
    return _Told(
        {meter: how._replace(quality="unavailable") for meter, how in told.items()},
        {name: frozenset(counted) for name, counted in readings.counters.items()},
        frozenset(scan.gauges),
    )
