"""Which applications one host has and what they hold, told on a /proc written by hand."""

from pathlib import Path

import pytest
from hostmeter_agent.cgroup.cgroup_files import Mounts
from hostmeter_agent.config import parse_config

from tests.agent.fakehost import OWN_PID, FakeHost, Process
from tests.agent.hosttime import program, start, total, usage


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


class TestDiscovery:
    def test_the_products_own_applications_are_found_without_configuration(
        self, host: FakeHost
    ) -> None:
        python = "/usr/bin/python3.11"
        for process in (
            program(10, "postgres"),
            Process(11, "postgres", ("postgres: walwriter ",), "/usr/bin/postgres", ppid=10),
            Process(12, "valkey-server", ("valkey-server *:1",), "/x/valkey-server"),
            Process(13, "gunicorn", ("python", "/v/bin/gunicorn", "config.wsgi"), python),
            Process(14, "python", ("python", "-m", "celery", "-A", "config"), python),
            Process(15, "python", ("python", "-c", "from multiprocessing"), python, ppid=14),
            Process(OWN_PID, "python", ("python", "-m", "hostmeter_agent", "run"), python),
            Process(2, "kthreadd", ppid=0, flags=0x208040),
            Process(3, "kworker/0:1", ppid=2, flags=0x4208060),
            program(20, "bash"),
            program(21, "sleep", ppid=20),
            program(22, "ffmpeg", ppid=20),
        ):
            host.put(process)
        scan = host.scanner().scan(now_s=0)
        assert {name: g.processes for name, g in scan.gauges.items()} == {
            "init": 1, "kernel": 2, "postgres": 2, "valkey": 1, "gunicorn": 1, "celery": 2,
            "hostmeter-agent": 1, "bash": 2, "ffmpeg": 1,
        }  # fmt: skip

    def test_in_a_container_the_second_process_is_no_kernel_thread_nor_are_its_children(
        self, host: FakeHost
    ) -> None:
        for process in (program(2, "supervisor"), program(3, "nginx", ppid=2)):
            host.put(process)
        scan = host.scanner().scan(now_s=0)
        assert set(scan.gauges) == {"init", "supervisor", "nginx"}

    def test_a_rule_wins_over_the_program_and_the_first_rule_over_the_next(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "ruby", start=1))
        host.change(10, argv=("ruby", "/srv/shop/jobs.rb", "--queue=mail"))
        host.put(program(11, "nginx"))
        text = """
            [[application]]
            name = "shop"
            executable = "/usr/bin/ru*"
            command = "--queue=(mail|news)"
            [[application]]
            name = "everything"
            user = "root"
            process = "[jn]*"
        """
        text = text.replace('user = "root"\n', "")
        scan = host.scanner(parse_config(Path("a.toml"), text)).scan(now_s=0)
        assert set(scan.gauges) == {"init", "shop", "everything"}

    def test_too_many_applications_are_metered_together_and_said(
        self, host: FakeHost, caplog: pytest.LogCaptureFixture
    ) -> None:
        for pid in range(100, 130):
            host.put(program(pid, f"program-{pid}"))
        timeline = start(host, text="applications_max = 10")
        timeline.at(0)
        samples = timeline.at(10)
        assert len(samples) == 10
        assert usage(samples, "other")["processes"] == 22 * 10
        assert "more than 9 applications: 22 processes" in caplog.text

    def test_a_process_that_executes_another_program_changes_its_application(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "first", cpu=100))
        timeline = start(host)
        timeline.at(0)
        host.change(10, comm="second", exe="/usr/bin/second", argv=("second",), cpu=150)
        samples = timeline.at(10)
        assert total(samples, "second") == 500_000
        assert usage(samples, "first")["cpu.time"] == 0


