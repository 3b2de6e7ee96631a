"""What programs open is counted by kind, for each application, or the agent says why not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.kernel.launches import LaunchesProbe
from hostmeter_agent.kernel.opens import (
    METERS,
    Counts,
    OpenCounter,
    OpensProbe,
    OpensUnavailable,
    open_opens,
)
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.readings import Reading
from hostmeter_agent.measure.scan import Gauges, Scan
from hostmeter_agent.opening import kernel_probes, open_scanner

from tests import needs
from tests.agent.apart import apart
from tests.agent.test_agent_command import SOURCE

RUN = os.getpid()
"""Apart from what another run on this machine starts."""

# Opens a known number of each kind, says so, and waits for a line; then the same again.
OPENER = """
import os, select, socket, sys
print(flush=True)
sys.stdin.readline()
for _ in range(1_000):
    os.close(os.open(sys.argv[0], os.O_RDONLY))
for _ in range(300):
    os.close(os.open("/dev/null", os.O_RDONLY))
    os.close(os.open("/dev/shm/.", os.O_RDONLY))
    try:
        os.open("/no/such/file", os.O_RDONLY)
    except FileNotFoundError:
        pass
for _ in range(70):
    for end in socket.socketpair():
        end.close()
    for end in os.pipe():
        os.close(end)
    os.close(os.dup(0))
    select.epoll().close()
