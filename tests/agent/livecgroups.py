"""Cgroups of this machine's kernel, made for one test and removed after it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import CgroupFs
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.running import system_clock

from tests import needs
from tests.agent.apart import apart


class Cgroups:
    """A cgroup of version 2 (where there is one and version 1 is not asked for, else of cpuacct)
    and what a test makes in it."""

    def __init__(self, name: str, *, version: int = 2) -> None:
        mounts = needs.this_machines_mounts()
        newer = version == 2 and mounts.unified is not None
        mount = needs.cgroup2() if newer else needs.cgroup1()
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
        """With what a test that failed has left running there."""
        for path, _, _ in os.walk(self.folder, topdown=False):
            _end_processes(Path(path) / "cgroup.procs")
            os.rmdir(path)


def _end_processes(listed: Path) -> None:
    until = time.monotonic() + 10
    while pids := listed.read_text().split():
        assert time.monotonic() < until, f"{pids} do not end"
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.01)


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
        apart("sh", "-c", script, str(folder), *words),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def commit(measuring: Measuring) -> list[Sample]:
    step = measuring.measure(system_clock)
    measuring.commit(step)
    return step.samples


def total(samples: list[Sample], application: str, meter: str = "cpu.time") -> int:
    found = [s["usage"] for s in samples if s["application"] == application]
    return sum(u.get(meter, 0) for u in found if isinstance(u, dict))
