"""A Celery worker of the benchmark's own, and what it and the database cost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.db import connection

from metering.bench.together import BenchFailed

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 30


@dataclass(slots=True)
class Worker:
    """A running worker; its figures are those of all its processes since it was ready, as of the
    last look."""

    process: "subprocess.Popen[bytes]"
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    _cpu_when_ready: float = field(init=False)

    def __post_init__(self) -> None:
        self._cpu_when_ready = self._cpu()

    def look(self) -> None:
        """A process that has ended in the meantime keeps no figures: look while it works."""
        cpu = self._cpu()
        for pid in (self.process.pid, *_children(self.process.pid)):
            self.peak_memory_mb = max(self.peak_memory_mb, _peak_mb(pid))
        self.cpu_seconds = max(self.cpu_seconds, cpu - self._cpu_when_ready)

    def _cpu(self) -> float:
        pids = (self.process.pid, *_children(self.process.pid))
        return sum(_cpu_seconds(pid) or 0.0 for pid in pids)

    def kill(self) -> None:
        """All its processes at once, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def celery_worker(queue: str, processes: int, log: Path) -> Iterator[Worker]:
    """A worker that takes tasks from `queue` alone, once it is ready. Raises BenchFailed."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "config", "worker"),
                *("--queues", queue, "--concurrency", str(processes), "--loglevel", "INFO"),
                *("--without-gossip", "--without-mingle", "--hostname", f"{queue}@%h"),
            ],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _await_ready(process, log)
        yield Worker(process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while b" ready." not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchFailed("the workers did not get ready")
        time.sleep(0.05)


def database_cpu_seconds() -> float | None:
    """Processor time of the database server with all its processes, those that have ended too;
    None where they are not on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone() or (0,)
    fields = _stat(backend)
    if fields is None or "postgres" not in fields[0]:
        return None
    server = int(fields[2])
    living = sum(_cpu_seconds(pid) or 0.0 for pid in _children(server))
    return (_cpu_seconds(server, with_ended=True) or 0.0) + living


def _stat(pid: int) -> list[str] | None:
    """Name, state, parent and so on: proc(5) from the second field on."""
    try:
        before, after = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)
    except OSError:
        return None
    return [before.split("(", 1)[1], *after.split()]


def _cpu_seconds(pid: int, *, with_ended: bool = False) -> float | None:
    fields = _stat(pid)
    if fields is None:
        return None
    ticks = fields[12:16] if with_ended else fields[12:14]
    return sum(map(int, ticks)) / _TICKS


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and int(fields[2]) == pid:
                found.append(int(entry.name))
    return found


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    peaks = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return next(peaks, 0) / 1_000
