"""Cgroups that the agent makes for applications that have none, so that the kernel counts them to
the last µs.

Below /hostmeter in the unified hierarchy an application has a cgroup, and in it each process that
was moved there one of its own: that begins at zero, so that it shows which part of the process's
time the kernel has counted since the move. What was used before is the process's own clock less
that. It is noted at the application's cgroup before the process is moved, so that it outlives the
agent, and booked by the next step.
"""

import errno
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from hostmeter_agent.cgroup.cgroup_files import CgroupFs, read_file
from hostmeter_agent.cgroup.cgroup_usage import CgroupState
from hostmeter_agent.cgroup.cgroups import OURS, UNIFIED, is_ours, is_session, paths_by_hierarchy
from hostmeter_agent.cgroup.limits import Holding
from hostmeter_agent.config import Limits
from hostmeter_agent.measure.proc import TICK_US, ProcFs, Stat, UnreadableStat
from hostmeter_agent.measure.readings import Moved, Table, Usage
from hostmeter_agent.measure.scan import Scanner

log = logging.getLogger("hostmeter_agent")

MOVES_PER_STEP_MAX: Final = 200
_APPLICATION: Final = "user.hostmeter.application"
_MOVES: Final = "user.hostmeter.moves"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")
_NAME_CHARACTERS: Final = 60
_HASH_CHARACTERS: Final = 8
_CONTROLLERS: Final = ("memory", "pids", "io")
_CHILDREN_MAX: Final = 5_000


_NOT_WRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
DROP_IN: Final = (
    "ProtectControlGroups=no, ReadWritePaths=/sys/fs/cgroup and CAP_DAC_OVERRIDE in the unit"
)
"""What the service has not as installed: with it the agent could write any file."""


class OwnCgroupsUnavailable(Exception):
    """The agent can't make cgroups here; the text says why."""


class Move(NamedTuple):
    """A process that was moved: what it and children that it had waited for had used by then in
    µs, and its cgroup and application."""

    pid: int
    start: int
    before_us: int
    children_us: int
    path: str
    application: str

    @property
    def key(self) -> str:
        return f"{self.pid}.{self.start}"


