"""The samples of one step: what was used and held, spread over windows, and how it was measured."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.measure.measured import Measured, Profile, Profiles
from hostmeter_agent.measure.probes import Readings, merged, merged_how
from hostmeter_agent.measure.proc import RESOURCE_KINDS
from hostmeter_agent.measure.readings import Usage
from hostmeter_agent.measure.scan import Gauges
from hostmeter_agent.measure.windows import Window, shares
from hostmeter_agent.wire import VALUE_MAX

Sample = dict[str, object]
_UNKNOWN: Final[Mapping[str, Measured]] = {}

_IO_METERS: Final = ("file.read", "file.written", "disk.read", "disk.written")
_KINDS: Final = tuple(f"resources.open.{kind}" for kind in RESOURCE_KINDS)
_NO_KINDS: Final = (None,) * len(_KINDS)
_WITHOUT_MAXIMUM: Final = frozenset(_KINDS)


def gauge_values(gauges: Gauges) -> dict[str, int | None]:
    """An application's gauges by meter."""
    values: dict[str, int | None] = {
        "memory.used": gauges.memory_bytes,
        "processes": gauges.processes,
        "threads": gauges.threads,
        "files.open": gauges.kinds[0] if gauges.kinds is not None else None,
        "resources.open": gauges.descriptors,
    }
    values.update(zip(_KINDS, gauges.kinds or _NO_KINDS, strict=True))
    return values


def counter_meters(usage: Usage, application: str) -> dict[str, int]:
    """An application's counters over the whole time between two scans."""
    meters = {"cpu.time": usage.cpu_us.get(application, 0)}
    io = usage.io.get(application)
    if io is not None:
        meters.update(zip(_IO_METERS, io, strict=True))
    return meters


@dataclass(slots=True)
class Held:
    """Gauges of all applications at one moment, the scan's own and those of probes."""

    scanned: dict[str, Gauges] = field(default_factory=dict)
    probed: list[dict[str, dict[str, int]]] = field(default_factory=list)
    _values: dict[str, dict[str, int]] = field(default_factory=dict)
    """What was asked for already: the end of one window is the start of the next."""

    def names(self) -> list[str]:
        return [*self.scanned, *(name for part in self.probed for name in part)]

    def values(self, application: str) -> dict[str, int]:
        """What could be read, by meter; not to be changed."""
        values = self._values.get(application)
        if values is None:
            gauges = self.scanned.get(application)
            scanned = gauge_values(gauges) if gauges is not None else {}
            values = {name: value for name, value in scanned.items() if value is not None}
            values.update(merged(self.probed, application))
            self._values[application] = values
        return values


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two scans. watched: the gauges at its ends stand for it; gap: why not;
    marks: what was odd about its clocks."""

    windows: Sequence[Window]
    watched: bool
    gap: str | None = None
    marks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at the end of a stretch, and of what was held at its start."""

    usage: Usage
    held: Held
    before: Held
    readings: list[Readings]
    how: Mapping[str, Mapping[str, Measured]]
    """By application and meter, for what the scan itself measures."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who the samples are from."""

    instance: str
    environment: str | None


def build(
    seen: Seen, stretch: Stretch, source: Source, profiles: Profiles
) -> tuple[list[Sample], dict[str, str]]:
    """(a sample for each application and window, the measurements that they name by key)."""
    windows = [(window, window.label()) for window in stretch.windows]
    weights = [window.length_ms for window in stretch.windows]
    counters = [reading.counters for reading in seen.readings]
    how = _Profiling(seen, stretch, profiles)
    samples: list[Sample] = []
    measurements: dict[str, str] = {}
    for name in _names(seen):
        totals = counter_meters(seen.usage, name)
        totals.update(merged(counters, name))
        parts = _parts(totals, weights)
        profile = how.profile(name, totals)
        measurements[profile.key] = profile.text
        for (window, label), usage in zip(windows, parts, strict=True):
            if stretch.watched:
                usage.update(_gauge_meters(seen, name, window.length_ms))
            samples.append(_sample(source, name, label, stretch, usage, profile))
    return samples, measurements


def _parts(totals: dict[str, int], weights: list[int]) -> list[dict[str, int]]:
    """What each window has of the counters."""
    if len(weights) == 1:
        return [totals]
    parts = {meter: shares(total, weights) for meter, total in totals.items()}
    return [{meter: part[index] for meter, part in parts.items()} for index in range(len(weights))]