class TestGauges:
    def test_integrals_and_maxima_of_one_window(self, host: FakeHost) -> None:
        host.put(program(10, "app", threads=3, rss=100, shared=40, descriptors=("/etc/a", "/b")))
        timeline = start(host)
        timeline.at(0)
        host.put(program(11, "app", rss=70, shared=30, descriptors=("socket:[1]", "pipe:[2]")))
        figures = usage(timeline.at(10), "app")
        memory = ((100 - 40) + (70 - 30) + 40) * 4096  # shared pages once
        assert figures["memory.used"] == memory * 10
        assert figures["memory.used.max"] == memory
        assert (figures["processes"], figures["processes.max"]) == (20, 2)
        assert (figures["threads"], figures["threads.max"]) == (40, 4)
        assert (figures["files.open"], figures["resources.open.socket"]) == (20, 10)
        assert (figures["resources.open"], figures["resources.open.max"]) == (40, 4)

    def test_pages_shared_after_a_fork_are_counted_once(self, host: FakeHost) -> None:
        host.tell_proportional_memory()
        host.put(program(10, "app", rss=51_200, shared=10, pss=200 << 20))
        timeline = start(host)
        timeline.at(0)
        host.change(10, pss=100 << 20)  # its resident size stays: only the new child tells
        host.put(program(11, "app", ppid=10, rss=51_200, shared=10, pss=100 << 20))
        assert usage(timeline.at(10), "app")["memory.used"] == (200 << 20) * 10
        host.end(11)
        host.change(10, pss=200 << 20)
        assert usage(timeline.at(20), "app")["memory.used"] == (200 << 20) * 10

    def test_proportional_memory_follows_the_resident_size_and_is_read_again_in_time(
        self, host: FakeHost
    ) -> None:
        host.tell_proportional_memory()
        host.put(program(60, "app", rss=10_000, pss=1_024_000))
        timeline = start(host)
        timeline.at(0)
        host.change(60, rss=10_050, pss=4_096_000)
        assert usage(timeline.at(10), "app")["memory.used"] == 1_024_000 * 10_050 // 10_000 * 10
        host.change(60, rss=10_200)
        assert usage(timeline.at(20), "app")["memory.used"] == 4_096_000 * 10
        host.change(60, pss=2_048_000)
        assert usage(timeline.at(30), "app")["memory.used"] == 4_096_000 * 10
        host.change(60, faults=11)
        timeline.at(55)
        assert usage(timeline.at(81), "app")["memory.used"] == 2_048_000 * 26

    def test_without_page_faults_proportional_memory_stands_for_ten_minutes_at_most(
        self, host: FakeHost
    ) -> None:
        host.tell_proportional_memory()
        host.put(program(60, "app", rss=10_000, pss=4_096_000))
        timeline = start(host)
        timeline.at(0)
        host.change(60, pss=2_048_000)
        timeline.at(100)
        assert usage(timeline.at(110), "app")["memory.used"] == 4_096_000 * 10
        timeline.at(602)
        assert usage(timeline.at(610), "app")["memory.used"] == 2_048_000 * 8

    def test_the_kinds_of_many_descriptors_are_read_again_in_time(self, host: FakeHost) -> None:
        sockets = tuple(f"socket:[{n}]" for n in range(480))
        host.put(program(60, "app", descriptors=sockets))
        timeline = start(host)
        timeline.at(0)
        host.change(60, descriptors=(*sockets, "pipe:[1]"))
        assert usage(timeline.at(10), "app")["resources.open.max"] == 481
        assert usage(timeline.at(20), "app")["resources.open.pipe"] == 0
        timeline.at(30)  # 480 at 16 a second
        assert usage(timeline.at(40), "app")["resources.open.pipe"] == 10

    def test_the_maximum_looks_at_both_ends_of_the_window(self, host: FakeHost) -> None:
        host.put(program(10, "app", threads=9))
        timeline = start(host)
        timeline.at(0)
        host.change(10, threads=1)
        assert usage(timeline.at(10), "app")["threads.max"] == 9

    def test_what_cannot_be_read_is_absent(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=5, io=None))
        timeline = start(host)
        timeline.at(0)
        figures = usage(timeline.at(10), "app")
        assert not {"file.read", "file.written", "disk.read", "disk.written"} & set(figures)
        assert figures["cpu.time"] == 0

    def test_an_application_that_ended_reads_as_zero_once_and_then_not_at_all(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        host.end(10)
        assert usage(timeline.at(10), "app")["processes"] == 0
        assert "app" not in {s["application"] for s in timeline.at(20)}


class TestCgroups:
    UNIT = "0::/system.slice/shop@7.service\n"
    PATH = "/system.slice/shop@7.service"

    def _files(self, cpu_us: int, memory: int = 9_000) -> dict[str, str]:
        return {
            "cpu.stat": f"usage_usec {cpu_us}\nuser_usec 1\n",
            "memory.current": f"{memory}\n",
            "memory.stat": "anon 1\ninactive_file 1000\n",
        }

    def test_a_unit_is_an_application_and_its_own_counters_win(self, host: FakeHost) -> None:
        host.put(program(10, "ruby", cgroup=self.UNIT))
        host.put_cgroup(self.PATH, self._files(50_000_000))
        timeline = start(host)
        timeline.at(0)
        host.put_cgroup(self.PATH, self._files(50_700_001))
        figures = usage(timeline.at(10), "shop@7")
        assert figures["cpu.time"] == 700_001
        assert figures["memory.used.max"] == 8_000

    def test_version_one_counters_are_read_in_nanoseconds(self, host: FakeHost) -> None:
        root = host.folder / "cgroup"
        host.put(program(10, "ruby", cgroup="2:cpuacct:/pod/web\n1:memory:/pod/web\n0::/\n"))
        v1 = {"cpuacct.usage": "1000000000\n", "memory.usage_in_bytes": "500\n"}
        host.put_cgroup("/pod/web", v1)
        timeline = start(host, mounts=Mounts(None, root, root))
        timeline.at(0)
        host.put_cgroup("/pod/web", {"cpuacct.usage": "1000005000\n"})
        figures = usage(timeline.at(10), "web")
        assert (figures["cpu.time"], figures["memory.used"]) == (5, 5_000)

    def test_a_cgroup_that_a_rule_takes_processes_out_of_is_not_trusted(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "ruby", cgroup=self.UNIT, cpu=0))
        host.put(program(11, "job", cgroup=self.UNIT, cpu=0))
        host.put_cgroup(self.PATH, self._files(0))
        text = '[[application]]\nname = "jobs"\nprocess = "job"\n'
        timeline = start(host, text=text)
        timeline.at(0)
        host.put_cgroup(self.PATH, self._files(300_000))
        host.change(10, cpu=20)
        host.change(11, cpu=10)
        samples = timeline.at(10)
        assert (total(samples, "shop@7"), total(samples, "jobs")) == (200_000, 100_000)

    def test_a_login_session_is_no_application(self, host: FakeHost) -> None:
        session = "0::/user.slice/user-0.slice/session-3.scope\n"
        host.put(program(10, "vim", cgroup=session))
        assert set(host.scanner().scan(now_s=0).gauges) == {"init", "vim"}
