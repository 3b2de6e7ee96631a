"""What the next deltas are taken against, as it is kept on disk."""

import json
from dataclasses import dataclass, field
from typing import Any

from hostmeter_agent.cgroup.cgroup_usage import CgroupState
from hostmeter_agent.measure.readings import Reading, Table

_LAYOUT = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """The counters at the end of the last window that was queued.

    at_boot_ms: CLOCK_BOOTTIME; end_ms: the window's label, milliseconds since the epoch;
    suspended_ms: how long the machine had been suspended
    since its start; probes: each probe's state by its name, JSON-able.
    """

    boot_id: str
    at_boot_ms: int
    end_ms: int
    table: Table
    cgroups: CgroupState = field(default_factory=CgroupState)
    suspended_ms: int = 0
    probes: dict[str, object] = field(default_factory=dict)


def _row(reading: Reading) -> list[object]:
    return [
        reading.pid, reading.start, reading.ppid, reading.application, reading.cpu_us,
        reading.children_cpu_us, reading.faults, reading.children_faults, reading.threads,
        reading.io, reading.cgroup,
    ]  # fmt: skip


def _reading(row: list[Any]) -> Reading:
    """The fields in the order in which _row wrote them."""
    pid, start, ppid, application, cpu_us, children_cpu_us, faults, children_faults, threads = row[
        :9
    ]
    io, cgroup = row[9], row[10] if len(row) > 10 else None
    return Reading(
        pid, start, ppid, application, cpu_us, children_cpu_us, faults, children_faults, threads,
        None if io is None else (io[0], io[1], io[2], io[3]), cgroup,
    )  # fmt: skip


def _cgroups(content: dict[str, Any]) -> CgroupState:
    """Empty where an agent wrote it that kept less of cgroups: then /proc tells of that time."""
    counts = content.get("cgroup_counts")
    return CgroupState() if counts is None else CgroupState.decoded(counts)


class Encoder:
    """Writes baselines one after the other. Most readings are the objects that the one before had,
    because their processes have not run: these are not put into words again."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[Reading, str]] = {}

    def encode(self, baseline: Baseline) -> bytes:
        content = {
            "layout": _LAYOUT,
            "boot_id": baseline.boot_id,
            "at_boot_ms": baseline.at_boot_ms,
            "end_ms": baseline.end_ms,
            "departed": [_row(r) for r in baseline.table.departed.values()],
            "credit_us": [[*key, us] for key, us in baseline.table.credit_us.items()],
            "cgroup_counts": baseline.cgroups.encoded(),
            "suspended_ms": baseline.suspended_ms,
            "probes": baseline.probes,
        }
        head = json.dumps(content, separators=(",", ":"))
        return f'{head[:-1]},"processes":[{self._processes(baseline.table)}]}}'.encode()

    def _processes(self, table: Table) -> str:
        former, self._rows = self._rows, {}
        for pid, reading in table.processes.items():
            known = former.get(pid)
            if known is None or known[0] is not reading:
                known = reading, json.dumps(_row(reading), separators=(",", ":"))
            self._rows[pid] = known
        return ",".join([text for _, text in self._rows.values()])


def encode(baseline: Baseline) -> bytes:
    return Encoder().encode(baseline)


def decode(data: bytes) -> Baseline | None:
    """The baseline that `encode` wrote; None for one of another layout."""
    content = json.loads(data)
    if content["layout"] != _LAYOUT:
        return None
    processes = [_reading(row) for row in content["processes"]]
    departed = [_reading(row) for row in content["departed"]]
    return Baseline(
        content["boot_id"],
        content["at_boot_ms"],
        content["end_ms"],
        Table(
            {r.pid: r for r in processes},
            {r.key: r for r in departed},
            # Absent where an agent wrote it that kept no credit.
            {(pid, start): us for pid, start, us in content.get("credit_us", [])},
        ),
        _cgroups(content),
        # Absent where an agent wrote it that knew neither.
        content.get("suspended_ms", 0),
        content.get("probes", {}),
    )