print(flush=True)
sys.stdin.readline()
"""


class OnPaper(OpenCounter):
    """Stands in for the kernel."""

    def __init__(self) -> None:
        self.table: dict[int, Counts] = {}
        self.missed = 0
        self.forgotten: list[int] = []

    def counts(self) -> dict[int, Counts]:
        return dict(self.table)

    def unlisted(self) -> int:
        return self.missed

    def forget(self, process: int) -> None:
        del self.table[process]
        self.forgotten.append(process)

    def close(self) -> None:
        pass


class Told:
    """A probe beside tables of who is who and who is there."""

    def __init__(self) -> None:
        self.kernel = OnPaper()
        self.known: dict[int, str] = {}
        self.there: set[int] = set()
        self.probe = OpensProbe(self.kernel, self.known.get, self.there.__contains__)

    def read(self, alive: dict[int, str]) -> Readings:
        scan = Scan()
        for pid, name in alive.items():
            scan.table.processes[pid] = Reading(pid, 5, 1, name, 0, 0, 0, 0, 1, None)
            scan.gauges[name] = Gauges()
        self.there |= set(alive)
        return self.probe.read(scan, None, elapsed_ms=1_000)

    def store(self, alive: dict[int, str]) -> dict[str, int]:
        readings = self.read(alive)
        self.probe.stored()
        return {name: meters["resources.opened"] for name, meters in readings.counters.items()}


class TestCounting:
    def test_what_was_opened_since_the_last_step_counts_once_for_its_application(self) -> None:
        told = Told()
        told.kernel.table = {10: (5, 0, 0, 1, 0), 11: (1, 1, 0, 0, 0)}
        assert told.store({10: "shop", 11: "shop", 12: "cron"}) == {"shop": 8, "cron": 0}
        told.kernel.table[10] = (6, 0, 0, 1, 0)
        assert told.store({10: "shop", 11: "shop"}) == {"shop": 1}

    def test_a_step_that_could_not_be_stored_is_part_of_the_next(self) -> None:
        told = Told()
        told.kernel.table = {10: (5, 0, 0, 0, 0)}
        told.read({10: "shop"})
        told.kernel.table = {10: (7, 0, 0, 0, 0)}
        assert told.store({10: "shop"}) == {"shop": 7}

    def test_a_process_that_has_ended_counts_to_its_end_and_is_then_forgotten(self) -> None:
        told = Told()
        told.kernel.table = {10: (5, 0, 0, 0, 0)}
        told.store({10: "shop"})
        told.there.clear()
        told.kernel.table = {10: (9, 0, 0, 0, 0)}
        assert told.store({}) == {"shop": 4}
        assert told.kernel.forgotten == [10]

    def test_one_that_long_opened_nothing_ends_as_what_it_last_was(self) -> None:
        told = Told()
        told.kernel.table = {10: (5, 0, 0, 0, 0)}
        told.store({10: "bash"})
        assert told.store({10: "shop"}) == {"shop": 0}
        told.kernel.table = {10: (9, 0, 0, 0, 0)}
        told.read({})
        assert told.store({}) == {"shop": 4}

    def test_one_that_no_scan_has_seen_is_its_launchs_or_unattributed(self) -> None:
        told = Told()
        told.known[10] = "shop"
        told.kernel.table = {10: (5, 0, 0, 0, 0), 11: (2, 0, 0, 0, 0)}
        assert told.store({}) == {"shop": 5, "unattributed": 2}

    def test_the_count_is_a_lower_bound_at_first_and_where_there_was_no_room(self) -> None:
        told = Told()
        qualities = []
        for missed in (0, 0, 3, 3):
            told.kernel.missed = missed
            qualities.append({how.quality for how in told.read({}).default.values()})
            told.probe.stored()
        assert qualities == [{"lower_bound"}, {"exact"}, {"lower_bound"}, {"exact"}]


def test_what_a_program_opens_on_this_kernel_is_counted_exactly_or_said_not_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scanner, _ = open_scanner(Config())
    probe = open_opens(scanner.application_of)
    if not isinstance(probe, OpensProbe):
        assert "opened resources are not counted: " in caplog.text
        return
    path = tmp_path / f"opener-one-{RUN}.py"
    path.write_text(OPENER)
    words = apart(sys.executable, str(path))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        probe.read(scanner.scan(now_s=1), None, elapsed_ms=0)
        probe.stored()
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        readings = probe.read(scanner.scan(now_s=2), None, elapsed_ms=1_000)
        child.communicate(b"\n")
    probe.close()
    counted = readings.counters[f"opener-one-{RUN}"]
    assert [counted[meter] for meter in METERS] == [1_950, 1_300, 140, 140, 300, 70]
    assert readings.default["resources.opened"].quality == "exact"


def test_without_the_right_to_it_the_agent_says_that_opens_are_not_counted() -> None:
    """Run with no capability but CAP_NET_ADMIN and CAP_BPF: what a hardened unit gives."""
    code = "import ctypes, os, sys; drop = ctypes.CDLL(None).prctl"
    code += "; [drop(24, n, 0, 0, 0) for n in range(41) if n not in (12, 39)]"
    code += "; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    probe = "import logging; logging.basicConfig()"
    probe += "; from hostmeter_agent.kernel.opens import open_opens; p = open_opens(lambda _: None)"
    probe += "; print(p.read(None, None, elapsed_ms=0).default['resources.opened'].quality)"
    done = subprocess.run(
        [sys.executable, "-c", code, probe],
        env={**os.environ, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "unavailable\n"
    assert "opened resources are not counted: CAP_BPF and CAP_PERFMON are needed" in done.stderr


def test_an_object_that_is_no_program_is_told_apart(tmp_path: Path) -> None:
    broken = tmp_path / "opens.bpf.o"
    broken.write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(OpensUnavailable, match="eBPF object"):
        OpenCounter(broken)


def test_the_object_that_is_shipped_is_what_its_source_builds(tmp_path: Path) -> None:
    needs.bpf_compiler(14)
    made = tmp_path / "opens.bpf.o"
    subprocess.run(["sh", SOURCE.parent / "bpf" / "build", made, "opens"], check=True)
    assert made.read_bytes() == (SOURCE / "hostmeter_agent/kernel/bpf/opens.bpf.o").read_bytes()


@pytest.fixture
def probes() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_what_short_programs_open_is_their_launchs_application(
    tmp_path: Path, probes: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """Each opens a device 10 times and ends long before the next scan."""
    path = tmp_path / f"opener-two-{RUN}.py"
    path.write_text(
        "import os, sys\nsys.stdin.readline()\nfor _ in range(50):\n    if not os.fork():\n"
        "        for _ in range(10): os.open('/dev/null', 0)\n        os._exit(0)\n    os.wait()\n"
        "print(flush=True)\nsys.stdin.readline()\n"
    )
    config = Config()
    scanner, _ = open_scanner(config)
    openers = kernel_probes(config, scanner, None)
    launches, opens = openers["launches"](), openers["opens"]()
    probes.callback(launches.close)
    probes.callback(opens.close)
    if not isinstance(launches, LaunchesProbe) or not isinstance(opens, OpensProbe):
        assert "are not counted: " in caplog.text or "no process starts (" in caplog.text
        return
    words = apart(sys.executable, str(path))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        scan = scanner.scan(now_s=1)
        launched = launches.read(scan, None, elapsed_ms=1_000)
        opened = opens.read(scan, None, elapsed_ms=1_000)
        child.communicate(b"\n")
    assert launched.counters[f"opener-two-{RUN}"]["launches"] == 51
    assert opened.counters[f"opener-two-{RUN}"]["resources.opened.device"] >= 500
