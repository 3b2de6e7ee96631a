"""Keeps the parts running: starts them, restarts what dies, stops them in order.

One process, one thread. Every part leads a session of its own and is told by the kernel to end when
the supervisor does, so that even kill -9 leaves nothing behind.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config.runtime import logs
from config.runtime.failure import CannotRun
from config.runtime.processes import (
    Command,
    described_end,
    has_ended,
    reap,
    signal_group,
    spawn,
)
from config.runtime.signals import StopRequested, Waiting

POLL_S = 0.02
LOG_CHECK_S = 5.0
COMMAND_TIMEOUT_S = 900
RESTART_DELAY_S = 1.0
RESTART_DELAY_S_MAX = 60.0
# A part that ran this long has recovered: its next failure is the first of a new series.
STABLE_S = 60.0


@dataclass(frozen=True)
class Started:
    """A running process of a part, and where its log began."""

    pid: int
    at: float  # on the monotonic clock
    log: Path
    log_start: int

    def has_logged(self, wanted: bytes) -> bool:
        return logs.contains(self.log, wanted, self.log_start)


@dataclass(frozen=True)
class Part:
    """One supervised program."""

    name: str
    command: Command
    is_ready: Callable[[Started], bool]
    start_timeout_s: int = 30
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: int = 10


@dataclass(frozen=True)
class PartState:
    """What `status` tells of a part: starting, running, restarting or stopped; a server that was
    there before us is "given"."""

    state: str
    pid: int | None = None
    restarts: int = 0


def restart_delay_s(failures: int) -> float:
    """1, 2, 4 … 60 seconds after the 1st, 2nd, 3rd … failure in a row."""
    doublings = min(failures - 1, 16)
    return min(RESTART_DELAY_S * (1 << doublings), RESTART_DELAY_S_MAX)


class _Watched:
    """A part with its process; only the supervisor uses it."""

    def __init__(self, part: Part, folder: Path) -> None:
        self.part = part
        self.log = folder / f"{part.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.state = PartState("stopped")
        self.failures = 0
        self.started_at = 0.0
        self.due_at = 0.0
        self.log_start = 0

    def start(self) -> None:
        logs.keep_within_bounds(self.log)
        output = logs.open_log(self.log)
        try:
            self.log_start = os.fstat(output).st_size
            self.process = spawn(self.part.command, output)
        finally:
            os.close(output)
        self.started_at = time.monotonic()
        self.state = replace(self.state, state="starting", pid=self.process.pid)

    def is_ready(self) -> bool:
        if self.process is None:
            return False
        started = Started(self.process.pid, self.started_at, self.log, self.log_start)
        return self.part.is_ready(started)

    def with_reason(self, what: str) -> str:
        """What happened, and the last thing that the part had to say about it."""
        line = logs.last_line(self.log, self.log_start)
        return f"{self.part.name}: {what}" + (f": {line}" if line else "")


@dataclass(frozen=True)
class _Running:
    """A command that ends by itself."""

    process: subprocess.Popen[bytes]
    log: Path
    log_start: int


class Supervisor:
    def __init__(
        self,
        folder: Path,
        waiting: Waiting,
        announce: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self.waiting = waiting
        self._announce = announce
        self.changed: Callable[[dict[str, PartState]], None] = lambda _states: None
        self._watched: dict[str, _Watched] = {}
        self._commands: dict[str, _Running] = {}
        self._logs_checked_at = 0.0

    def states(self) -> dict[str, PartState]:
        return {name: watched.state for name, watched in self._watched.items()}

    def start(self, parts: Sequence[Part]) -> None:
        """Start the parts side by side and wait until each is ready. Raises CannotRun."""
        self.launch(parts)
        self.wait_until_ready()

    def launch(self, parts: Sequence[Part]) -> None:
        """Start the parts; `wait_until_ready` has to follow. Raises CannotRun."""
        for part in parts:
            watched = self._watched[part.name] = _Watched(part, self._folder)
            try:
                watched.start()
            except OSError as error:
                raise CannotRun(f"{part.name}: cannot be started: {error}") from None
        self.changed(self.states())

    def wait_until_ready(self) -> None:
        """Return when every part is ready. Raises CannotRun when one cannot be."""
        while starting := [w for w in self._watched.values() if w.state.state == "starting"]:
            for watched in starting:
                self._check_start(watched)
            self.waiting.pause(POLL_S)

    def _check_start(self, watched: _Watched) -> None:
        if watched.process is not None and has_ended(watched.process):
            end = described_end(reap(watched.process))
            watched.process = None
            raise CannotRun(watched.with_reason(f"ended while starting ({end})"))
        if watched.is_ready():
            watched.state = replace(watched.state, state="running")
            self.changed(self.states())
        elif time.monotonic() - watched.started_at > watched.part.start_timeout_s:
            raise CannotRun(
                watched.with_reason(f"was not ready within {watched.part.start_timeout_s} s")
            )

    def begin(self, name: str, command: Command) -> None:
        """Start a command that ends by itself; `finish` waits for it. Raises CannotRun."""
        log = self._folder / f"{name}.log"
        logs.keep_within_bounds(log)
        output = logs.open_log(log)
        start = os.fstat(output).st_size
        try:
            self._commands[name] = _Running(spawn(command, output), log, start)
        except OSError as error:
            raise CannotRun(f"{name}: cannot be started: {error}") from None
        finally:
            os.close(output)

    def finish(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait for a command's end, calling `meanwhile` now and then.

        Raises CannotRun with its last line when it fails.
        """
        running = self._commands[name]
        give_up_at = time.monotonic() + COMMAND_TIMEOUT_S
        while not has_ended(running.process) and time.monotonic() < give_up_at:
            self.waiting.pause(0.1)
            meanwhile()
        status = reap(running.process)
        del self._commands[name]
        if status != 0:
            line = logs.last_line(running.log, running.log_start) or described_end(status)
            raise CannotRun(f"{name}: {line}")

    def run(self, name: str, command: Command) -> None:
        """Run a command to its end. Raises CannotRun with its last line when it fails."""
        self.begin(name, command)
        self.finish(name)

    def watch(self) -> None:
        """Restart what dies, until a stop is asked for. Raises StopRequested."""
        while True:
            for watched in self._watched.values():
                self._look_after(watched)
            self._bound_logs()
            self.waiting.pause(self._seconds_to_next_look())

    def _look_after(self, watched: _Watched) -> None:
        if watched.process is None:
            if time.monotonic() >= watched.due_at:
                self._restart(watched)
        elif has_ended(watched.process):
            status = reap(watched.process)
            watched.process = None
            # Killed, it had no chance to say why; its last line is about something else.
            self._plan_restart(watched, described_end(status), explain=status >= 0)
        elif watched.state.state == "starting" and watched.is_ready():
            watched.state = replace(watched.state, state="running")
            self.changed(self.states())
            self._announce(f"{watched.part.name}: running again")

    def _plan_restart(self, watched: _Watched, end: str, *, explain: bool) -> None:
        ran_s = time.monotonic() - watched.started_at
        watched.failures = 1 if ran_s >= STABLE_S else watched.failures + 1
        delay_s = restart_delay_s(watched.failures)
        watched.due_at = time.monotonic() + delay_s
        restarts = watched.state.restarts + 1
        watched.state = PartState("restarting", None, restarts)
        self.changed(self.states())
        what = f"{end}; restart in {delay_s:.0f} s"
        self._announce(watched.with_reason(what) if explain else f"{watched.part.name}: {what}")

    def _restart(self, watched: _Watched) -> None:
        try:
            watched.start()
        except OSError as error:
            self._plan_restart(watched, f"cannot be started ({error})", explain=False)
        else:
            self.changed(self.states())

    def _seconds_to_next_look(self) -> float:
        now = time.monotonic()
        waits = [LOG_CHECK_S]
        for watched in self._watched.values():
            if watched.process is None:
                waits.append(max(watched.due_at - now, 0.0))
            elif watched.state.state == "starting":
                waits.append(0.2)
        return min(waits)

    def _bound_logs(self) -> None:
        now = time.monotonic()
        if now - self._logs_checked_at < LOG_CHECK_S:
            return
        self._logs_checked_at = now
        for watched in self._watched.values():
            if logs.keep_within_bounds(watched.log):
                watched.log_start = 0

    def stop(self, order: Sequence[Sequence[str]] = ()) -> None:
        """Stop everything: group by group in the given order, then whatever is left.

        A second request to stop ends the waiting: what still runs is killed.
        """
        self.waiting.accept()
        for running in self._commands.values():
            reap(running.process)
        left = [name for name in self._watched if not any(name in group for group in order)]
        for names in (*order, left):
            group = [self._watched[name] for name in names if name in self._watched]
            try:
                self._stop_together([w for w in group if w.process is not None])
            except StopRequested:
                self.waiting.accept()
                for watched in self._watched.values():
                    _end_now(watched)
        self.changed(self.states())

    def _stop_together(self, group: Sequence[_Watched]) -> None:
        for watched in group:
            if watched.process is not None and not has_ended(watched.process):
                watched.process.send_signal(watched.part.stop_signal)
        asked_at = time.monotonic()
        for watched in group:
            give_up_at = asked_at + watched.part.stop_timeout_s
            while watched.process is not None and not has_ended(watched.process):
                if time.monotonic() > give_up_at:
                    self._announce(f"{watched.part.name}: did not stop in time, killed")
                    signal_group(watched.process, signal.SIGKILL)
                self.waiting.pause(POLL_S)
            _end_now(watched)


def _end_now(watched: _Watched) -> None:
    if watched.process is not None:
        reap(watched.process)
        watched.process = None
    watched.state = PartState("stopped", None, watched.state.restarts)
