"""A running agent goes by its server's wishes without a restart, and puts up with a full disk."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.agent import mounts
from tests.agent.loopback import Contract
from tests.agent.test_agent_full_disk import fill
from tests.agent.test_agent_live import RUN, running

PROGRAM = "import time\nwhile True: time.sleep(0.05)\n"


@pytest.fixture
def program() -> Iterator["subprocess.Popen[bytes]"]:
    """Something that a rule can match."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "--queue=wished"])
    yield process
    process.kill()
    process.wait()


def lengths(contract: Contract) -> set[float]:
    """Of the windows that came, in seconds."""
    found = set()
    for sample in list(contract.samples):
        window = sample["window"]
        assert isinstance(window, list)
        found.add(_seconds(window[1]) - _seconds(window[0]))
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_interval_and_rules_are_applied_without_a_restart(
    tmp_path: Path, program: "subprocess.Popen[bytes]"
) -> None:
    contract = Contract(
        desired={
            "schema": 1,
            "scrape_interval_seconds": 2,
            "application": [{"name": "wished", "command": "--queue=wished"}],
        }
    )
    with running(tmp_path, contract) as run:
        run.config.write_text("push_delay_seconds = 0\n")
        run.restart(15)
        run.wait_for(lambda: any(s["application"] == "wished" for s in list(contract.samples)))
        run.wait_for(lambda: 2.0 in lengths(contract))
        assert contract.reports
        assert contract.reports[-1]["refused"] is False
        contract.desired = {"schema": 1, "scrape_interval_seconds": 7}
        pid = run.process.pid
        assert run.process.poll() is None
        # Offline now: the last good wishes hold.
        contract.revoked = {"key-1"}
        run.restart(9)
        assert run.process.pid != pid
        contract.revoked = set()
        before = len(contract.samples)
        run.wait_for(
            lambda: any(
                s["application"] == "wished" and s["coverage"] == 1
                for s in list(contract.samples)[before:]
            )
        )
        assert run.stop() == 0


def test_a_full_disk_ends_no_agent_and_loses_no_usage(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounts.tmpfs(disk, "size=8m"), running(disk, Contract()) as run:
        program = tmp_path / f"burner-{RUN}.py"
        program.write_text("while True: pass\n")
        burn = subprocess.Popen([sys.executable, program])
        try:
            run.wait_for(lambda: run.cpu_us(f"burner-{RUN}") > 0)
            ballast = fill(disk)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                assert run.process.poll() is None
                time.sleep(0.1)
            ballast.unlink()
            burned_us = _cpu_us(burn.pid)
            run.wait_for(lambda: run.cpu_us(f"burner-{RUN}") >= burned_us)
        finally:
            burn.kill()
            burn.wait()
        assert run.stop() == 0


def _cpu_us(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")
