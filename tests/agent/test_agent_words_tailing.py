"""Whatever happens to a log's files between two scans, each line is counted once."""

import gzip
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostmeter_agent.words.following import COPIED, LOST, TRUNCATED, Follower
from hostmeter_agent.words.log_state import LogState, decode_log
from hypothesis import given, settings
from hypothesis import strategies as st


class Writer:
    """An application that logs, and what administrators do to its log."""

    def __init__(self, folder: Path, kept: int) -> None:
        self._kept = kept
        self.path = folder / "access.log"
        self.folder = folder
        self.written: list[bytes] = []
        self._partial = b""
        self._saved = 0
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, lines: int = 3) -> None:
        self.end_the_line()
        for _ in range(lines):
            line = b"line %d of the log" % len(self.written)
            self.written.append(line)
            os.write(self._file, line + b"\n")

    def begin_a_line(self) -> None:
        if not self._partial:
            self._partial = b"line %d of the log" % len(self.written)
            self.written.append(self._partial)
            os.write(self._file, self._partial[:7])
        else:
            self.end_the_line()

    def end_the_line(self) -> None:
        if self._partial:
            os.write(self._file, self._partial[7:] + b"\n")
            self._partial = b""

    def reopen(self) -> None:
        self.end_the_line()
        os.close(self._file)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _shift(self) -> None:
        (self.folder / f"access.log.{self._kept}").unlink(missing_ok=True)
        for number in range(self._kept - 1, 0, -1):
            old = self.folder / f"access.log.{number}"
            if old.exists():
                old.rename(self.folder / f"access.log.{number + 1}")

    def rename(self) -> None:
        """Rotate; the application writes on into the old file until it reopens."""
        if self.path.exists():
            self._shift()
            self.path.rename(self.folder / "access.log.1")

    def rename_and_create(self) -> None:
        self.rename()
        self.path.touch()

    def rotate(self) -> None:
        self.rename()
        self.reopen()

    def copy_and_truncate(self) -> None:
        self.reopen()
        self._shift()
        (self.folder / "access.log.1").write_bytes(self.path.read_bytes())
        os.truncate(self.path, 0)

    def copy(self) -> None:
        """A copy to keep, or the first half of copytruncate."""
        self.reopen()
        self._shift()
        (self.folder / "access.log.1").write_bytes(self.path.read_bytes())

    def compress(self) -> None:
        for number in range(self._kept, 0, -1):
            old = self.folder / f"access.log.{number}"
            if old.exists():
                old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(old.read_bytes()))
                old.unlink()
                return

    def truncate(self) -> None:
        self.reopen()
        os.truncate(self.path, 0)

    def recreate(self) -> None:
        self.path.unlink(missing_ok=True)
        self.reopen()

    def move_away(self) -> None:
        if self.path.exists():
            self._saved += 1
            self.path.rename(self.folder / f"saved-{self._saved}")
        self.reopen()

    def close(self) -> None:
        os.close(self._file)

    @property
    def writes_into_nowhere(self) -> bool:
        return os.fstat(self._file).st_nlink == 0

    def victim(self, action: str) -> Path | None:
        """The file that an action destroys, or gives a name by which nobody knows it."""
        if action in ("truncate", "recreate", "move_away"):
            return self.path
        if action == "compress":
            numbers = [
                n for n in range(1, self._kept + 1) if (self.folder / f"access.log.{n}").exists()
            ]
            return self.folder / f"access.log.{numbers[-1]}" if numbers else None
        return self.folder / f"access.log.{self._kept}" if action in SHIFTING else None


class Agent:
    """Follows the log as the agent does: a state is gone on from only when it was stored."""

    def __init__(self, folder: Path, budget: int = 1 << 20) -> None:
        self._folder, self._budget = folder, budget
        self._follower = Follower(str(folder / "*.log"), budget)
        self.state: LogState | None = None
        self.counted: list[bytes] = []
        self.marks: set[str] = set()

    def scan(self) -> None:
        found = self._read()
        self._follower.stored()
        self.counted += found

    def scan_that_cannot_be_stored(self) -> None:
        state, marks = self.state, set(self.marks)
        self._read()
        self.state, self.marks = state, marks

    def _read(self) -> list[bytes]:
        found: list[bytes] = []
        step = self._follower.read(self.state, found.extend, elapsed_ms=10_000)
        self.marks |= step.marks
        self.state = decode_log(json.loads(json.dumps(step.state.encode())))
        return found

    def has_seen(self, path: Path) -> bool:
        """Whether a stored scan has seen something in a file."""
        status = path.stat()
        files = self.state.files if self.state is not None else []
        seen = {file.identity for file in files if file.seen}
        return (status.st_dev, status.st_ino) in seen

    def restart(self) -> None:
        self._follower.close()
        self._follower = Follower(str(self._folder / "*.log"), self._budget)

    def close(self) -> None:
        self._follower.close()