def build_gap(
    names: Sequence[str], stretch: Stretch, source: Source, profiles: Profiles
) -> tuple[list[Sample], dict[str, str]]:
    """As build, of applications of which nothing is known: gaps, which are no zeros."""
    profile = profiles.profile({}, gap=stretch.gap, marks=stretch.marks)
    labels = [window.label() for window in stretch.windows]
    samples = [
        _sample(source, name, label, stretch, {}, profile) for name in names for label in labels
    ]
    return samples, {profile.key: profile.text}


def _names(seen: Seen) -> list[str]:
    counted = [name for reading in seen.readings for name in reading.counters]
    return list(
        dict.fromkeys([*seen.held.names(), *seen.before.names(), *seen.usage.cpu_us, *counted])
    )


def _gauge_meters(seen: Seen, application: str, length_ms: int) -> dict[str, int]:
    """Integrals over a window (the value at its end, held for its whole length) and maxima (the
    largest of the values at both ends and of what probes saw in between)."""
    now, former = seen.held.values(application), seen.before.values(application)
    if application not in seen.held.scanned and application in seen.before.scanned:
        # It has ended and holds nothing: that is said once, in its last window.
        now = dict.fromkeys(gauge_values(Gauges()), 0) | now
    between = merged([reading.maxima for reading in seen.readings], application)
    meters: dict[str, int] = {}
    for name, value in now.items():
        meters[name] = (value * length_ms + 500) // 1_000
        if name not in _WITHOUT_MAXIMUM:
            largest = max(value, former.get(name, 0))
            meters[name + ".max"] = max(largest, between[name]) if name in between else largest
    return meters


@dataclass(slots=True)
class _Profiling:
    """How each application was measured. Most have the same of the scan, and no probe has
    anything to say of them alone: these share one profile."""

    seen: Seen
    stretch: Stretch
    profiles: Profiles
    _common: dict[int, tuple[Profile, frozenset[str]]] = field(default_factory=dict)
    """By the identity of what the scan says, which lives as long as `seen`; with the meters that
    the profile calls unavailable."""

    def profile(self, application: str, counted: Collection[str]) -> Profile:
        base = self.seen.how.get(application, _UNKNOWN)
        if any(r.measured.get(application) or r.marks.get(application) for r in self.seen.readings):
            return self._profile(self._how(base, application, counted), application)
        known = self._common.get(id(base))
        if known is None:
            how = self._how(base, application, ())
            known = self._common[id(base)] = self._profile(how, application), _unavailable(how)
        if known[1].isdisjoint(counted):
            return known[0]
        return self._profile(self._how(base, application, counted), application)

    def _how(
        self, base: Mapping[str, Measured], application: str, counted: Collection[str]
    ) -> dict[str, Measured]:
        how = merged_how(base, self.seen.readings, application)
        # Nobody has said how it was counted, only another that it could not count it.
        for meter in _unavailable(how).intersection(counted):
            del how[meter]
        return how

    def _profile(self, how: Mapping[str, Measured], application: str) -> Profile:
        marks = set(self.stretch.marks)
        for reading in self.seen.readings:
            marks |= reading.marks.get(application, set())
        return self.profiles.profile(how, gap=self.stretch.gap, marks=frozenset(marks))


def _unavailable(how: Mapping[str, Measured]) -> frozenset[str]:
    return frozenset(meter for meter, one in how.items() if one.quality == "unavailable")


def _sample(
    source: Source, name: str, label: list[str], stretch: Stretch, usage: dict[str, int],
    profile: Profile,
) -> Sample:  # fmt: skip
    return {
        "application": name,
        "instance": source.instance,
        "role": "primary",
        "environment": source.environment,
        "window": label,
        "coverage": int(stretch.watched),
        "measured": profile.key,
        "usage": _within_bounds(usage),
    }


def _within_bounds(usage: dict[str, int]) -> dict[str, int]:
    """An application may say any figure of itself; one beyond the contract's bound would have
    the rest refused as well."""
    if not usage or max(usage.values()) <= VALUE_MAX:
        return usage
    return {meter: min(value, VALUE_MAX) for meter, value in usage.items()}
