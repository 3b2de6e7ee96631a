"""Cgroups of this machine's kernel, made for one test and removed after it."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import CgroupFs, Mounts, parse_mounts
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.running import system_clock


def this_machines() -> Mounts:
    return parse_mounts(Path("/proc/self/mounts").read_text())


class Cgroups:
    """A cgroup of version 2 (where there is one and version 1 is not asked for, else of cpuacct)
    and what a test makes in it."""

    def __init__(self, name: str, *, version: int = 2) -> None:
        mounts = this_machines()
        mount = (mounts.unified if version == 2 else None) or mounts.cpuacct
        assert mount is not None, "this machine has no cgroups"
        self.files = CgroupFs(mounts)
        self.path = f"/{name}"
        self.folder = mount / name
        self.folder.mkdir()

    def make(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def cpu_us(self, name: str = "") -> int:
        """What the kernel counted there."""
        counters = self.files.cpu(f"{self.path}/{name}".rstrip("/"))
        assert counters is not None
        assert counters.cpu_us is not None
        return counters.cpu_us

    def remove(self) -> None:
        for path, folders, _ in os.walk(self.folder, topdown=False):
            for folder in folders:
                os.rmdir(Path(path) / folder)
        self.folder.rmdir()


@contextmanager
def cgroups(version: int = 2) -> Iterator[Cgroups]:
    made = Cgroups(f"hostmeter-test-{os.getpid()}-{time.monotonic_ns()}", version=version)
    try:
        yield made
    finally:
        made.remove()


def run_in(folder: Path, words: Sequence[str]) -> "subprocess.Popen[str]":
    """Start a program that is in the cgroup from its first moment; it is asked through pipes."""
    # A child of this process would be the agent's own.
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    return subprocess.Popen(
        ["setsid", "--fork", "--wait", "sh", "-c", script, str(folder), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def commit(measuring: Measuring) -> list[Sample]:
    step = measuring.measure(system_clock)
    measuring.commit(step)
    return step.samples


def total(samples: list[Sample], application: str, meter: str = "cpu.time") -> int:
    found = [s["usage"] for s in samples if s["application"] == application]
    return sum(u.get(meter, 0) for u in found if isinstance(u, dict))
