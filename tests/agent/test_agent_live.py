"""On this machine's own kernel: what a program used is what is delivered, to its last moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import IO

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.opening import open_listener, open_measuring
from hostmeter_agent.running import system_clock
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory

from tests.agent.apart import apart
from tests.agent.loopback import Contract, serving
from tests.agent.test_agent_command import SOURCE, agent, command

RUN = os.getpid()
"""Apart from what another run on this machine starts."""

# Burns a given CPU time.
BURN = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
"""


# Writes, says how many bytes that makes in all, waits for a line; twice.
WRITE = """
import os
sink, total = os.open(os.devnull, os.O_WRONLY), 0
for _ in range(2):
    for _ in range(20):
        total += os.write(sink, bytes(1_000_003))
    line = b"%9d\\n" % (total + 10)
    total += os.write(1, line)
    os.read(0, 10)
"""


# Runs many short programs, says what it and they used, and waits for a line.
STORM = """
import resource, subprocess, sys
for _ in range(500):
    subprocess.run(["/bin/true"])
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(u.ru_utime + u.ru_stime for u in used), flush=True)
sys.stdin.readline()
"""


# Holds 60 MB, forks five children that do nothing, and waits for a line.
FORK = """
import os, signal, sys
held = os.urandom(60 << 20)
children = []
for _ in range(5):
    child = os.fork()
    if not child:
        os.close(1)
        signal.pause()
    children.append(child)
print(flush=True)
sys.stdin.readline()
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


class Run:
    """An enrolled agent that runs beside its server."""

    def __init__(self, folder: Path, url: str, contract: Contract) -> None:
        self.folder, self.url, self.contract = folder, url, contract
        self.state = folder / "state"
        self.config = folder / "agent.toml"
        self.config.write_text("interval_seconds = 1\npush_delay_seconds = 0\n")
        done = agent("enrol", "--server", url, "--token", "token-1", "--state", self.state)
        assert done.returncode == 0, done.stderr
        directory = StateDirectory(self.state)
        spool = Spool(directory.spool)
        identity = spool.identity()
        spool.close()
        assert identity is not None
        key = directory.load_key(identity.epoch)
        contract.public_key = key.public_bytes()
        self.process = self.start()

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command(
                    "run", "--unpinned", "--state", self.state, "--config", self.config, *options
                ),
                env={**os.environ, "PYTHONPATH": str(SOURCE)}, stderr=log,
            )  # fmt: skip

    def restart(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(20)
        self.process = self.start()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)

    def end(self) -> None:
        """However the test went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def cpu_us(self, application: str) -> int:
        found = 0
        for sample in list(self.contract.samples):
            usage = sample["usage"]
            assert isinstance(usage, dict)
            if sample["application"] == application:
                found += usage["cpu.time"]
        return found

    def wait_for(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Until the server has seen it; fails with the agent's log when it never does."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def wait_for_windows_after(self, moment: float) -> None:
        """Until a window that began after `moment` is stored, and so everything before it."""
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment + 1))
        self.wait_for(lambda: any(_start(s) >= text for s in list(self.contract.samples)))


def _start(sample: dict[str, object]) -> str:
    window = sample["window"]
    assert isinstance(window, list)
    return str(window[0])


@contextmanager
def running(folder: Path, contract: Contract) -> Iterator[Run]:
    """An agent beside its server, for as long as the test takes."""
    with serving(contract) as url:
        run = Run(folder, url, contract)
        try:
            yield run
        finally:
            run.end()


def script(folder: Path, name: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(BURN)
    return path


def start_burn(path: Path, seconds: float) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(path), str(seconds)], stdout=subprocess.DEVNULL)


