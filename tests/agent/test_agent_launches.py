"""Process starts: every one counts once, for what it became."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.kernel.launches import (
    Fork,
    ForkListener,
    LaunchesProbe,
    open_launches,
    parse_fork,
)
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.readings import Reading
from hostmeter_agent.measure.scan import Gauges, Scan
from hostmeter_agent.opening import open_measuring, open_scanner
from hostmeter_agent.running import system_clock

from tests.agent.apart import apart
from tests.agent.hosttime import probing
from tests.agent.livecgroups import commit, total

RUN = os.getpid()
"""Apart from what another run on this machine starts."""

# Runs /bin/true again and again, says so, and waits for a line.
STARTER = """
import os, sys
for _ in range(int(sys.argv[1])):
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
print(flush=True)
sys.stdin.readline()
"""
# Forks processes that end at once, and starts as many threads, which are no launches.
FORKER = """
import os, sys, threading
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
print(flush=True)
sys.stdin.readline()
"""
# Starts processes as fast as can be: each ends at once, as there is nothing to execute.
BURST = """
import os, sys
for _ in range(int(sys.argv[1])):
    try:
        os.posix_spawn("/no/such/program", ["none"], {})
    except FileNotFoundError:
        pass
print(flush=True)
sys.stdin.readline()
"""


class OnPaper(ForkListener):
    """Stands in for the kernel."""

    def __init__(self) -> None:
        self.forks: list[Fork] = []
        self.lost = False

    def drain(self) -> tuple[list[Fork], bool]:
        forks, self.forks = self.forks, []
        return forks, self.lost

    def close(self) -> None:
        pass


class Told:
    """A probe beside a table of who is who."""

    def __init__(self) -> None:
        self.kernel = OnPaper()
        self.known: dict[int, str] = {1: "init"}
        self.probe = LaunchesProbe(self.kernel, self.known.get)

    def begin(self, *forks: tuple[int, int]) -> None:
        self.kernel.forks += [Fork(*fork) for fork in forks]

    def read(self, alive: dict[int, str]) -> Readings:
        scan = Scan()
        for pid, name in alive.items():
            scan.table.processes[pid] = Reading(pid, 5, 1, name, 0, 0, 0, 0, 1, None)
            scan.gauges[name] = Gauges()
        return self.probe.read(scan, None, elapsed_ms=1_000)

    def store(self, alive: dict[int, str]) -> dict[str, int]:
        readings = self.read(alive)
        self.probe.stored()
        return {name: meters["launches"] for name, meters in readings.counters.items()}


class TestCounting:
    def test_a_process_counts_for_what_it_became(self) -> None:
        told = Told()
        told.begin((10, 1))
        told.known[10] = "bash"
        told.probe.watch()
        assert told.store({1: "init", 10: "ffmpeg"}) == {"init": 0, "ffmpeg": 1}

    def test_one_that_nobody_saw_counts_for_its_parent_whether_that_lives_or_not(self) -> None:
        told = Told()
        told.store({10: "shop"})
        told.begin((900_000_011, 10), (900_000_012, 900_000_011), (900_000_013, 77_000_000))
        assert told.store({}) == {"shop": 2, "unattributed": 1}

    def test_one_that_executed_another_program_before_it_ended_counts_for_that(self) -> None:
        told = Told()
        told.begin((900_000_011, 1))
        told.known[900_000_011] = "bash"
        told.probe.watch()
        told.known[900_000_011] = "ffmpeg"
        told.probe.watch()
        assert told.store({}) == {"ffmpeg": 1}

    def test_one_that_began_during_the_scan_counts_in_the_next_window_for_what_it_became(
        self,
    ) -> None:
        told = Told()
        told.begin((os.getpid(), 1))  # alive, and not in the table
        assert told.store({1: "init"}) == {"init": 0}
        assert told.store({1: "init", os.getpid(): "cron"}) == {"init": 0, "cron": 1}

    def test_a_number_that_is_used_again_counts_again(self) -> None:
        told = Told()
        told.begin((900_000_011, 1), (900_000_011, 1))
        assert told.store({}) == {"init": 2}

    def test_a_step_that_could_not_be_stored_is_part_of_the_next(self) -> None:
        told = Told()
        told.begin((900_000_011, 1))
        told.read({1: "init"})
        told.begin((900_000_012, 1))
        assert told.store({1: "init"}) == {"init": 2}
        assert told.store({1: "init"}) == {"init": 0}

    def test_the_count_is_a_lower_bound_when_the_kernel_had_no_room_and_after_a_restart(
        self,
    ) -> None:
        told = Told()
        assert told.read({}).default["launches"].quality == "lower_bound"
        told.probe.stored()
        assert told.read({}).default["launches"].quality == "exact"
        told.kernel.lost = True
        told.probe.watch()
        told.kernel.lost = False
        assert told.read({}).default["launches"].quality == "lower_bound"
        told.probe.stored()
        assert told.read({}).default["launches"].quality == "exact"


def test_a_message_that_is_cut_short_or_of_another_event_is_no_launch() -> None:
    fork = bytes(36) + b"\1\0\0\0" + bytes(12)
    fork += b"".join(n.to_bytes(4, "little") for n in (7, 7, 8, 8))
    assert parse_fork(fork, len(fork)) == Fork(8, 7)
    assert parse_fork(fork, len(fork) - 1) is None
    assert parse_fork(bytes(36) + b"\2" + fork[37:], len(fork)) is None


@contextmanager
def metering_launches() -> Iterator[Measuring | None]:
    """This machine's, with what the kernel tells of process starts; None where it does not."""
    measuring = open_measuring(Config(), instance="here", stored=None, listener=None)
    probe = open_launches(measuring.scanner.application_of)
    measuring.probing = probing([probe])
    try:
        commit(measuring)
        yield measuring if isinstance(probe, LaunchesProbe) else None
    finally:
        probe.close()