SHIFTING = ("rename", "rename_and_create", "rotate", "copy_and_truncate", "copy")
HARMLESS = ("append", "begin_a_line", "reopen", "move_away", *SHIFTING)
SCANS = ("scan", "scan_that_cannot_be_stored", "restart")
EMPTYING = ("truncate", "copy_and_truncate")
DESTROYING = ("truncate", "recreate", "compress")


@dataclass
class Outcome:
    """Lines after the first scan. unseen: they were in a file that was destroyed before any scan
    saw something in it."""

    written: Counter[bytes]
    counted: Counter[bytes]
    unseen: Counter[bytes]
    marks: set[str]


class Calendar:
    """Makes a folder's changes look old, so that one without a change is known as such."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._day, self._last_ns = folder, 0, 0

    def settle(self) -> None:
        if self._folder.stat().st_mtime_ns != self._last_ns:
            self._day += 1
            self._last_ns = self._day * 86_400 * 10**9
            os.utime(self._folder, ns=(self._last_ns, self._last_ns))


def play(actions: list[str], *, kept: int, settled: bool) -> Outcome:
    unseen: Counter[bytes] = Counter()
    anew = False  # the log was emptied since the last scan, so none has seen what it holds now
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer, agent, calendar = Writer(folder, kept), Agent(folder), Calendar(folder)
        writer.append()
        agent.scan()
        before = len(writer.written)
        try:
            for action in actions:
                victim = writer.victim(action)
                if victim is not None and victim.exists():
                    writer.end_the_line()
                    seen = agent.has_seen(victim) and not (anew and victim == writer.path)
                    lines = [] if seen else victim.read_bytes().splitlines()
                    unseen.update(lines)
                anew = (anew or action in EMPTYING) and action != "scan"
                if action in ("append", "begin_a_line") and writer.writes_into_nowhere:
                    writer.reopen()
                actor: object = agent if action in SCANS else writer
                act: Callable[[], None] = getattr(actor, action)
                if settled:
                    calendar.settle()
                act()
            writer.end_the_line()
            for _ in range(3):
                if settled:
                    calendar.settle()
                agent.scan()
        finally:
            writer.close()
            agent.close()
        written = Counter(writer.written[before:])
        return Outcome(written, Counter(agent.counted), unseen, agent.marks)


def leaves_a_trace(actions: list[str]) -> bool:
    """Whether a scan comes before a file that none has seen gets a name that is not its log's."""
    seen = there = True
    for action in actions:
        if action == "scan":
            seen = there
        elif action in ("rename", "rename_and_create", "rotate", "move_away"):
            if action == "move_away" and there and not seen:
                return False
            seen, there = False, action != "rename"
        elif action in ("reopen", "copy", "copy_and_truncate"):
            there = True
    return True


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from((*HARMLESS, *SCANS, "append", "scan")), max_size=25).filter(
        leaves_a_trace
    ),
    st.booleans(),
)
def test_every_line_is_counted_once_through_any_rotation_restart_and_failed_store(
    actions: list[str], settled: bool
) -> None:
    outcome = play(actions, kept=30, settled=settled)
    assert outcome.counted == outcome.written
    assert outcome.marks <= {COPIED}


def check_that_loss_is_marked(actions: list[str], *, settled: bool) -> None:
    outcome = play(actions, kept=3, settled=settled)
    assert not outcome.counted - outcome.written
    if outcome.written - outcome.counted - outcome.unseen:
        # A copy that is older than the emptying looks the same as copytruncate.
        assert outcome.marks & {LOST, TRUNCATED, COPIED}


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from((*HARMLESS, *SCANS, *DESTROYING, "append")), max_size=25),
    st.booleans(),
)
def test_what_was_destroyed_before_it_was_read_is_marked_and_nothing_counts_twice(
    actions: list[str], settled: bool
) -> None:
    check_that_loss_is_marked(actions, settled=settled)


@pytest.mark.parametrize(
    "actions",
    [
        "move_away append copy",
        "move_away append copy append scan truncate",
        "copy_and_truncate recreate restart",
        "recreate append scan restart copy_and_truncate",
        "recreate append restart copy",
        "copy append recreate restart",
        "move_away scan rename_and_create rename copy_and_truncate restart append copy",
        "move_away rotate begin_a_line scan truncate",
        "move_away begin_a_line scan truncate append",
        "move_away begin_a_line scan truncate append copy_and_truncate",
        "move_away begin_a_line scan restart truncate move_away",
        "recreate restart append scan copy recreate rename_and_create rename"
        " scan_that_cannot_be_stored recreate rename_and_create scan copy rename",
    ],
)
def test_what_was_hard_to_tell_once_is_told(actions: str) -> None:
    """Numbers used again, copies beside their originals, logs emptied within their first line."""
    for settled in (False, True):
        check_that_loss_is_marked(actions.split(), settled=settled)
