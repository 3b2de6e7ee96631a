"""On this machine's own kernel: what a cgroup counted is what its application is metered."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.measure import baseline
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.opening import open_listener, open_measuring

from tests.agent.livecgroups import Cgroups, cgroups, commit, run_in, total

# Runs programs of about 5 ms each, says so, and waits for a line.
SHORT = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.005: pass"
for _ in range(int(sys.argv[1])):
    subprocess.run([sys.executable, "-S", "-E", "-c", burn])
print(flush=True)
sys.stdin.readline()
"""
BURN = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
print(flush=True)
sys.stdin.readline()
while time.process_time() < float(sys.argv[2]):
    pass
"""


@pytest.fixture
def made() -> Iterator[Cgroups]:
    with cgroups() as made:
        yield made


def measuring(stored: bytes | None = None) -> Measuring:
    return open_measuring(Config(), instance="here", stored=stored, listener=None)


def wait_for_line(child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "\n"


def go_on_to_the_end(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("\n")
    child.stdin.close()
    assert child.stdout.read() == ""
    child.wait()
    child.stdout.close()


def burner(made: Cgroups, name: str, first: float, then: float) -> "subprocess.Popen[str]":
    return run_in(made.make(name), [sys.executable, "-c", BURN, str(first), str(then)])


@pytest.mark.parametrize("version", [2, 1])
def test_programs_of_5_ms_are_metered_as_the_kernel_counted_them(version: int) -> None:
    with cgroups(version) as made:
        listener = open_listener()
        meter = open_measuring(Config(), instance="here", stored=None, listener=listener)
        commit(meter)
        child = run_in(made.make("short"), [sys.executable, "-c", SHORT, "150"])
        wait_for_line(child)
        samples = commit(meter)
        counted = made.cpu_us("short")
        go_on_to_the_end(child)
    if listener is not None:
        listener.close()
    assert counted > 150 * 5_000
    assert total(samples, "short") == pytest.approx(counted, rel=0.001)


class TestACgroupThatHasGone:
    def test_is_metered_to_its_last_moment_when_it_is_the_only_one(self, made: Cgroups) -> None:
        meter = measuring()
        commit(meter)
        first = burner(made, "web", 0.05, 0.15)
        second = burner(made, "db", 0.05, 0.1)
        wait_for_line(first)
        wait_for_line(second)
        samples = commit(meter)
        go_on_to_the_end(first)
        counted = made.cpu_us("web")
        (made.folder / "web").rmdir()
        samples += commit(meter)
        go_on_to_the_end(second)
        assert counted >= 145_000  # it used some before it was put there
        assert total(samples, "web") == pytest.approx(counted, abs=5)

    def test_is_metered_to_its_last_moment_by_an_agent_that_was_down_meanwhile(
        self, made: Cgroups
    ) -> None:
        meter = measuring()
        commit(meter)
        child = burner(made, "web", 0.05, 0.15)
        wait_for_line(child)
        samples = commit(meter)
        assert meter.baseline is not None
        stored = baseline.encode(meter.baseline)
        go_on_to_the_end(child)
        counted = made.cpu_us("web")
        (made.folder / "web").rmdir()
        again = [commit(measuring(stored)) for _ in range(2)]
        for part in again:
            assert total(samples + part, "web") == pytest.approx(counted, abs=5)

    def test_is_unattributed_with_another_that_has_gone_too(self, made: Cgroups) -> None:
        meter = measuring()
        commit(meter)
        children = [burner(made, name, 0.03, 0.1) for name in ("web", "db")]
        for child in children:
            wait_for_line(child)
        samples = commit(meter)
        for child in children:
            go_on_to_the_end(child)
        counted = made.cpu_us()
        before = [total(samples, name) for name in ("web", "db")]
        for name in ("web", "db"):
            (made.folder / name).rmdir()
        after = commit(meter)
        assert [total(after, name) for name in ("web", "db")] == [0, 0]
        assert total(after, "unattributed") >= counted - sum(before) - 5
        assert sum(before) + total(after, "unattributed") == pytest.approx(counted, abs=30_000)
