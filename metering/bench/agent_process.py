"""Programs under measurement, each a process of its own, and what it costs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metering.bench.together import BenchFailed

_STOP_SECONDS_MAX = 30
_CLOCK_OF_WHOLE_PROCESS = 2
"""CPUCLOCK_SCHED in the kernel's numbering of other processes' clocks."""


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_ms_per_scrape: float
    rss_mb: float


@dataclass(slots=True)
class Measured:
    """A running program. Its figures are the kernel's: all threads, user and system."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    begun_ns: int = 0

    def cpu_ns(self) -> int:
        clock = (~self.process.pid << 3) | _CLOCK_OF_WHOLE_PROCESS
        try:
            return time.clock_gettime_ns(clock)
        except OSError as error:
            raise self._ended() from error

    def rss_mb(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1_000
        raise self._ended()

    def _ended(self) -> BenchFailed:
        said = self.log.read_text(errors="replace").splitlines()
        return BenchFailed(f"{self.name} ended early: {said[-1] if said else 'it said nothing'}")

    def begin(self) -> None:
        """Count from here on."""
        self.begun_ns = self.cpu_ns()

    def cost(self, scrapes: int) -> Cost:
        spent_ns = self.cpu_ns() - self.begun_ns
        return Cost(round(spent_ns / 1_000_000 / scrapes, 2), round(self.rss_mb(), 1))


@contextmanager
def measured(name: str, command: Sequence[str], log: Path, **variables: str) -> Iterator[Measured]:
    """A program that runs meanwhile; it is asked to end, and made to if it does not.

    Raises BenchFailed when it cannot be started.
    """
    with open(log, "ab") as file:
        try:
            process = subprocess.Popen(
                command,
                env=os.environ | variables,
                stdin=subprocess.PIPE,  # some end when theirs is at its end
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        except OSError as error:
            raise BenchFailed(f"{name} cannot be started: {error.strerror}") from error
    try:
        yield Measured(name, process, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def agent_command(*arguments: str) -> list[str]:
    """As the agent's unit starts it: isolated from this process's environment."""
    return [sys.executable, "-m", "hostmeter_agent", *arguments]


def agent_variables() -> dict[str, str]:
    source = Path(__file__).resolve().parents[2] / "agent" / "src"
    return {"PYTHONPATH": str(source), "PYTHONWARNINGS": "ignore"}


def enrolled(url: str, state: Path, token: str) -> None:
    """Enrol an agent. Raises BenchFailed with what it says."""
    command = agent_command("enrol", "--server", url, "--token", token, "--state", str(state))
    done = subprocess.run(
        [*command, "--name", "bench"],
        env=os.environ | agent_variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchFailed(f"the agent did not enrol: {done.stderr.strip()}")
