"""What intercepted programs counted arrives once, as their application's."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostmeter_agent.interception import intercept_pages
from hostmeter_agent.interception.intercept import InterceptProbe
from hostmeter_agent.interception.intercept_pages import Page, UnreadablePage, parse
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.proc import ProcFs

from tests import needs
from tests.agent.fakehost import FakeHost, Process
from tests.agent.interception import environment, open_to_all, read_pages
from tests.agent.pages import PaperPage

EXACT = Measured("exact", "intercept/1")
LOWER_BOUND = Measured("lower_bound", "intercept/1")
NOBODY = 65_534


def refuse_to_open(directory: str, name: str, *, whole: bool = False) -> Page:
    raise OSError(errno.ENFILE, os.strerror(errno.ENFILE), name)


@dataclass
class Host:
    """A host on paper and the probe on it; `state` is what the agent has on its disk."""

    paper: FakeHost
    pages: Path
    state: object = None
    probe: InterceptProbe = field(init=False)

    def __post_init__(self) -> None:
        self.restart()
        self.scanner = self.paper.scanner()

    def restart(self) -> None:
        """A new agent, on the state of the former."""
        self.state = json.loads(json.dumps(self.state))
        self.probe = InterceptProbe(ProcFs(self.paper.proc), self.pages)

    def begin(self, page: PaperPage, name: str = "app", ppid: int = 1) -> None:
        self.paper.put(Process(page.pid, name, (name,), f"/bin/{name}", ppid, start=page.start))
        page.write(self.pages)

    def read(self) -> Readings:
        """Measure, and fail to store it."""
        scan = self.scanner.scan(now_s=1)
        return self.probe.read(scan, self.state, elapsed_ms=10_000)

    def step(self) -> Readings:
        readings = self.read()
        self.state = json.loads(json.dumps(readings.state))
        self.probe.stored()
        return readings

    def opened(self, application: str = "app") -> int:
        return self.step().counters.get(application, {}).get("resources.opened", 0)


@pytest.fixture(name="host")
def host_on_paper(tmp_path: Path) -> Host:
    (tmp_path / "pages").mkdir()
    host = Host(FakeHost(tmp_path), tmp_path / "pages")
    host.step()
    return host


def give_away(page: Path) -> None:
    """To another user."""
    needs.root()
    os.chown(page, NOBODY, NOBODY)


class TestAProgramsCounts:
    def test_are_booked_once_by_kind(self, host: Host) -> None:
        page = PaperPage(10, opened={"file": 3, "socket": 1, "network": 2}, received=70, sent=500)
        host.begin(page)
        assert host.step().counters == {
            "app": {
                "resources.opened": 6, "resources.opened.file": 3, "resources.opened.socket": 3,
                "resources.opened.pipe": 0, "resources.opened.device": 0,
                "resources.opened.other": 0, "network.received": 70, "network.sent": 500,
            }
        }  # fmt: skip
        assert host.opened() == 0
        page.opened["file"] = 4
        page.write(host.pages)
        assert host.opened() == 1

    def test_from_before_the_first_scan_ever_are_not_metered(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        host.state = None
        assert host.opened() == 0
        assert host.opened() == 0

    def test_of_all_its_processes_are_summed(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        host.begin(PaperPage(11, opened={"pipe": 4}))
        assert host.opened() == 7

    def test_are_kept_for_the_next_step_when_one_could_not_be_stored(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        assert host.read().counters == host.read().counters
        assert host.opened() == 3

    def test_go_on_over_a_restart_of_the_agent(self, host: Host) -> None:
        page = PaperPage(10, opened={"file": 3})
        host.begin(page)
        host.step()
        host.restart()
        page.opened["file"] = 5
        page.write(host.pages)
        assert host.opened() == 2

    def test_are_not_counted_anew_after_a_time_in_which_they_could_not_be_read(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = PaperPage(10, opened={"file": 3})
        host.begin(page)
        assert host.opened() == 3
        with monkeypatch.context() as patched:
            patched.setattr(intercept_pages, "read", refuse_to_open)
            assert host.opened() == 0
        page.opened["file"] = 5
        page.write(host.pages)
        assert host.opened() == 2

    def test_are_not_counted_anew_where_there_are_more_pages_than_can_be_read(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for pid in (10, 11):
            host.begin(PaperPage(pid, opened={"file": 3}))
        found = host.opened()
        for name in ("10-1000", "11-1000", "10-1000"):
            with monkeypatch.context() as patched:
                listed = [name], False
                patched.setattr(intercept_pages, "names", lambda _, listed=listed: listed)
                found += host.opened()
        assert found + host.opened() == 6

    def test_are_not_counted_anew_when_the_program_has_changed_its_user(self, host: Host) -> None:
        page = PaperPage(10, opened={"file": 3})
        host.begin(page)
        for path in (host.pages / page.name, host.paper.proc / "10"):
            os.chown(path, NOBODY, NOBODY)
        assert host.opened() == 3
        host.restart()
        os.chown(host.paper.proc / "10", NOBODY - 1, NOBODY)
        assert host.opened() == 0
        host.paper.end(10)
        assert not any(counted["resources.opened"] for counted in host.step().counters.values())

    def test_that_go_backwards_are_a_new_baseline_and_marked(self, host: Host) -> None:
        page = PaperPage(10, opened={"file": 3})
        host.begin(page)
        host.step()
        page.opened["file"] = 1
        page.write(host.pages)
        readings = host.step()
        assert readings.counters["app"]["resources.opened"] == 0
        assert readings.marks == {"app": {"counter-reset"}}
        page.opened["file"] = 2
        page.write(host.pages)
        assert host.opened() == 1


class TestAProgramThatHasEnded:
    def test_has_its_last_counts_booked_and_its_page_removed(self, host: Host) -> None:
        page = PaperPage(10, opened={"file": 3})
        host.begin(page)
        host.step()
        page.opened["file"] = 8
        page.write(host.pages)
        host.paper.end(10)
        assert host.opened() == 5
        assert list(host.pages.iterdir()) == []
        assert host.opened() == 0
        assert host.state == {"pages": {}, "partial": [], "uncounted": []}

    def test_is_not_counted_twice_when_the_agent_dies_before_the_removal(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        host.paper.end(10)
        host.state = host.read().state
        host.restart()
        assert host.opened("unattributed") == 0
        assert list(host.pages.iterdir()) == []

    def test_keeps_its_page_until_its_counts_are_stored(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        host.paper.end(10)
        host.read()
        assert [file.name for file in host.pages.iterdir()] == ["10-1000"]

    def test_is_its_parents_when_no_scan_saw_it(self, host: Host) -> None:
        host.begin(PaperPage(10), "shop")
        host.begin(PaperPage(11, parent=10, opened={"file": 1}), ppid=10)
        host.begin(PaperPage(12, parent=11, opened={"file": 2}), ppid=11)
        for pid in (11, 12):
            host.paper.end(pid)
        assert host.opened("shop") == 3

    def test_is_its_services_when_its_parent_is_init(self, host: Host) -> None:
        cgroup = b"0::/system.slice/backup.service\n"
        PaperPage(11, opened={"file": 2}, cgroup=cgroup).write(host.pages)
        assert host.opened("backup" if os.geteuid() == 0 else "unattributed") == 2

    def test_is_unattributed_when_nothing_tells(self, host: Host) -> None:
        PaperPage(11, parent=99, opened={"file": 2}).write(host.pages)
        assert host.opened("unattributed") == 2

    def test_is_unattributed_when_another_user_names_the_parent(self, host: Host) -> None:
        host.begin(PaperPage(10), "shop")
        PaperPage(11, parent=10, opened={"file": 2}).write(host.pages)
        give_away(host.pages / "11-1000")
        assert host.opened("unattributed") == 2

    def test_frees_its_number_for_another(self, host: Host) -> None:
        host.begin(PaperPage(10, opened={"file": 3}), "shop")
        host.step()
        host.paper.end(10)
        host.begin(PaperPage(10, start=2000, opened={"file": 4}), "blog")
        assert host.step().counters["blog"]["resources.opened"] == 4
        assert [file.name for file in host.pages.iterdir()] == ["10-2000"]


class TestQuality:
    def test_is_exact_when_every_process_has_a_page(self, host: Host) -> None:
        host.begin(PaperPage(10))
        measured = host.step().measured["app"]
        assert set(measured.values()) == {EXACT}
        assert {"resources.opened", "resources.opened.other", "network.sent"} < set(measured)

    def test_is_a_lower_bound_when_one_has_none_or_had_none(self, host: Host) -> None:
        host.begin(PaperPage(10))
        host.paper.put(Process(11, "app", ("app",), "/bin/app"))
        assert set(host.step().measured["app"].values()) == {LOWER_BOUND}
        host.paper.end(11)
        assert set(host.step().measured["app"].values()) == {LOWER_BOUND}
        assert set(host.step().measured["app"].values()) == {EXACT}

    def test_of_the_network_is_a_lower_bound_where_bytes_may_be_uncounted(self, host: Host) -> None:
        host.begin(PaperPage(10, flags=1))
        measured = host.step().measured["app"]
        assert measured["network.received"] == LOWER_BOUND
        assert measured["resources.opened"] == EXACT

    def test_is_unavailable_for_all_other_programs(self, host: Host) -> None:
        host.paper.put(Process(11, "plain", ("plain",), "/bin/plain"))
        readings = host.step()
        assert "plain" not in readings.counters
        assert {how.quality for how in readings.default.values()} == {"unavailable"}


class TestAPageThatIsNone:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(bytes(4096)),
            lambda path: path.write_bytes(path.read_bytes() + b"x"),
            lambda path: [path.unlink(), *map(os.mkfifo, [path])],
            lambda path: (path.unlink(), path.mkdir()),
            lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
            lambda path: path.write_bytes(
                path.read_bytes().replace(b"\x0a\0\0\0", b"\x0b\0\0\0", 1)
            ),
            give_away,
        ],
        ids=[
            "empty",
            "zeros",
            "longer",
            "fifo",
            "directory",
            "link",
            "other-process",
            "other-user",
        ],
    )
    def test_counts_for_nothing_and_is_said(
        self, host: Host, caplog: pytest.LogCaptureFixture, spoil: object
    ) -> None:
        host.begin(PaperPage(10, opened={"file": 3}))
        assert callable(spoil)
        spoil(host.pages / "10-1000")
        readings = host.step()
        assert readings.counters == {}
        assert len(caplog.messages) == 1
        assert "page" in caplog.text

    def test_is_ignored_in_another_pid_namespace(
        self, host: Host, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.begin(PaperPage(10, opened={"file": 3}, namespace=5))
        assert host.step().counters == {}
        assert "another pid namespace" in caplog.text

    def test_of_another_version_is_refused(self, tmp_path: Path) -> None:
        page = PaperPage(10, version=2)
        page.write(tmp_path)
        with pytest.raises(UnreadablePage, match="version 1"):
            parse((tmp_path / page.name).read_bytes(), owner=0)

    def test_is_not_looked_at_under_another_name(self, host: Host) -> None:
        (host.pages / "notes").write_text("not a page")
        assert host.step().counters == {}


class TestTheDirectory:
    def test_is_made_so_that_every_user_can_add_and_none_can_list(self, tmp_path: Path) -> None:
        InterceptProbe(ProcFs(Path("/proc")), tmp_path / "run/intercept")
        assert (tmp_path / "run/intercept").stat().st_mode & 0o7777 == 0o1733

    def test_that_cannot_be_made_is_said_and_nothing_is_measured(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        probe = InterceptProbe(ProcFs(Path("/proc")), tmp_path / "file/intercept")
        readings = probe.read(FakeHost(tmp_path).scanner().scan(now_s=1), None, elapsed_ms=0)
        assert readings.counters == {}
        assert "no program can be intercepted: Not a directory" in caplog.text


PROGRAM = """
import os, socket, sys
ours, theirs = socket.create_server(("127.0.0.1", 0)), socket.socket()
theirs.connect(ours.getsockname())
accepted = ours.accept()[0]
for _ in range(5):
    theirs.sendall(b"x" * 1000)
    accepted.recv(1000, socket.MSG_WAITALL)
