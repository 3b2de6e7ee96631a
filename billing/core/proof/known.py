"""What a bundle says beside usage: whose it is, where instances ran, how they were measured."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.core.periods import Period
from billing.core.proof.records import EventRecord
from billing.core.readings import Reading
from metering.core.corrections import Correction
from metering.core.primaries import PrimaryWindow
from metering.core.quality import NOT_STATED, Measured, Profile, in_order


@dataclass(frozen=True, slots=True)
class Assigned:
    """An application's usage is the customer's over [start, end)."""

    application: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class InstanceKnown:
    """Where an instance runs; without a host it is what events and corrections state."""

    application: str
    known_since: datetime
    host: str | None
    region: str
    host_class: str


@dataclass(frozen=True, slots=True)
class Silent:
    """An instance of which nothing is heard over [start, end), though it ran before."""

    application: str
    instance: str
    role: str
    start: datetime
    end: datetime


@dataclass(slots=True)
class Known:
    """`names` and `environments` are those of applications. `windows` are those of primaries by
    application and hour, for the hours whose samples are known; `events` by application.
    `silences` are those of billing periods in which they are known."""

    assigned: Sequence[Assigned]
    names: Mapping[str, str]
    environments: Mapping[str, str]
    instances: Mapping[str, InstanceKnown]
    profiles: Mapping[str, Profile]
    corrections: Sequence[Correction] = ()
    silences: Mapping[Period, Sequence[Silent]] = field(default_factory=dict)
    windows: dict[tuple[str, datetime], list[PrimaryWindow]] = field(default_factory=dict)
    events: dict[str, list[EventRecord]] = field(default_factory=dict)
    _stretches: dict[str, list[Assigned]] = field(default_factory=dict)

    def is_assigned(self, application: str, bucket: datetime) -> bool:
        if not self._stretches:
            for each in self.assigned:
                self._stretches.setdefault(each.application, []).append(each)
        own = self._stretches.get(application, ())
        return any(each.start <= bucket < each.end for each in own)

    def silences_in(self, span: Period) -> list[Silent] | None:
        """Those that begin in a part of a billing period; None where they are not known."""
        for period, silences in self.silences.items():
            if period.start <= span.start and span.end <= period.end:
                return [each for each in silences if span.start <= each.start < span.end]
        return None

    def refusing(self, reading: Reading) -> frozenset[str]:
        """The profiles whose usage the reading does not accept."""
        return frozenset(
            known
            for known, profile in self.profiles.items()
            if profile.is_refused(reading.meter, reading.accepts)
        )

    def measured_by(self, ids: Collection[str | None], meter: str) -> tuple[Measured, ...]:
        """What the profiles say of the meter, the best first."""
        named: Iterable[Measured | None] = (
            NOT_STATED if each is None else self.profiles[each].of(meter) for each in ids
        )
        return in_order(each for each in named if each is not None) or (NOT_STATED,)

    def attributes(self, application: str, instance: str, role: str) -> dict[str, str]:
        """What a matrix price can tell apart, the quality left aside."""
        known = self.instances[instance]
        return {
            "role": role,
            "environment": self.environments[application],
            "region": known.region,
            "host_class": known.host_class,
        }
