"""Probes: what measures beside /proc and the cgroup files, one interface for all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.scan import Scan


@dataclass(slots=True)
class Readings:
    """What one probe saw at one scan. Quantities are in the meters' units.

    counters: by application and meter, what was added since the former state;
    gauges: the values now; maxima: the largest values in the window, where more is known than
    the values at its ends; measured: how, where it differs from `default`, which holds for every
    application; marks: by application, what was odd. `state` is JSON-able and goes to the disk in
    one transaction with the windows; it is the next read's `former`.

    A meter that could not be measured is in no counter and no gauge, and `unavailable`.
    """

    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    gauges: dict[str, dict[str, int]] = field(default_factory=dict)
    maxima: dict[str, dict[str, int]] = field(default_factory=dict)
    measured: dict[str, dict[str, Measured]] = field(default_factory=dict)
    default: dict[str, Measured] = field(default_factory=dict)
    marks: dict[str, set[str]] = field(default_factory=dict)
    state: object = None


class Probe:
    """Reading moves nothing: a step that could not be stored is read again from the same `former`,
    as part of the next.

    claims: by application, the meters that only this probe is to tell, not those before it, and
    not for windows either in which it cannot: what it could not read now comes with a later one.
    """

    name: str
    claims: Mapping[str, frozenset[str]] = MappingProxyType({})

    def watch(self) -> None:
        """Every `births_seconds` between scans, never where that is 0; cheap."""

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        """What happened since `former`, the state of the last stored step (None: there is none).

        elapsed_ms: the length of that time by CLOCK_BOOTTIME, 0 when there was no step.
        """
        raise NotImplementedError

    def stored(self) -> None:
        """The step with the last readings is on disk."""

    def close(self) -> None:
        """Let go of what the probe holds open."""


def withdraw(earlier: list[Readings], claimant: str, claims: Mapping[str, frozenset[str]]) -> None:
    """Take out of earlier probes' readings what a later one, by its name, claims."""
    for application, meters in claims.items():
        for reading in earlier:
            for part in (reading.counters, reading.gauges, reading.maxima):
                for meter in meters & part.get(application, {}).keys():
                    del part[application][meter]
            # A probe may hand out one table for many applications.
            how = dict(reading.measured.get(application, {}))
            how.update(dict.fromkeys(meters, Measured("unavailable", f"{claimant}/1")))
            reading.measured[application] = how


def merged_how(
    base: Mapping[str, Measured], readings: list[Readings], application: str
) -> dict[str, Measured]:
    """How an application's meters were measured: `base`, then probes, of which the later win; but
    none makes unavailable what another could measure."""
    how = dict(base)
    for reading in readings:
        stated = {**reading.default, **reading.measured.get(application, {})}
        for meter, measured in stated.items():
            if measured.quality != "unavailable" or _is_unavailable(how.get(meter)):
                how[meter] = measured
    return how


def _is_unavailable(measured: Measured | None) -> bool:
    return measured is None or measured.quality == "unavailable"


def merged(parts: list[dict[str, dict[str, int]]], application: str) -> dict[str, int]:
    """An application's quantities of all probes, of which the later win."""
    values: dict[str, int] = {}
    for part in parts:
        if (told := part.get(application)) is not None:
            values.update(told)
    return values
