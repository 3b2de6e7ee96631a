"""A state directory that is set back while the machine runs on counts nothing twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostmeter_agent.measure.baseline import Baseline, encode
from hostmeter_agent.measure.readings import Table
from hostmeter_agent.store.life import Mark, runtime_directory

from tests.agent.loopback import Contract
from tests.agent.test_agent_live import RUN, running

PROGRAM = """
while True: pass
"""


def stored(at_boot_ms: int, boot_id: str = "boot-1") -> bytes:
    return encode(Baseline(boot_id, at_boot_ms, at_boot_ms, Table()))


class TestMark:
    def test_of_a_later_baseline_is_gone_on_from(self, tmp_path: Path) -> None:
        mark = Mark.of("epoch", tmp_path / "run")
        assert mark.newer(None) is None
        assert mark.newer(stored(5)) == stored(5)
        mark.set(stored(9))
        assert mark.newer(stored(5)) == stored(9)
        assert (tmp_path / "run" / "baseline-epoch").stat().st_mode & 0o777 == 0o600

    def test_of_an_earlier_one_or_another_boot_or_enrolment_says_nothing(
        self, tmp_path: Path
    ) -> None:
        mark = Mark.of("epoch", tmp_path)
        mark.set(stored(9))
        assert mark.newer(stored(9)) == stored(9)
        assert mark.newer(stored(12)) == stored(12)
        assert mark.newer(stored(5, "boot-2")) == stored(5, "boot-2")
        assert Mark.of("other", tmp_path).newer(stored(5)) == stored(5)

    def test_that_is_broken_or_cannot_be_written_is_done_without(self, tmp_path: Path) -> None:
        mark = Mark.of("epoch", tmp_path)
        (tmp_path / "baseline-epoch").write_bytes(b"{")
        assert mark.newer(stored(5)) == stored(5)
        (tmp_path / "file").write_text("")
        Mark.of("epoch", tmp_path / "file").set(stored(5))

    def test_lies_where_systemd_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/one:/run/two")
        assert runtime_directory() == Path("/run/one")


def copied(state: Path, to: Path) -> None:
    """As a backup is made: without the file systems that are mounted in the directory."""
    shutil.copytree(state, to, ignore=shutil.ignore_patterns("bpf"), dirs_exist_ok=True)


def empty(state: Path) -> None:
    for path in state.iterdir():
        if path.is_file():
            path.unlink()
        elif not path.is_mount():
            shutil.rmtree(path)


def test_a_restored_backup_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    program = tmp_path / f"burner-{RUN}.py"
    program.write_text(PROGRAM)
    with running(tmp_path, Contract()) as run:
        burn = subprocess.Popen([sys.executable, program])
        try:
            run.wait_for(lambda: run.cpu_us(f"burner-{RUN}") > 100_000)
            assert run.stop() == 0
            copied(run.state, tmp_path / "backup")
            before_us = run.cpu_us(f"burner-{RUN}")
            run.process = run.start()
            run.wait_for(lambda: run.cpu_us(f"burner-{RUN}") > before_us + 500_000)
            burn.send_signal(signal.SIGSTOP)
            assert run.stop() == 0
            empty(run.state)
            copied(tmp_path / "backup", run.state)
            run.process = run.start()
            run.wait_for_windows_after(time.time())
            fields = Path(f"/proc/{burn.pid}/stat").read_text().rpartition(")")[2].split()
            used_us = (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")
            # What was measured last may have been lost with the state; nothing is there twice.
            assert before_us + 500_000 < run.cpu_us(f"burner-{RUN}") <= used_us
            assert run.stop() == 0
        finally:
            burn.kill()
            burn.wait()
        assert "the state directory was set back" in (tmp_path / "log").read_text()
