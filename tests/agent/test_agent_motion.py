"""What did not run is not read again, and what did is, on this machine's own kernel."""

import gc
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.measure.births import Births
from hostmeter_agent.measure.motion import Motion
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.opening import open_scanner

BUSY = "import sys\nfor line in sys.stdin: print(sum(range(200000)), flush=True)"


@contextmanager
def program(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


def until_asleep(pid: int) -> None:
    deadline = time.monotonic() + 20
    while not asleep(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answer(process: "subprocess.Popen[bytes]") -> None:
    """Let it compute for some milliseconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    process.stdout.readline()


class TestMotion:
    def test_tells_who_ran(self) -> None:
        motion = Motion(ProcFs(Path("/proc")))
        with program("python3", "-c", BUSY) as process:
            answer(process)
            until_asleep(process.pid)
            assert motion.may_have_run(process.pid), "it is not followed yet"
            motion.follow(process.pid)
            assert not motion.may_have_run(process.pid)
            answer(process)
            assert motion.may_have_run(process.pid)
            until_asleep(process.pid)
            motion.may_have_run(process.pid)
            assert not motion.may_have_run(process.pid)
        assert motion.may_have_run(process.pid), "it has ended"

    def test_keeps_no_descriptor_of_what_has_gone(self) -> None:
        gc.collect()  # what other tests have given up
        before = len(os.listdir("/proc/self/fd"))
        motion = Motion(ProcFs(Path("/proc")))
        with program("sleep", "60") as one, program("sleep", "60") as other:
            motion.follow(one.pid)
            motion.follow(other.pid)
            motion.keep_only(frozenset([other.pid]))
            motion.forget(other.pid)
            motion.forget(other.pid)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_that_is_given_up_takes_its_descriptors_along(self) -> None:
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        motion = Motion(ProcFs(Path("/proc")))
        motion.follow(os.getpid())
        assert len(os.listdir("/proc/self/fd")) == before + 1
        del motion
        assert len(os.listdir("/proc/self/fd")) == before


class TestScanning:
    def test_an_orphan_that_sleeps_gets_its_new_parent(self) -> None:
        """Its parent's end changes what it shows, though it does not run."""
        scanner, _ = open_scanner(Config())
        script = "sleep 60 & echo $!; read line"
        with program("sh", "-c", script) as shell:
            assert shell.stdout is not None
            child = int(shell.stdout.readline())
            try:
                for now_s in (0, 10, 20):
                    until_asleep(child)
                    table = scanner.scan(now_s=now_s).table
                    assert table.processes[child].ppid == shell.pid
                shell.kill()
                shell.wait()
                assert scanner.scan(now_s=30).table.processes[child].ppid != shell.pid
            finally:
                os.kill(child, signal.SIGKILL)

    def test_one_that_slept_through_is_the_same_reading_and_one_that_ran_is_not(self) -> None:
        scanner, _ = open_scanner(Config())
        with program("python3", "-c", BUSY) as busy, program("sleep", "60") as idle:
            answer(busy)
            for now_s in (0, 10):
                until_asleep(busy.pid)
                until_asleep(idle.pid)
                before = scanner.scan(now_s=now_s).table.processes
            answer(busy)
            after = scanner.scan(now_s=20).table.processes
            assert after[idle.pid] is before[idle.pid]
            assert after[busy.pid].io != before[busy.pid].io

    def test_one_that_does_not_run_is_read_again_after_twenty_minutes(self) -> None:
        scanner, _ = open_scanner(Config())
        with program("sleep", "60") as idle:
            until_asleep(idle.pid)
            for now_s in (0, 10):
                before = scanner.scan(now_s=now_s).table.processes
            assert scanner.scan(now_s=310).table.processes[idle.pid] is before[idle.pid]
            after = scanner.scan(now_s=1_211).table.processes
            assert after[idle.pid] is not before[idle.pid]

    def test_one_that_opened_much_and_sleeps_is_not_taken_for_what_it_was(self) -> None:
        """The kinds of many descriptors are not read at every change of their number."""
        opens = "[open('/dev/null') for _ in range({})]"
        code = (
            f"import sys; few = {opens.format(200)}; print(flush=True); sys.stdin.readline()\n"
            f"more = {opens.format(300)}; print(flush=True); sys.stdin.readline()"
        )
        scanner, _ = open_scanner(Config())
        with program("python3", "-c", code) as process:
            assert process.stdout is not None
            process.stdout.readline()
            before = scanner.scan(now_s=0).table.processes[process.pid].application
            answer(process)
            until_asleep(process.pid)
            devices = []
            for now_s in (5, 10, 40):
                kinds = scanner.scan(now_s=now_s).gauges[before].kinds
                assert kinds is not None
                devices.append(kinds[3])
            assert devices[2] >= devices[0] + 300


class TestBirths:
    def test_finds_processes_and_no_threads(self) -> None:
        proc = ProcFs(Path("/proc"))
        births = Births(proc)
        births.everyone()
        start = "Thread(target=time.sleep, args=(60,)).start()"
        lines = ["import time", "from threading import Thread", *[start] * 3, "print(flush=True)"]
        threads = "\n".join(lines)
        with program("python3", "-c", threads) as process, program("sleep", "60") as other:
            assert process.stdout is not None
            process.stdout.readline()
            tasks = {int(name) for name in os.listdir(f"/proc/{process.pid}/task")}
            stats = [proc.stat(pid) for pid in births.since_last() if Path(f"/proc/{pid}").exists()]
        found = [stat.pid for stat in stats if not stat.thread]
        assert len(tasks) == 4
        assert {process.pid, other.pid} <= set(found)
        assert not (tasks - {process.pid}) & set(found)

    def test_a_tree_without_the_figure_is_listed(self, tmp_path: Path) -> None:
        (tmp_path / "7").mkdir()
        births = Births(ProcFs(tmp_path))
        assert births.everyone() == [7]
        (tmp_path / "9").mkdir()
        assert births.since_last() == [7, 9]


@pytest.mark.parametrize("text", ["", "0 0 0\n"])
def test_a_kernel_that_keeps_no_such_figures_has_every_process_read(
    tmp_path: Path, text: str
) -> None:
    for name in ("self", "7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(text)
    motion = Motion(ProcFs(tmp_path))
    motion.follow(7)
    assert motion.may_have_run(7)
