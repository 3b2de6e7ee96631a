"""The command line, as an operator meets it: each failure one line, no traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hostmeter_agent.config import ConfigInvalid, parse_config
from hostmeter_agent.measure.discovery import AGENT, KERNEL, OTHER, Discovery
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.measure.readings import UNATTRIBUTED
from hostmeter_agent.measure.windows import shares, split
from hostmeter_agent.store.spool import Spool
from hostmeter_agent.store.state import StateDirectory, StateUnusable
from hostmeter_agent.wire_control import RESERVED_NAMES
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.loopback import Contract, serving

SOURCE = Path(__file__).parents[2] / "agent" / "src"


def command(*words: str | Path) -> Sequence[str | Path]:
    return [sys.executable, "-m", "hostmeter_agent", *words]


def agent(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip


class TestFailures:
    @pytest.mark.parametrize(
        ("server", "reason"),
        [
            ("not a url", "is not an http:// or https:// URL"),
            ("ftp://meter.example", "is not an http:// or https:// URL"),
            ("http://meter.example:port", "is not a URL"),
            ("http://127.0.0.1:9", "Connection refused"),
        ],
    )
    def test_a_server_that_cannot_be_used(self, tmp_path: Path, server: str, reason: str) -> None:
        done = agent("enrol", "--server", server, "--token", "t", "--state", tmp_path / "s")
        assert done.returncode == 1
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_state_that_is_not_enrolled(self, tmp_path: Path) -> None:
        done = agent("run", "--state", tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is not enrolled" in done.stderr
        shown = agent("status", "--json", "--state", tmp_path)
        assert json.loads(shown.stdout) == {"enrolled": False, "running": False}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "No such file"),
            ("\n", "one token"),
            ("a b", "one token"),
            ("\udcff", "not text"),
            ("a\nb", "one token"),
            ("\0" * 10_000, "one token"),
        ],
    )
    def test_a_token_file_without_a_token(
        self, tmp_path: Path, content: str | None, reason: str
    ) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_text(content, encoding="utf-8", errors="surrogateescape")
        done = agent(
            "enrol", "--server", "http://127.0.0.1:9", "--token-file", file, "--state", tmp_path
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{file}: " in done.stderr
        assert reason in done.stderr

    def test_a_configuration_without_an_end(self) -> None:
        done = agent("once", "--dry-run", "--config", "/dev/zero")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "larger than 1000000 bytes" in done.stderr

    def test_a_state_that_is_no_directory_to_attach_for(self, tmp_path: Path) -> None:
        file = tmp_path / "state"
        file.touch()
        done = agent("attach", "--state", file)
        assert (done.returncode, done.stderr) == (1, f"hostmeter-agent: {file}: is no directory\n")

    @pytest.mark.parametrize(
        "text",
        [
            "births_seconds = " + "9" * 5_000,
            "births_seconds = " + "[" * 5_000,
            '[[application]]\nname = "a"\ncommand = "a{99999999999999999999}"',
            '[[access_log]]\napplication = "a"\npath = "/a"\nformat = "regex"\n'
            'pattern = "a{99999999999999999999}"',
        ],
        ids=["digits", "brackets", "command", "pattern"],
    )
    def test_a_configuration_that_is_too_much_for_python(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "agent.toml"
        file.write_text(text)
        done = agent("once", "--dry-run", "--config", file)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"hostmeter-agent: {file}")

    def test_a_broken_configuration_file(self, tmp_path: Path) -> None:
        file = tmp_path / "agent.toml"
        file.write_text("interval_seconds = ten\n")
        done = agent("once", "--dry-run", "--config", file)
        assert done.returncode == 1
        assert done.stderr.startswith(f"hostmeter-agent: {file}, line 1: interval_seconds: ")
        assert done.stderr.count("\n") == 1


def test_a_token_comes_from_a_file_or_standard_input_as_well(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token-1\n")
    for place, (word, typed) in enumerate([(str(file), None), ("-", "token-1\n")]):
        with serving(Contract()) as url:
            done = subprocess.run(
                command("enrol", "--server", url, "--token-file", word,
                        "--state", tmp_path / str(place)),
                input=typed, capture_output=True, text=True, timeout=60, check=False,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )  # fmt: skip
        assert done.stdout.startswith("enrolled as "), done.stderr


def test_the_oldest_pending_sample_is_shown_as_a_date(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")
    spool.record([{}], b"{}", at=1_767_268_800.25)
    spool.close()
    shown = agent("status", "--state", tmp_path).stdout
    assert "oldest pending at: 2026-01-01T12:00:00.250Z\n" in shown


def test_looking_at_a_state_does_not_take_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert not state.is_held()
    with state.held():
        assert state.is_held()
        with pytest.raises(StateUnusable), state.held():
            pass
        assert state.is_held()
    assert not state.is_held()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fcntl.flock", None)
        assert not state.is_held()


def test_the_names_that_are_reserved_are_those_that_the_agent_makes_up() -> None:
    assert {AGENT, KERNEL, OTHER, UNATTRIBUTED} == RESERVED_NAMES


def test_a_rule_for_a_user_that_the_host_does_not_have_is_told(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    rules = "".join(f"[[application]]\nname='{u}'\nuser='{u}'\n" for u in ("root", "nemo", "70"))
    Discovery(ProcFs(tmp_path), parse_config(Path("a.toml"), rules), 1)
    assert [r.getMessage() for r in caplog.records] == [
        "rule 'nemo': this host has no user 'nemo' (yet)"
    ]


def test_a_dry_run_prints_the_batch_and_no_command_line() -> None:
    secret = "hide-this-word"
    command = [sys.executable, "-c", "import time; time.sleep(60)", secret]
    with subprocess.Popen(command) as other:
        done = agent("once", "--dry-run")
        assert other.poll() is None
        other.kill()
    body = json.loads(done.stdout)
    assert set(body) == {"schema", "epoch", "sequence", "sent_at", "measurements", "samples"}
    assert "hostmeter-agent" in {s["application"] for s in body["samples"]}
    assert secret not in done.stdout


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("\nintervall = 5\n", "a.toml, line 2: intervall is not known"),
            ("interval_seconds = 7\n", "line 1: interval_seconds must divide 300 seconds"),
            ("push_delay_seconds = 31\n", "line 1: push_delay_seconds must be a whole number"),
            ("births_seconds = true\n", "line 1: births_seconds must be a whole number"),
            ("[[application]]\nprocess = 'x'\n", "line 1: [[application]] 1: name is missing"),
            (
                "[[application]]\nname='a'\nuser='u'\n\n[[application]]\nname='b'\ncommand='('\n",
                "line 7: [[application]] 2: command is not a regular expression",
            ),
            ("[[application]]\nname='a'\n", "line 2: [[application]] 1: name needs process"),
            (
                "[[application]]\nuser='u'\nname='other'\n",
                "line 3: [[application]] 1: name must not",
            ),
            ("[[application]]\nuser='u'\nname='kernel'\n", "the agent itself uses that name"),
            ("[aliases]\nx = 'unattributed'\n", "line 1: aliases must not be 'unattributed'"),
            ("application = 3\n", "line 1: application must be written as [[application]]"),
            ("x = [\n", "a.toml, line "),
        ],
    )
    def test_a_mistake_is_named_by_file_line_and_key(self, text: str, complaint: str) -> None:
        with pytest.raises(ConfigInvalid) as caught:
            parse_config(Path("a.toml"), text)
        assert complaint in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_every_key_is_taken(self) -> None:
        config = parse_config(
            Path("a.toml"),
            'interval_seconds = 5\nenvironment = "production"\n[aliases]\nrubyd = "shop"\n'
            '[[application]]\nname = "a"\nuser = "www"\n',
        )
        assert (config.interval_seconds, config.environment) == (5, "production")
        assert config.aliases == {"rubyd": "shop"}
        assert config.rules[0].user == "www"


class TestWindows:
    @given(st.integers(0, 2**62), st.lists(st.integers(1, 10**6), min_size=1, max_size=300))
    def test_parts_are_whole_and_sum_exactly(self, total: int, weights: list[int]) -> None:
        parts = shares(total, weights)
        assert sum(parts) == total
        assert min(parts) >= 0

    @given(st.integers(0, 2**41), st.integers(1, 10**8))
    def test_windows_follow_on_each_other_inside_their_buckets(
        self, start_ms: int, length_ms: int
    ) -> None:
        windows = split(start_ms, start_ms + length_ms)
        assert windows[-1].end_ms == start_ms + length_ms
        assert windows[0].start_ms == start_ms or len(windows) == 288
        for window in windows:
            assert 0 < window.length_ms <= 300_000
            assert window.start_ms // 300_000 == (window.end_ms - 1) // 300_000
        for former, latter in pairwise(windows):
            assert former.end_ms == latter.start_ms