def finish(child: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> float:
    """Wait for a program's end; the CPU seconds that the kernel counted for it."""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return used.ru_utime + used.ru_stime


# Starts a program, says when it ended and what it used, and lives on.
LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
used = os.wait4(child.pid, 0)[2]
print(used.ru_utime + used.ru_stime, flush=True)
sys.stdin.read()
"""


@contextmanager
def launched(path: Path, seconds: float) -> Iterator[Callable[[], float]]:
    """A program that is the only child of its parent; call to wait for its end and CPU seconds."""
    launcher = path.with_name("launcher.py")
    launcher.write_text(LAUNCHER)
    words = [sys.executable, str(launcher), sys.executable, str(path), str(seconds)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout
        yield lambda: float(said.readline())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with running(tmp_path, Contract()) as run:
        run.wait_for(lambda: bool(run.contract.samples))
        yield run


def test_a_program_is_metered_within_one_percent_to_its_end(run: Run, tmp_path: Path) -> None:
    used = finish(start_burn(script(tmp_path, f"burner-one-{RUN}"), 3))
    run.wait_for_windows_after(time.time())
    assert run.cpu_us(f"burner-one-{RUN}") / 1e6 == pytest.approx(used, rel=0.01)
    assert run.stop() == 0


def test_what_a_program_writes_in_its_first_moments_is_metered_to_the_byte(
    tmp_path: Path,
) -> None:
    path = tmp_path / f"writer-one-{RUN}.py"
    path.write_text(WRITE)
    measuring = open_measuring(Config(), instance="here", stored=None, listener=None)
    _commit(measuring)
    # A child of this process would be the agent's own.
    words = apart(sys.executable, str(path), wait=False)
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        measuring.watch(system_clock())
        _say_go_on(child.stdin)
        written = int(child.stdout.readline())
        samples = _commit(measuring)
        _say_go_on(child.stdin)
        assert child.stdout.read() == ""
    samples += _commit(measuring)
    found = [s["usage"] for s in samples if s["application"] == f"writer-one-{RUN}"]
    assert sum(u.get("file.written", 0) for u in found if isinstance(u, dict)) == written


def test_short_lived_children_are_metered_whole_with_exit_records_or_without(
    tmp_path: Path,
) -> None:
    path = tmp_path / f"starter-one-{RUN}.py"
    path.write_text(STORM)
    listener = open_listener()
    measuring = open_measuring(Config(), instance="here", stored=None, listener=listener)
    _commit(measuring)
    words = apart(sys.executable, str(path), wait=False)
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        used = float(child.stdout.readline())
        samples = _commit(measuring)
        _say_go_on(child.stdin)
        assert child.stdout.read() == ""
    if listener is not None:
        listener.close()
    found = [s["usage"] for s in samples if s["application"] == f"starter-one-{RUN}"]
    total_us = sum(u["cpu.time"] for u in found if isinstance(u, dict))
    assert total_us / 1e6 == pytest.approx(used, rel=0.03, abs=0.04)


def test_forked_children_that_share_their_parents_memory_do_not_multiply_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / f"forker-one-{RUN}.py"
    path.write_text(FORK)
    measuring = open_measuring(Config(), instance="here", stored=None, listener=None)
    words = apart(sys.executable, str(path), wait=False)
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        gauges = measuring.measure(system_clock).held.scanned[f"forker-one-{RUN}"]
        _say_go_on(child.stdin)
        assert child.stdout.read() == ""
    assert gauges.processes == 6
    assert gauges.memory_bytes is not None
    assert 60 << 20 <= gauges.memory_bytes <= 120 << 20


def _say_go_on(to: IO[str]) -> None:
    to.write("\n")
    to.flush()


def test_an_agent_killed_again_and_again_loses_and_doubles_nothing(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"burner-two-{RUN}.py"
    # It stays until it is told: what ended while no agent ran was seen by nobody.
    path.write_text(f"{BURN}sys.stdin.readline()\n")
    with subprocess.Popen([sys.executable, str(path), "5"], stdin=PIPE, text=True) as child:
        run.wait_for(lambda: run.cpu_us(f"burner-two-{RUN}") > 0)
        for _ in range(3):
            seen = len(run.contract.samples)
            run.restart(signal.SIGKILL)
            run.wait_for(lambda seen=seen: len(run.contract.samples) > seen)  # type: ignore[misc]
        assert child.stdin is not None
        _say_go_on(child.stdin)
        used = finish(child)
    run.wait_for_windows_after(time.time())
    assert run.cpu_us(f"burner-two-{RUN}") / 1e6 == pytest.approx(used, rel=0.01)


def test_a_program_that_ends_while_the_agent_is_down_is_metered_to_its_end(
    run: Run, tmp_path: Path
) -> None:
    with launched(script(tmp_path, f"burner-three-{RUN}"), 2) as finished:
        run.wait_for(lambda: run.cpu_us(f"burner-three-{RUN}") > 0)
        run.process.kill()
        run.process.wait()
        used = finished()
        run.process = run.start()
        run.wait_for_windows_after(time.time())
    assert run.cpu_us(f"burner-three-{RUN}") / 1e6 == pytest.approx(used, rel=0.02)


def test_without_exit_records_the_parent_tells_the_rest(tmp_path: Path) -> None:
    measuring = open_measuring(Config(), instance="here", stored=None, listener=None)
    measuring.commit(measuring.measure(system_clock))
    with launched(script(tmp_path, f"burner-four-{RUN}"), 1.5) as finished:
        samples: list[Sample] = []
        while not any(s["application"] == f"burner-four-{RUN}" for s in samples):
            samples = _commit(measuring)
        used = finished()
        samples += _commit(measuring)
    found = 0
    for sample in samples:
        if sample["application"] == f"burner-four-{RUN}":
            usage = sample["usage"]
            assert isinstance(usage, dict)
            found += usage["cpu.time"]
    assert found / 1e6 == pytest.approx(used, abs=0.05)


def _commit(measuring: Measuring) -> list[Sample]:
    step = measuring.measure(system_clock)
    measuring.commit(step)
    return step.samples


def test_a_second_agent_on_the_same_state_is_refused_in_one_line(run: Run) -> None:
    done = agent("run", "--state", run.state)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another agent is running" in done.stderr


def test_a_server_that_has_moved_is_delivered_to_at_its_new_address(run: Run) -> None:
    moved = Contract()
    moved.public_key = run.contract.public_key
    run.stop()
    with serving(moved) as url:
        run.process = run.start("--server", url)
        run.wait_for(lambda: bool(moved.samples))
        run.stop()


def test_the_kernels_exit_records_are_exact_or_the_agent_says_that_there_are_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = open_listener()
    if listener is None:
        assert "no exit records" in caplog.text
        return
    child = start_burn(script(tmp_path, f"burner-five-{RUN}"), 0.3)
    used = finish(child)
    exits, lost = listener.drain()
    listener.close()
    found = [e for e in exits if e.pid == child.pid]
    assert not lost
    assert [e.ppid for e in found] == [os.getpid()]
    assert found[0].cpu_us / 1e6 == pytest.approx(used, rel=0.01, abs=0.005)


def test_without_the_right_to_them_the_agent_says_that_there_are_no_exit_records() -> None:
    """Run without CAP_NET_ADMIN: as an ordinary user always, as root by giving it up."""
    code = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 12, 0, 0, 0)"
    code += "; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    probe = "from hostmeter_agent.opening import logging, open_listener; logging.basicConfig()"
    done = subprocess.run(
        [sys.executable, "-c", code, f"{probe}; print(open_listener())"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "None\n"
    assert "no exit records (" in done.stderr
    assert "Operation not permitted" in done.stderr