def cgroup_of(application: str) -> str:
    """The path of an application's cgroup."""
    digest = hashlib.sha256(application.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{OURS}/{_UNFIT.sub('_', application)[:_NAME_CHARACTERS]}-{digest}"


def process_clock_us(pid: int) -> int:
    """All that a process has used, threads that have ended included. Raises OSError."""
    # The kernel's number for a process's clock, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime_ns((~pid << 3) | 2) // 1_000


class OwnCgroups:
    """Makes, fills and removes them."""

    def __init__(
        self, proc: ProcFs, files: CgroupFs, clock_us: Callable[[int], int] = process_clock_us
    ) -> None:
        """Raises OwnCgroupsUnavailable."""
        if files.mounts.unified is None:
            raise OwnCgroupsUnavailable("no cgroup2 hierarchy is mounted")
        self._proc = proc
        self._files = files
        self._clock_us = clock_us
        self.root = Path(f"{files.mounts.unified}{OURS}")
        self.owners: dict[str, str] = {}
        self.moves: dict[str, Move] = {}
        """Noted and not yet removed, by key."""
        self._settled: set[tuple[int, int]] = set()
        try:
            self.root.mkdir(exist_ok=True)
            os.setxattr(self.root, _APPLICATION, b"")
        except OSError as error:
            needed = f"; needs {DROP_IN}" if error.errno in _NOT_WRITABLE else ""
            raise OwnCgroupsUnavailable(f"{self.root}: {error.strerror}{needed}") from error
        why = refusal(files.mounts.unified)
        if why:
            raise OwnCgroupsUnavailable(f"{why}; needs {DROP_IN}")
        self._count_all()
        self._find_former()

    def _count_all(self) -> None:
        """Have memory, tasks and I/O counted as well, where the hierarchy can."""
        there = read_file(f"{self.root}/cgroup.controllers") or b""
        for controller in set(_CONTROLLERS) & set(there.decode().split()):
            try:
                (self.root / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError as error:
                log.info("own cgroups do not count %s: %s", controller, error.strerror)

    def _find_former(self) -> None:
        """What an agent before this one has left."""
        for path in self._files.children(OURS):
            folder = self.folder(path)
            try:
                application = os.getxattr(folder, _APPLICATION).decode()
                self.owners[path] = application
                noted = os.getxattr(folder, _MOVES).decode()
            except OSError:
                continue  # without a note nothing was moved here
            for line in noted.splitlines():
                pid, start, before_us, children_us = (int(word) for word in line.split())
                move = Move(pid, start, before_us, children_us, path, application)
                if self._has_arrived(move):
                    self.moves[move.key] = move

    def folder(self, path: str) -> str:
        return f"{self._files.mounts.unified}{path}"

    def _has_arrived(self, move: Move) -> bool:
        """False for one that was noted and, as the agent was ended then, never moved."""
        return os.path.isdir(self._leaf(move)) and not self._is_elsewhere(move)

    def _is_elsewhere(self, move: Move) -> bool:
        try:
            stat = self._proc.stat(move.pid)
            path = self._path(move.pid)
        except (OSError, UnreadableStat):
            return False  # it has ended
        return stat.start == move.start and not path.startswith(move.path + "/")

    def _leaf(self, move: Move) -> str:
        return f"{self.folder(move.path)}/{move.key}"

    def _path(self, pid: int) -> str:
        return paths_by_hierarchy(self._proc.cgroups(pid)).get(UNIFIED, "/")

    def take_in(self, homeless: Iterable[tuple[Stat, str]]) -> list[Move]:
        """Move processes, each with the application that it is; returns what was moved."""
        moved: list[Move] = []
        for stat, application in homeless:
            key = (stat.pid, stat.start)
            if stat.zombie or stat.kernel or key in self._settled:
                continue
            if len(moved) >= MOVES_PER_STEP_MAX:
                break
            self._settled.add(key)
            try:
                move = self._move(stat, application)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
            except OSError as error:
                log.info("process %d stays in its cgroup: %s", stat.pid, error.strerror)
                continue
            if move is not None:
                moved.append(move)
        return moved

    def _move(self, stat: Stat, application: str) -> Move | None:
        """None for a process that is another's to place. Raises OSError."""
        present = self._path(stat.pid)
        if not (present == "/" or is_session(present) or is_ours(present)):
            return None
        path = self._make(application)
        children_us = self._proc.stat(stat.pid).children_cpu_ticks * TICK_US
        before_us = self._clock_us(stat.pid)
        move = Move(stat.pid, stat.start, before_us, children_us, path, application)
        leaf = self._leaf(move)
        os.mkdir(leaf)
        try:
            if not is_ours(present):  # else its former cgroup has counted it
                self._note(move)
            Path(leaf, "cgroup.procs").write_text(str(stat.pid))
        except OSError:
            os.rmdir(leaf)
            self._drop([move.key], path)
            raise
        if move.key in self.moves:
            self._note(move._replace(before_us=self._used_before(move)))
        return move

    def _used_before(self, move: Move) -> int:
        """What the process had used when the kernel began to count it in its new place."""
        try:
            total_us = self._clock_us(move.pid)
        except OSError:
            return move.before_us  # ended already
        counters = self._files.cpu(f"{move.path}/{move.key}")
        inside_us = counters.cpu_us or 0 if counters is not None else 0
        return min(max(total_us - inside_us, move.before_us), total_us)

    def _make(self, application: str) -> str:
        path = cgroup_of(application)
        folder = self.folder(path)
        if self.owners.get(path) != application or not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
            os.setxattr(folder, _APPLICATION, application.encode())
            self.owners[path] = application
        return path

    def _note(self, move: Move) -> None:
        self.moves[move.key] = move
        self._write_notes(move.path)

    def _drop(self, keys: Iterable[str], path: str) -> None:
        for key in keys:
            self.moves.pop(key, None)
        with suppress(FileNotFoundError):  # someone removed the cgroup, and with it its notes
            self._write_notes(path)

    def _write_notes(self, path: str) -> None:
        noted = [move for move in self.moves.values() if move.path == path]
        lines = "\n".join(f"{m.pid} {m.start} {m.before_us} {m.children_us}" for m in noted)
        os.setxattr(self.folder(path), _MOVES, lines.encode())

    def stored(self, booked: Iterable[str], counted_us: Callable[[str], int | None]) -> None:
        """The step that booked these moves is on disk: forget them, and remove what is empty.

        counted_us: what that step has booked of a cgroup.
        """
        gone: dict[str, list[str]] = {}
        for key in booked:
            if key in self.moves:
                gone.setdefault(self.moves[key].path, []).append(key)
        for path, keys in gone.items():
            self._drop(keys, path)
        for path in list(self.owners):
            self._tidy(path, counted_us(path))
        self._settled = {key for key in self._settled if os.path.isdir(f"/proc/{key[0]}")}

    def _tidy(self, path: str, counted_us: int | None) -> None:
        """Remove cgroups without processes; an application's when its final count is stored."""
        folder = self.folder(path)
        for child in self._files.children(path)[:_CHILDREN_MAX]:
            waits = child.rpartition("/")[2] in self.moves
            if not (waits or _is_populated(self.folder(child))):
                _remove(self.folder(child))
        counters = self._files.cpu(path)
        waiting = any(move.path == path for move in self.moves.values())
        if counters is None:
            del self.owners[path]
        elif waiting or _is_populated(folder) or counters.cpu_us != counted_us:
            return
        elif _remove(folder):
            del self.owners[path]


class Moving:
    """Moves what a scanner finds, and keeps its tables in step."""

    def __init__(self, own: OwnCgroups, scanner: Scanner) -> None:
        self.own = own
        self._scanner = scanner
        self.holding = Holding(own.root)
        scanner.adopt(own.owners)

    def recall(self, table: Table) -> None:
        """At the start: what an agent before this one has moved since it stored `table`."""
        for move in self.own.moves.values():
            table.moved[move.pid] = Moved(move.start, move.children_us, 0)

    def take_in(self, table: Table, *, now_s: float, exits: int) -> None:
        """table: what the next differences are taken against; from its move on, a process is
        booked under its cgroup. exits: how many records have come since that table."""
        for move in self.own.take_in(self._scanner.homeless()):
            self._scanner.moved(move.pid, now_s=now_s)
            table.moved[move.pid] = Moved(move.start, move.children_us, exits)
            reading = table.processes.get(move.pid)
            if reading is not None and reading.start == move.start:
                table.processes[move.pid] = replace(
                    reading, application=move.application, cgroup=move.path
                )

    def hold(self, limits: Limits | None) -> None:
        """Have the kernel hold each application that has a cgroup of ours to the limits."""
        self.holding.hold(map(self.own.folder, list(self.own.owners)), limits)

    def book(self, usage: Usage, before: Table, booked: Collection[str]) -> list[str]:
        """Add what moved processes had used before, since it was read in `before`; returns the
        keys of these moves.

        booked: keys of moves that a former step has booked.
        """
        for move in self.own.moves.values():
            if move.key in booked:
                continue
            former = before.processes.get(move.pid)
            known_us = former.cpu_us if former is not None and former.start == move.start else 0
            usage.add_cpu(move.application, max(move.before_us - known_us, 0))
        return list(self.own.moves)

    def stored(self, state: CgroupState) -> None:
        """The step that ends in `state` is on disk."""

        def counted_us(path: str) -> int | None:
            counted = state.booked.get(path)
            return counted.cpu_us if counted is not None else None

        self.own.stored(state.moved, counted_us)


def open_moving(scanner: Scanner) -> Moving | None:
    """Where the agent may make cgroups; else the log says why not, and /proc tells of what has
    none."""
    try:
        return Moving(OwnCgroups(scanner.proc, scanner.tree.files), scanner)
    except OwnCgroupsUnavailable as error:
        log.warning("no own cgroups (%s): applications without one go by /proc", error)
        return None


def refusal(unified: Path) -> str:
    """Why this user may not make cgroups and move processes to them, "" where it may; nothing is
    made."""
    for path in (unified, unified / "cgroup.procs"):
        if not os.access(path, os.W_OK, effective_ids=True):
            read_only = os.statvfs(unified).f_flag & os.ST_RDONLY
            return f"{path} {'is mounted read-only' if read_only else 'may not be written'}"
    return ""


def _is_populated(folder: str) -> bool:
    return b"populated 1" in (read_file(f"{folder}/cgroup.events") or b"")


def _remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except OSError:
        return False  # a process has come, or something else was made in it
    return True
