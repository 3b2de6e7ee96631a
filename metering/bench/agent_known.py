"""Processes whose usage the kernel knows to the byte: they never end, so that their counters at the
end are all that they have used. Run as a script it becomes them; `known_usage` is the other side.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metering.bench.together import BenchFailed

APPLICATION = "bench-known"
_PROCESSES = 4
_STOP_SECONDS_MAX = 10
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
SCRIPT = Path(__file__).with_name("agent_known_work.py")


@dataclass(frozen=True, slots=True)
class Usage:
    """What all of them used: bytes by read(2) and write(2), CPU time in whole ticks."""

    read_bytes: int
    written_bytes: int
    cpu_us: int


@dataclass(slots=True)
class KnownWork:
    _processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        for number in range(_PROCESSES):
            command = [sys.executable, "-I", "-S", str(SCRIPT), str(number)]
            self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    def rest(self) -> Usage:
        """Have them stop working, though not end, and tell what they used until then.

        Raises BenchFailed.
        """
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_SECONDS_MAX
        for process in self._processes:
            while _stat(process.pid)[0] != "T":
                if time.monotonic() > deadline:
                    raise BenchFailed("the known work cannot be stopped")
                time.sleep(0.01)
        return self.used()

    def used(self) -> Usage:
        totals = [_used(process.pid) for process in self._processes]
        return Usage(
            sum(usage.read_bytes for usage in totals),
            sum(usage.written_bytes for usage in totals),
            sum(usage.cpu_us for usage in totals),
        )

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def known_work() -> Iterator[KnownWork]:
    work = KnownWork()
    try:
        yield work
    finally:
        work.end()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _used(pid: int) -> Usage:
    words = Path(f"/proc/{pid}/io").read_text().split()
    fields = _stat(pid)
    return Usage(int(words[1]), int(words[3]), (int(fields[11]) + int(fields[12])) * _TICK_US)
