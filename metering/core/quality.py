"""How well usage was measured, and what of it a price accepts.

A profile says for each meter how well (`quality`) and how (`method`) it was measured; many samples
share one. A maximum that a profile does not name was measured like its gauge. Usage whose quality
is not stated is accepted by every price: it comes from agents that are older than the statement.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hostmeter_agent.wire import QUALITIES

UNAVAILABLE: Final = "unavailable"
# What usage can have: what is unavailable has none, so there is nothing to accept or to refuse.
MEASURED_QUALITIES: Final = tuple(quality for quality in QUALITIES if quality != UNAVAILABLE)
ACCEPTED_BY_DEFAULT: Final = frozenset({"exact", "sampled"})

_MAXIMUM: Final = ".max"


@dataclass(frozen=True, slots=True)
class Measured:
    """How well one meter was measured, and by which version of which method."""

    quality: str
    method: str


# Of usage that came without a word.
NOT_STATED: Final = Measured("not_stated", "")


@dataclass(frozen=True, slots=True)
class Profile:
    """How some samples were measured. `gap` is the cause for which the unmeasured part of their
    windows is missing."""

    meters: Mapping[str, Measured] = field(default_factory=dict)
    gap: str | None = None
    marks: tuple[str, ...] = ()

    def of(self, meter: str) -> Measured | None:
        """How the meter was measured; None where the profile does not say."""
        return stated(self.meters, meter)

    def is_refused(self, meter: str, accepts: Collection[str]) -> bool:
        """Whether a price that accepts these qualities leaves the meter's usage unbilled."""
        measured = self.of(meter)
        return measured is not None and measured.quality in refused_qualities(accepts)


def stated(meters: Mapping[str, Measured], meter: str) -> Measured | None:
    """What is stated of the meter, or of the gauge whose maximum it is."""
    measured = meters.get(meter)
    if measured is None and meter.endswith(_MAXIMUM):
        return meters.get(meter.removesuffix(_MAXIMUM))
    return measured


def refused_qualities(accepts: Collection[str]) -> frozenset[str]:
    """The qualities whose usage is not billed."""
    return frozenset(MEASURED_QUALITIES).difference(accepts)


def in_order(measured: Iterable[Measured]) -> tuple[Measured, ...]:
    """Each once, the best qualities first; what is not stated comes last."""
    ranks = (*QUALITIES, NOT_STATED.quality)
    return tuple(sorted(set(measured), key=lambda each: (ranks.index(each.quality), each.method)))


def worst_of(measured: Collection[Measured]) -> str:
    """The worst quality that is stated; "not_stated" where none is."""
    stated_so = [each.quality for each in measured if each != NOT_STATED]
    return max(stated_so, key=QUALITIES.index, default=NOT_STATED.quality)


def in_words(quality: str) -> str:
    """lower_bound → lower bound."""
    return quality.replace("_", " ")


def written(measured: Iterable[Measured]) -> str:
    """How something was measured: "exact, cgroup/2; lower bound, turnaround/1"."""
    return "; ".join(
        ", ".join(filter(None, (in_words(each.quality), each.method))) for each in measured
    )


def profile_of(body: Mapping[str, object]) -> Profile:
    """A stored profile: {"meters": {meter: [quality, method]}, "gap": cause, "marks": [mark]}."""
    meters, gap, marks = body.get("meters"), body.get("gap"), body.get("marks")
    return Profile(
        meters={
            str(meter): _measured(entry)
            for meter, entry in (meters.items() if isinstance(meters, dict) else ())
        },
        gap=gap if isinstance(gap, str) else None,
        marks=tuple(map(str, marks)) if isinstance(marks, list) else (),
    )


def _measured(entry: Sequence[str]) -> Measured:
    quality, method = entry
    return Measured(quality, method)
