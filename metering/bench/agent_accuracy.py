"""How far the agent's CPU time is off the kernel's own count, for an application in a cgroup whose
processes live for 5 ms."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metering.bench.agent_process import agent_command, agent_variables, enrolled, measured
from metering.bench.agent_receiver import Received, receiving
from metering.bench.together import BenchFailed

_WORK_SECONDS = 10.0
_SETTLE_SECONDS_MAX = 20.0
_CONFIGURATION = "interval_seconds = 1\npush_delay_seconds = 0\n"
_WORK = """
import os, sys, time
def spend():
    until = time.thread_time_ns() + 5_000_000
    while time.thread_time_ns() < until: pass
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pid = os.fork()
    if not pid:
        spend()
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.01)
print("done", flush=True)
time.sleep(3600)
"""


@dataclass(frozen=True, slots=True)
class CpuError:
    """Of the kernel's figure; cpu_error_percent is the target's."""

    cpu_error_percent: float
    cpu_kernel_us: int
    cpu_metered_us: int


@dataclass(frozen=True, slots=True)
class _Cgroup:
    folder: Path

    def cpu_us(self) -> int:
        v1 = self.folder / "cpuacct.usage"
        if v1.exists():
            return int(v1.read_text()) // 1_000
        words = (self.folder / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1])


def measure_cpu_error(progress: Callable[[str], None]) -> CpuError | None:
    """None where no cgroup can be made, which is said. Raises BenchFailed."""
    with ExitStack() as stack:
        try:
            cgroup = stack.enter_context(_cgroup())
        except OSError as error:
            progress(f"CPU error is not measured, no cgroup can be made: {error}")
            return None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-agent-")))
        url, received = stack.enter_context(receiving())
        enrolled(url, folder / "state", "bench")
        (folder / "agent.toml").write_text(_CONFIGURATION)
        command = agent_command("run", "--unpinned", "--state", str(folder / "state"))
        command += ["--config", str(folder / "agent.toml")]
        stack.enter_context(
            measured("the agent", command, folder / "agent.log", **agent_variables())
        )
        _wait_for(lambda: bool(received.samples), "the agent delivers nothing")
        progress(f"starting processes of 5 ms for {_WORK_SECONDS:.0f} s in a cgroup")
        stack.enter_context(_work(cgroup))
        return _error(cgroup, received)


def _error(cgroup: _Cgroup, received: Received) -> CpuError:
    seen = len(received.samples)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    _wait_for(
        lambda: any(sample["window"][0] >= stamp for sample in received.samples[seen:]),
        "the agent delivers no later windows",
    )
    kernel_us, metered_us = cgroup.cpu_us(), received.total(cgroup.folder.name, "cpu.time")
    percent = abs(metered_us - kernel_us) * 100 / kernel_us
    return CpuError(round(percent, 4), kernel_us, metered_us)


@contextmanager
def _cgroup() -> Iterator[_Cgroup]:
    """One of our own, of either version. Raises OSError."""
    name = f"bench-agent-{os.getpid()}"
    roots = [Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/cpu,cpuacct")]
    root = next((root for root in roots if root.is_dir()), Path("/sys/fs/cgroup"))
    folder = root / name
    folder.mkdir()
    try:
        yield _Cgroup(folder)
    finally:
        folder.rmdir()


@contextmanager
def _work(cgroup: _Cgroup) -> Iterator[None]:
    """It has done its work and rests."""
    script = 'echo $$ > "$0" && exec "$@"'
    command = [sys.executable, "-I", "-S", "-c", _WORK, str(_WORK_SECONDS)]
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, str(cgroup.folder / "cgroup.procs"), *command],
        stdout=subprocess.PIPE,
    )
    try:
        if process.stdout is None or process.stdout.readline() != b"done\n":
            raise BenchFailed("the processes of 5 ms could not be started")
        process.send_signal(signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.communicate()


def _wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise BenchFailed(f"{otherwise} ({_SETTLE_SECONDS_MAX:.0f} s)")
        time.sleep(0.1)
