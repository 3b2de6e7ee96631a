"""Lines of access logs become transactions and present principals."""

import errno
import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostmeter_agent.config import parse_config
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words import following
from hostmeter_agent.words.access_log import AccessLogProbe
from hostmeter_agent.words.config import AccessLog
from hostmeter_agent.words.lines import LINE_BYTES_MAX, Piece, read_lines
from hostmeter_agent.words.log_format import LineReader, seconds_of

NOON = 1_795_521_600  # 2026-11-24 12:00 UTC


def combined(path: str = "/", *, status: int = 200, user: str = "-", second: int = 0) -> str:
    time = f"24/Nov/2026:12:{second // 60:02}:{second % 60:02} +0000"
    return f'::1 - {user} [{time}] "GET {path} HTTP/1.1" {status} 5 "-" "wrk"'


def rule(folder: Path, **keys: object) -> AccessLog:
    """A rule for access.log in a folder, through the configuration's own parser."""
    given = {"application": "shop", "path": f"{folder}/access.log", "format": "combined", **keys}
    lines = [f"{key} = {_toml(value)}" for key, value in given.items()]
    words = parse_config(folder / "agent.toml", "\n".join(["[[access_log]]", *lines])).words
    assert words is not None
    return words.access_logs[0]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)


def failing_the_second_time() -> Callable[..., Piece]:
    """A disk that breaks off after the first of several files."""
    calls = []

    def read(*args: Any, **kwargs: Any) -> Piece:
        calls.append(args)
        if len(calls) > 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_lines(*args, **kwargs)

    return read


class Host:
    """An agent with one log, whose time is set by hand."""

    def __init__(self, folder: Path, *rules: AccessLog) -> None:
        self.path = folder / "access.log"
        self.rules = rules
        self.now_s = NOON
        self.state: object = None
        self.start()

    def start(self) -> None:
        self.probe = AccessLogProbe(self.rules, clock=lambda: self.now_s)

    def restart(self) -> None:
        self.probe.close()
        self.start()

    def renumber(self, *, device: int, inode: int = 0) -> None:
        """What is on the agent's disk of files whose numbers are others now."""
        state: Any = self.state
        for log in state["logs"].values():
            for row in [*log["files"], *log["known"]]:
                row[0], row[1] = row[0] + device, row[1] + inode * 1_000_003

    def write(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def scan(self, *, after_s: int = 10, stored: bool = True) -> Readings:
        self.now_s += after_s
        readings = self.probe.read(Scan(), self.state, elapsed_ms=after_s * 1_000)
        if stored:
            self.state = json.loads(json.dumps(readings.state))
            self.probe.stored()
        return readings


def how(readings: Readings, meter: str = "transactions") -> Measured:
    return readings.measured["shop"][meter]


class TestLines:
    @pytest.mark.parametrize(
        ("line", "field", "value"),
        [
            (combined("/a b", user="ann lee"), "remote_user", "ann lee"),
            (combined("/x?y=1", status=404), "path", "/x?y=1"),
            (combined(), "method", "GET"),
            (combined(), "protocol", "HTTP/1.1"),
            ('10.0.0.1 - - [24/Nov/2026:12:00:00 +0000] "" 400 -', "path", ""),
            (r'a - - [t] "GET /\"x\" HTTP/1.1" 200 1 "r" "u" 0.003', "path", r"/\"x\""),
            (r'a - - [t] "\x16\x03" 400 0 "r" "u"', "status", "400"),
        ],
    )
    def test_of_the_combined_format_and_its_relatives_are_read(
        self, tmp_path: Path, line: str, field: str, value: str
    ) -> None:
        wanted = {field: f"^{re.escape(value)}$"}
        entry = LineReader(rule(tmp_path, where=wanted)).entry(line.encode())
        assert entry is not None
        assert entry.counts

    @pytest.mark.parametrize("line", ["", "hello", 'a - - [t] "GET /" 2000 1', "\x00" * 40, "{}"])
    def test_in_no_known_form_are_none(self, tmp_path: Path, line: str) -> None:
        assert LineReader(rule(tmp_path)).entry(line.encode()) is None

    def test_in_json_have_their_own_fields(self, tmp_path: Path) -> None:
        reader = LineReader(
            rule(tmp_path, format="json", user="session.user", time="ts", where={"code": "^2"})
        )
        line = {"ts": "2026-11-24T13:00:05+01:00", "code": 200, "session": {"user": "ann"}}
        entry = reader.entry(json.dumps(line).encode())
        assert entry is not None
        assert (entry.counts, entry.user, entry.at_s) == (True, "ann", NOON + 5)
        assert reader.entry(b"[1]") is None
        assert reader.entry(b"[" * 60_000) is None
        refused = reader.entry(b'{"code": 500}')
        assert refused is not None
        assert not refused.counts

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("24/Nov/2026:13:00:00 +0100", NOON), ("2026-11-24T12:00:00Z", NOON),
            ("1795521600.123", NOON), ("1795521600123", NOON),
            ("2026-11-24T12:00:00", None), ("soon", None), ("", None),
        ],
    )  # fmt: skip
    def test_bear_times(self, text: str, seconds: int | None) -> None:
        assert seconds_of(text) == seconds