print(flush=True)
sys.stdin.read(1)
for _ in range(10):
    os.close(os.open("/dev/null", os.O_RDONLY))
"""


class TestOnThisMachine:
    def test_what_a_program_did_is_metered_to_its_end(self, tmp_path: Path) -> None:
        with open_to_all(0o1733) as pages:
            probe, paper = InterceptProbe(ProcFs(Path("/proc")), pages), FakeHost(tmp_path)
            # The program runs on this machine; the scan that names it is on paper.
            state = probe.read(paper.scanner().scan(now_s=1), None, elapsed_ms=0).state
            running = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", PROGRAM],
                env=environment(pages), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            with running:
                assert running.stdout is not None
                assert running.stdin is not None
                assert running.stdout.readline() == b"\n"
                page = read_pages(pages)[0].page
                paper.put(Process(page.pid, "shop", ("shop",), "/bin/shop", start=page.start))
                scan = paper.scanner().scan(now_s=2)
                middle = probe.read(scan, state, elapsed_ms=1_000)
                running.stdin.write(b"x")
            paper.end(page.pid)
            last = probe.read(paper.scanner().scan(now_s=3), middle.state, elapsed_ms=1_000)
            probe.stored()
            left = list(pages.iterdir())
        assert middle.counters["shop"]["network.received"] == 5_000
        assert middle.counters["shop"]["network.sent"] == 5_000
        assert middle.counters["shop"]["resources.opened.socket"] == 3
        assert left == []
        assert last.counters["shop"]["resources.opened.device"] == 10
