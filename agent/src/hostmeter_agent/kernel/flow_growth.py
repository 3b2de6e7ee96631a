"""Differences of what control groups have counted, attributed to applications. Pure."""

from dataclasses import dataclass

from hostmeter_agent.kernel.flows import NOWHERE, Flow, Flows
from hostmeter_agent.measure.readings import UNATTRIBUTED

Counted = tuple[int, int, int, int, int]
"""Bytes received and sent, transactions, signs of several requests at once, peers not listed."""


def _counted(flow: Flow) -> Counted:
    return (
        flow.received_bytes, flow.sent_bytes, flow.transactions, flow.irregular, flow.unlisted,
    )  # fmt: skip


@dataclass(slots=True)
class Growth:
    """What one application's control groups have counted since the former state."""

    received_bytes: int = 0
    sent_bytes: int = 0
    transactions: int = 0
    irregular: int = 0
    unlisted: int = 0

    @property
    def is_some(self) -> bool:
        return bool(self.received_bytes or self.sent_bytes or self.transactions)

    def add(self, now: Counted, before: Counted) -> None:
        # A smaller value belongs to an entry that was freed and made anew.
        if any(a < b for a, b in zip(now, before, strict=True)):
            before = (0, 0, 0, 0, 0)
        self.received_bytes += now[0] - before[0]
        self.sent_bytes += now[1] - before[1]
        self.transactions += now[2] - before[2]
        self.irregular += now[3] - before[3]
        self.unlisted += now[4] - before[4]


@dataclass(frozen=True, slots=True)
class Known:
    """The counts behind the last stored step, by map and control group, with the application to
    which these belonged."""

    boot: str
    maps: dict[int, dict[int, tuple[str, Counted]]]

    def to_json(self) -> dict[str, object]:
        return {
            "boot": self.boot,
            "maps": {
                str(map_): {str(cgroup): [name, *counted] for cgroup, (name, counted) in m.items()}
                for map_, m in self.maps.items()
            },
        }

    @classmethod
    def from_json(cls, data: object) -> "Known | None":
        """None for what another version left and this one cannot read."""
        try:
            return cls(
                str(data["boot"]),  # type: ignore[index]
                {
                    int(map_): {
                        int(cgroup): (str(values[0]), _five(values[1:]))
                        for cgroup, values in entries.items()
                    }
                    for map_, entries in data["maps"].items()  # type: ignore[index]
                },
            )
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


def _five(values: list[int]) -> Counted:
    a, b, c, d, e = (int(value) for value in values)
    return a, b, c, d, e


@dataclass(frozen=True, slots=True)
class Grown:
    """What was added since the former state, and what the next difference is taken to."""

    by_application: dict[str, Growth]
    known: Known
    complete: bool
    """False where something had no room under its control group's number."""
    continued: bool
    """False where the counts began after the former state, so that time between is missing."""
    idle: frozenset[int]
    """Control groups that counted nothing new."""


def grow(
    maps: dict[int, Flows], applications: dict[int, str], former: Known, *, boot: str
) -> Grown:
    """The growth since `former`. applications: by control group that exists. One that has gone
    belongs to the application that it last had, one never seen to `unattributed`."""
    before = former.maps if former.boot == boot else {}
    growth: dict[str, Growth] = {}
    kept: dict[int, dict[int, tuple[str, Counted]]] = {}
    idle: set[int] = set()
    overflowed = False
    for map_, flows in maps.items():
        kept[map_] = {}
        for cgroup, flow in flows.items():
            name, counted = before.get(map_, {}).get(cgroup, (UNATTRIBUTED, (0, 0, 0, 0, 0)))
            name = applications.get(cgroup, name)
            now = _counted(flow)
            growth.setdefault(name, Growth()).add(now, counted)
            kept[map_][cgroup] = name, now
            if now == counted:
                idle.add(cgroup)
            elif cgroup == NOWHERE:
                overflowed = True
    # Without any map that was known, the time before this one's was not counted.
    continued = not former.maps or any(map_ in before for map_ in maps)
    return Grown(growth, Known(boot, kept), not overflowed, continued, frozenset(idle))
