"""How well something was measured: its quality, its method, gaps and marks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from hostmeter_agent.wire import MARKS_PER_MEASUREMENT_MAX

Quality = Literal["exact", "sampled", "lower_bound", "estimated", "unavailable"]

KEY_LENGTH: Final = 12
_PROFILES_MAX: Final = 4_096


class Measured(NamedTuple):
    """One meter's quality and the method behind it. A tuple, since some twenty of them are compared
    for each application at each scan.

    method: "name/version", such as "turnaround/1"; [a-z0-9._/-], 1 to 64 characters.
    """

    quality: Quality
    method: str


@dataclass(frozen=True, slots=True)
class Profile:
    """How a sample was measured, as it travels; named by its content: equal ones are one."""

    key: str
    text: str


@dataclass(slots=True)
class Profiles:
    """Makes profiles; those of the last scans are kept, since they hardly ever change."""

    _known: dict[tuple[object, ...], Profile] = field(default_factory=dict)

    def profile(
        self, meters: Mapping[str, Measured], *, gap: str | None = None, marks: frozenset[str]
    ) -> Profile:
        """gap: why nothing could be watched, or None; marks: what was odd in the window."""
        content = (tuple(meters.items()), gap, marks)
        known = self._known.get(content)
        if known is None:
            if len(self._known) >= _PROFILES_MAX:
                self._known.clear()
            known = self._known[content] = _profile(meters, gap, marks)
        return known


def _profile(meters: Mapping[str, Measured], gap: str | None, marks: frozenset[str]) -> Profile:
    body: dict[str, object] = {
        "meters": {name: [m.quality, m.method] for name, m in sorted(meters.items())}
    }
    if gap is not None:
        body["gap"] = gap
    if marks:
        body["marks"] = sorted(marks)[:MARKS_PER_MEASUREMENT_MAX]
    text = json.dumps(body, separators=(",", ":"))
    return Profile(hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH], text)
