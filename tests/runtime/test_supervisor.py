import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.runtime.failure import CannotRun
from config.runtime.processes import Command
from config.runtime.signals import StopRequested, Waiting
from config.runtime.supervisor import Part, Started, Supervisor, restart_delay_s

SLEEPER = "print('up', flush=True); import time; time.sleep(60)"


def part(
    name: str,
    program: str,
    *arguments: str,
    start_timeout_s: int = 30,
    stop_timeout_s: int = 10,
) -> Part:
    """A part that runs a line of Python and is ready once it has said "up"."""
    return Part(
        name,
        Command([sys.executable, "-c", program, *arguments], dict(os.environ)),
        is_ready=lambda started: started.has_logged(b"up"),
        start_timeout_s=start_timeout_s,
        stop_timeout_s=stop_timeout_s,
    )


class Watching:
    """A supervisor whose announcements are kept; asked to stop after so many of them."""

    def __init__(self, folder: Path) -> None:
        self.waiting = Waiting()
        self.said: list[str] = []
        self.stop_after = 0
        self.supervisor = Supervisor(folder, self.waiting, self.announce)

    def announce(self, line: str) -> None:
        self.said.append(line)
        if len(self.said) == self.stop_after:
            self.waiting.requests += 1

    def watch_for(self, announcements: int) -> None:
        self.stop_after = len(self.said) + announcements
        with pytest.raises(StopRequested):
            self.supervisor.watch()
        self.waiting.accept()

    def pid(self, name: str) -> int:
        pid = self.supervisor.states()[name].pid
        assert pid is not None
        return pid


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in handled}
    watching = Watching(tmp_path)
    watching.waiting.install()
    yield watching
    watching.supervisor.stop()
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return condition()


class TestStart:
    def test_returns_when_every_part_is_ready(self, watching: Watching) -> None:
        watching.supervisor.start([part("web", SLEEPER), part("beat", SLEEPER)])

        assert {p.state for p in watching.supervisor.states().values()} == {"running"}

    def test_says_in_one_line_what_did_not_start_and_why(self, watching: Watching) -> None:
        failing = part("web", "print('first'); print('no such table'); raise SystemExit(3)")

        with pytest.raises(CannotRun) as failure:
            watching.supervisor.start([failing])

        assert str(failure.value) == "web: ended while starting (exit status 3): no such table"

    def test_says_so_when_a_part_is_never_ready(self, watching: Watching) -> None:
        program = "print('still loading', flush=True); import time; time.sleep(60)"
        slow = part("web", program, start_timeout_s=0)

        with pytest.raises(CannotRun, match="web: was not ready within 0 s"):
            watching.supervisor.start([slow])

    def test_names_a_program_that_is_missing(self, watching: Watching) -> None:
        missing = Part("web", Command(["/nowhere/gunicorn"]), is_ready=lambda _started: True)

        with pytest.raises(CannotRun, match=r"web: cannot be started: .*/nowhere/gunicorn"):
            watching.supervisor.start([missing])


class TestRestart:
    def test_a_part_that_dies_comes_back_and_both_are_said(self, watching: Watching) -> None:
        watching.supervisor.start([part("web", SLEEPER)])
        first = watching.pid("web")
        os.kill(first, signal.SIGKILL)

        watching.watch_for(announcements=2)

        assert watching.said == ["web: killed by SIGKILL; restart in 1 s", "web: running again"]
        state = watching.supervisor.states()["web"]
        assert (state.state, state.restarts) == ("running", 1)
        assert state.pid != first

    def test_the_reason_for_a_failure_is_its_last_log_line(self, watching: Watching) -> None:
        program = (
            "print('up', flush=True); import time; time.sleep(.1); raise SystemExit('no disk')"
        )
        watching.supervisor.start([part("web", program)])

        watching.watch_for(announcements=1)

        assert watching.said == ["web: exit status 1; restart in 1 s: no disk"]

    def test_what_a_dead_part_had_started_is_ended(
        self, watching: Watching, tmp_path: Path
    ) -> None:
        program = (
            "import subprocess, sys, time; child = subprocess.Popen(['sleep', '60']);"
            "open(sys.argv[1], 'w').write(str(child.pid)); print('up', flush=True); time.sleep(60)"
        )
        watching.supervisor.start([part("web", program, str(tmp_path / "child"))])
        child = int((tmp_path / "child").read_text())
        os.kill(watching.pid("web"), signal.SIGKILL)

        watching.watch_for(announcements=1)

        assert wait_until(lambda: not is_running(child))

    def test_the_delay_doubles_up_to_a_minute(self) -> None:
        delays = [restart_delay_s(failures) for failures in range(1, 10)]

        assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert restart_delay_s(10_000) == 60

    def test_a_second_failure_in_a_row_waits_longer(self, watching: Watching) -> None:
        watching.supervisor.start([part("web", SLEEPER)])
        os.kill(watching.pid("web"), signal.SIGKILL)
        watching.watch_for(announcements=2)
        os.kill(watching.pid("web"), signal.SIGKILL)

        watching.watch_for(announcements=1)

        assert watching.said[-1] == "web: killed by SIGKILL; restart in 2 s"


NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    open(sys.argv[2], 'a').write(sys.argv[1] + '\\n')
    raise SystemExit
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
time.sleep(60)
"""


class TestStop:
    def test_stops_group_by_group(self, watching: Watching, tmp_path: Path) -> None:
        ends = tmp_path / "ends"
        names = ("postgres", "web", "agent")
        watching.supervisor.start([part(name, NOTES_ITS_END, name, str(ends)) for name in names])

        watching.supervisor.stop((("agent",), ("web",), ("postgres",)))

        assert ends.read_text().split() == ["agent", "web", "postgres"]
        assert {p.state for p in watching.supervisor.states().values()} == {"stopped"}

    def test_kills_what_does_not_stop_in_time(self, watching: Watching) -> None:
        program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
        watching.supervisor.start([part("web", program, stop_timeout_s=0)])
        pid = watching.pid("web")

        watching.supervisor.stop()

        assert not is_running(pid)
        assert watching.said == ["web: did not stop in time, killed"]

    def test_a_second_request_does_not_wait(self, watching: Watching) -> None:
        program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
        watching.supervisor.start([part("web", program, stop_timeout_s=60)])
        pid = watching.pid("web")
        began_at = time.monotonic()
        original = watching.waiting.pause

        def ask_again(seconds: float) -> None:
            watching.waiting.requests += 1
            original(seconds)

        watching.waiting.pause = ask_again  # type: ignore[method-assign]
        watching.supervisor.stop()

        assert not is_running(pid)
        assert time.monotonic() - began_at < 10


SUPERVISE = """
import sys
from pathlib import Path
from tests.runtime.test_supervisor import SLEEPER, part
from config.runtime.signals import Waiting
from config.runtime.supervisor import Supervisor
supervisor = Supervisor(Path(sys.argv[1]), Waiting(), print)
supervisor.start([part('web', SLEEPER)])
print(supervisor.states()['web'].pid, flush=True)
supervisor.watch()
"""


def test_killing_the_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervising:
        assert supervising.stdout is not None
        pid = int(supervising.stdout.readline())
        assert is_running(pid)
        supervising.kill()

    assert wait_until(lambda: not is_running(pid))


class TestCommand:
    def test_a_failed_command_is_told_by_its_last_line(self, watching: Watching) -> None:
        command = Command([sys.executable, "-c", "raise SystemExit('disk full')"], {})

        with pytest.raises(CannotRun) as failure:
            watching.supervisor.run("prepare", command)

        assert str(failure.value) == "prepare: disk full"

    def test_a_stop_ends_a_command_in_progress(self, watching: Watching, tmp_path: Path) -> None:
        program = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()));"
        command = Command([sys.executable, "-c", program + SLEEPER], {})
        watching.supervisor.begin("prepare", command)
        assert wait_until(lambda: (tmp_path / "prepare.log").read_bytes() == b"up\n")

        watching.supervisor.stop()

        assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_started_part_knows_only_its_own_log_lines(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"ready of the run before\n")
    started = Started(pid=1, at=0.0, log=log, log_start=log.stat().st_size)

    assert not started.has_logged(b"ready")
