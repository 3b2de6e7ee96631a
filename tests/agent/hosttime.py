"""Measuring a host on paper at chosen seconds after noon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import Mounts
from hostmeter_agent.config import parse_config
from hostmeter_agent.measure.baseline import decode, encode
from hostmeter_agent.measure.budget import Budget
from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.probes import Probe
from hostmeter_agent.measure.probing import Probing
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.measure.stretches import Moment

from tests.agent.fakehost import FakeHost, Process

NOON_MS = 1_767_268_800_000  # 2026-01-01 12:00:00 UTC
BOOT_MS = 1_000_000


class Records:
    """Stands in for the kernel's exit records."""

    def __init__(self) -> None:
        self.exits: list[Exit] = []

    def drain(self) -> tuple[list[Exit], bool]:
        exits, self.exits = self.exits, []
        return exits, False

    def close(self) -> None:
        pass


@dataclass
class Timeline:
    """Measures a fake host at chosen seconds after noon."""

    host: FakeHost
    measuring: Measuring
    records: Records

    def at(self, second: float, *, wall_shift_s: float = 0) -> list[Sample]:
        step = self.measuring.measure(self.clock(second, wall_shift_s))
        self.measuring.commit(step)
        return step.samples

    @staticmethod
    def clock(second: float, wall_shift_s: float = 0) -> Callable[[], Moment]:
        ms = int(second * 1_000)
        return lambda: Moment(BOOT_MS + ms, NOON_MS + ms + int(wall_shift_s * 1_000))

    def restart(self, *, boot_id: str = "boot-1", text: str = "") -> "Timeline":
        """A new agent on the baseline that the former left on disk."""
        baseline = self.measuring.baseline
        assert baseline is not None
        return start(self.host, baseline=encode(baseline), boot_id=boot_id, text=text)


def probing(probes: Sequence[Probe], *, cpu_us_max: int = 10_000_000) -> Probing:
    openers = {probe.name: partial(_itself, probe) for probe in probes}
    made = Probing(openers, Budget(list(openers), cpu_us_max=cpu_us_max))
    made.use()
    return made


def _itself(probe: Probe) -> Probe:
    return probe


def start(
    host: FakeHost, *, records: bool = False, text: str = "", mounts: Mounts | None = None,
    baseline: bytes | None = None, boot_id: str = "boot-1", probes: Sequence[Probe] = (),
) -> Timeline:  # fmt: skip
    config = parse_config(Path("agent.toml"), text)
    exits = Records()
    measuring = Measuring(
        host.scanner(config, mounts), config, boot_id=boot_id, instance="host-1",
        baseline=decode(baseline) if baseline else None,
        listener=exits if records else None,  # type: ignore[arg-type]
        probing=probing(probes),
    )  # fmt: skip
    return Timeline(host, measuring, exits)


def usage(samples: list[Sample], application: str) -> dict[str, int]:
    """The only sample of an application."""
    found = [s["usage"] for s in samples if s["application"] == application]
    assert len(found) == 1
    assert isinstance(found[0], dict)
    return found[0]


def total(samples: list[Sample], application: str, meter: str = "cpu.time") -> int:
    found = [s["usage"] for s in samples if s["application"] == application]
    return sum(u[meter] for u in found if isinstance(u, dict) and meter in u)


def program(pid: int, name: str, **figures: object) -> Process:
    return Process(pid, comm=name[:15], exe=f"/usr/bin/{name}", argv=(name,), **figures)  # type: ignore[arg-type]


def stored_baseline(timeline: Timeline) -> bytes:
    """What the agent has left on disk."""
    assert timeline.measuring.baseline is not None
    return encode(timeline.measuring.baseline)