class TestTransactions:
    @pytest.mark.parametrize("moved", [{"device": 1}, {"device": 1, "inode": 5}])
    def test_are_counted_once_where_the_files_have_other_numbers_after_a_reboot(
        self, tmp_path: Path, moved: dict[str, int]
    ) -> None:
        """Devices are numbered as they are found, files of some file systems as well."""
        host = Host(tmp_path, rule(tmp_path))
        host.write(*[combined()] * 4)
        host.path.rename(tmp_path / "access.log.1")
        host.write(*[combined(second=n) for n in range(7)])
        host.scan()
        host.write(combined())
        assert host.scan().counters["shop"]["transactions"] == 1
        host.renumber(**moved)
        host.restart()
        host.write(*[combined()] * 2)
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 2
        assert readings.marks.get("shop", set()) == set()
        assert host.scan().counters["shop"]["transactions"] == 0

    def test_of_a_log_that_breaks_off_in_the_middle_are_counted_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        host.write(*[combined()] * 2)
        host.path.rename(tmp_path / "access.log.1")
        host.write(*[combined()] * 3)
        with monkeypatch.context() as patched:
            patched.setattr(following, "read_lines", failing_the_second_time())
            found = host.scan().counters.get("shop", {}).get("transactions", 0)
        assert found + host.scan().counters["shop"]["transactions"] == 5

    def test_are_the_lines_since_the_last_stored_scan(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, version=7))
        host.write(*[combined()] * 5)
        first = host.scan()
        assert "shop" not in first.counters
        assert how(first) == Measured("unavailable", "access-log/1.7")
        host.write(combined(), combined(status=500))
        assert host.scan(stored=False).counters["shop"]["transactions"] == 2
        host.write(combined())
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 3
        assert how(readings) == Measured("exact", "access-log/1.7")
        host.restart()
        assert host.scan().counters["shop"]["transactions"] == 0

    def test_can_be_told_from_other_lines(self, tmp_path: Path) -> None:
        wanted = rule(tmp_path, where={"status": "^[23]"}, unless={"path": "^/health"})
        host = Host(tmp_path, wanted)
        host.write(combined())
        host.scan()
        host.write(combined("/a"), combined("/b", status=404), combined("/healthz"))
        readings = host.scan()
        assert readings.counters["shop"] == {"transactions": 1}
        assert how(readings).quality == "exact"

    def test_say_how_many_lines_could_not_be_read(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        host.write("secret words", combined(), "x" * (LINE_BYTES_MAX + 1), "y" * 900_000)
        readings = host.scan()
        assert readings.counters["shop"] == {"transactions": 1, "access_log.unparsed": 3}
        assert readings.marks["shop"] == {"unparsed-lines"}
        assert how(readings).quality == "lower_bound"
        assert "3 lines are not in the format combined" in caplog.text
        assert "secret" not in caplog.text
        host.write(combined())
        assert host.scan().counters["shop"] == {"transactions": 1}

    def test_come_later_when_there_were_too_many_for_one_scan(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, bytes_per_scan=1 << 16))
        host.write(combined())
        host.scan()
        host.write(*[combined(f"/{number:0>9990}") for number in range(100)])
        found, behind = 0, []
        for _ in range(5):
            readings = host.scan()
            found += readings.counters["shop"]["transactions"]
            behind.append((how(readings).quality, readings.marks.get("shop", set())))
        assert found == 100
        assert behind[0] == ("lower_bound", {"log-behind"})
        assert behind[-1] == ("exact", set())

    def test_of_a_log_that_is_not_there_are_unavailable_until_it_is(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.scan()
        readings = host.scan()
        assert "shop" not in readings.counters
        assert how(readings).quality == "unavailable"
        assert readings.marks["shop"] == {"log-missing"}
        host.write(combined(), combined())
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 2
        assert how(readings).quality == "exact"

    def test_of_a_log_that_may_not_be_read_come_when_it_may(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        host.restart()
        host.write(combined())
        opening = os.open

        def denied(path: str, flags: int) -> int:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(os, "open", denied)
        assert how(host.scan()).quality == "unavailable"
        monkeypatch.setattr(os, "open", opening)
        assert host.scan().counters["shop"]["transactions"] == 1

    def test_of_all_files_that_match_count_and_compressed_ones_never(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, path=f"{tmp_path}/*.log"))
        host.write(combined())
        host.scan()
        (tmp_path / "other.log").write_text(combined() + "\n")
        (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(combined().encode()))
        host.write(combined())
        assert host.scan().counters["shop"]["transactions"] == 2

    def test_written_into_a_deleted_file_count_while_the_agent_runs(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        with host.path.open("a") as old:
            host.path.unlink()
            old.write(combined() + "\n")
            old.flush()
            assert host.scan().counters["shop"]["transactions"] == 1
            old.write(combined() + "\n")
        host.write(combined())
        readings = host.scan()
        assert readings.counters["shop"]["transactions"] == 2
        assert how(readings).quality == "exact"

    def test_that_were_deleted_while_no_agent_ran_are_marked(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path))
        host.write(combined())
        host.scan()
        host.restart()
        host.write(combined())
        host.path.rename(tmp_path / "kept")  # so that its number is not used again
        os.link(tmp_path / "kept", tmp_path.parent / f"{tmp_path.name}-kept")
        (tmp_path / "kept").unlink()
        host.write(combined())
        total, marks = 0, set()
        for _ in range(2):
            readings = host.scan()
            total += readings.counters["shop"]["transactions"]
            marks |= readings.marks.get("shop", set())
        assert (total, marks) == (1, {"log-lost"})
        assert how(readings).quality == "lower_bound"


class TestPrincipals:
    def test_are_present_for_a_while_after_each_line(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, user="remote_user", active_seconds=30))
        host.write(combined())
        host.scan(after_s=0)
        host.write(combined(user="ann", second=1), combined(user="bob", second=2))
        host.write(combined(user="ann", second=9), combined(second=9))
        readings = host.scan()
        assert readings.gauges["shop"]["users.concurrent"] == 2
        assert readings.maxima["shop"]["users.concurrent"] == 2
        assert how(readings, "users.concurrent") == Measured("lower_bound", "principals/1")
        host.write(combined(user="cay", second=33))
        readings = host.scan(after_s=25)  # 35 s: bob left at 32, cay came at 33
        assert readings.gauges["shop"]["users.concurrent"] == 2
        assert readings.maxima["shop"]["users.concurrent"] == 2
        assert how(readings, "users.concurrent") == Measured("exact", "principals/1")
        readings = host.scan(after_s=40)
        assert readings.gauges["shop"]["users.concurrent"] == 0
        assert readings.maxima["shop"]["users.concurrent"] == 2

    def test_peak_within_a_window_that_ends_empty(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, user="remote_user", active_seconds=3))
        host.write(combined())
        host.scan(after_s=0)
        host.write(*[combined(user=f"u{n}", second=n % 2) for n in range(20)])
        readings = host.scan(after_s=10)
        assert readings.gauges["shop"]["users.concurrent"] == 0
        assert readings.maxima["shop"]["users.concurrent"] == 20

    def test_outlive_a_restart_and_stay_hashed(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, user="remote_user"))
        host.write(combined())
        host.scan(after_s=0)
        host.write(combined(user="ann.lee", second=1))
        host.scan()
        assert "ann" not in json.dumps(host.state)
        host.restart()
        host.write(combined(user="ann.lee", second=11), combined(user="bob", second=12))
        assert host.scan().gauges["shop"]["users.concurrent"] == 2

    def test_of_several_logs_of_one_application_are_counted_once(self, tmp_path: Path) -> None:
        logs = ("access.log", "other.log")
        rules = [rule(tmp_path, user="remote_user", path=f"{tmp_path}/{name}") for name in logs]
        host = Host(tmp_path, *rules)
        for name in logs:
            (tmp_path / name).touch()
        host.scan(after_s=0)
        for name in logs:
            (tmp_path / name).write_text(combined(user="ann", second=1) + "\n")
        readings = host.scan()
        assert readings.gauges["shop"]["users.concurrent"] == 1
        assert readings.counters["shop"]["transactions"] == 2

    def test_can_be_had_without_transactions(self, tmp_path: Path) -> None:
        host = Host(tmp_path, rule(tmp_path, user="remote_addr", transactions=False))
        host.write(combined())
        host.scan(after_s=0)
        host.write(combined(second=3))
        readings = host.scan()
        assert readings.gauges["shop"]["users.concurrent"] == 1
        assert "shop" not in readings.counters
        assert "transactions" not in readings.measured["shop"]
        assert host.probe.claims == {"shop": {"users.concurrent"}}