def started(folder: Path, code: str, count: int) -> "subprocess.Popen[str]":
    """A program that has done what it does `count` times and waits to be told to end."""
    path = folder / f"launcher-one-{RUN}.py"
    path.write_text(code)
    words = apart(sys.executable, str(path), str(count))
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [STARTER, FORKER], ids=["programs", "forks beside threads"])
def test_2000_starts_are_counted_to_the_last_or_said_not_to_be(
    tmp_path: Path, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with metering_launches() as measuring, started(tmp_path, code, 2_000) as child:
        assert child.stdout is not None
        if measuring is None:
            assert "no process starts (" in caplog.text
            child.communicate("\n")
            return
        measuring.watch(system_clock())
        assert child.stdout.readline() == "\n"
        samples = commit(measuring)
        assert total(samples, f"launcher-one-{RUN}", "launches") == 2_001
        assert child.communicate("\n")[0] == ""
        assert total(commit(measuring), f"launcher-one-{RUN}", "launches") == 0


def test_10000_starts_at_once_cost_the_agent_little_and_none_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scanner, _ = open_scanner(Config())
    probe = open_launches(scanner.application_of)
    if not isinstance(probe, LaunchesProbe):
        assert "no process starts (" in caplog.text
        return
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with started(tmp_path, BURST, 10_000) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "\n"
        began = time.process_time_ns()
        probe.watch()
        cost_ms = (time.process_time_ns() - began) // 1_000_000
        readings = probe.read(Scan(), None, elapsed_ms=1_000)
        child.communicate("\n")
    probe.close()
    counted = sum(meters["launches"] for meters in readings.counters.values())
    assert counted >= 10_000
    # Beside what the starts themselves took, which says how fast the machine is.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"10,000 starts: {cost_ms} ms of the agent's, {seconds:.1f} s of their own")
    assert cost_ms < 1_000 * seconds / 4
