"""What `up` tells its user: one line a step with its time."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def say(line: str = "") -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # The reader has gone, as `head` does. What is left, the flush at exit too, goes nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def step_done(name: str, seconds: float) -> None:
    say(f"  {name:<28}{seconds:6.1f} s")


@contextmanager
def step(name: str) -> Iterator[None]:
    started_at = time.monotonic()
    yield
    step_done(name, time.monotonic() - started_at)


def process_age_s() -> float:
    """Seconds since this process was started, the making of .venv before re-execution included."""
    fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text("utf-8").split()[0]) - started_s
