"""What cgroups count, on trees as kernels write them, and whose it is when they come and go."""

import shutil
from pathlib import Path

import pytest
from hostmeter_agent.cgroup.cgroup_files import CgroupFs, Counters, Mounts
from hostmeter_agent.cgroup.cgroups import member
from hostmeter_agent.measure.samples import Sample
from hostmeter_agent.measure.scan import Scanner

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import Timeline, program, start, total, usage

RECORDED = Path(__file__).parent / "recorded"
WEB = "/shop.slice/web.service"


def recorded(kind: str) -> CgroupFs:
    """hybrid and v1 were recorded on Linux 6.18; v2 is written as its documentation shows it."""
    root = RECORDED / kind / "cgroup"
    mounts = {
        "v1": Mounts(None, root / "cpuacct", root / "memory", root / "pids"),
        "v2": Mounts(root, None, None),
        "hybrid": Mounts(root / "unified", root / "cpuacct", root / "memory", root / "pids"),
    }
    return CgroupFs(mounts[kind], RECORDED / kind / "devices")


def figures(counters: Counters | None) -> tuple[int | None, ...]:
    assert counters is not None
    return (
        counters.cpu_us, counters.memory_bytes, counters.memory_peak_bytes, counters.inactive_bytes,
        counters.tasks, counters.tasks_peak, *(counters.disk_bytes or (None, None)),
        counters.version,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("v1", (52_277, 28_196_864, 28_409_856, 0, 2, 2, None, None, 1)),
        (
            "v2",
            (1_250_000, 27_262_976, 41_943_040, 4_194_304, 4, 7, 4_096_000, 1_048_576, 2),
        ),
        ("hybrid", (52_203, 28_196_864, 28_409_856, 0, 2, 2, None, None, 2)),
    ],
)
def test_a_tree_of_each_version_is_read_whole(kind: str, expected: tuple[int | None, ...]) -> None:
    assert figures(recorded(kind).counters(WEB)) == expected


def test_a_hierarchy_that_the_process_is_elsewhere_in_is_not_read() -> None:
    place = member(
        b"3:memory:/other\n2:pids:/shop.slice/web.service/x\n0::/shop.slice/web.service\n"
    )
    assert place is not None
    assert (place.path, place.hierarchies) == (WEB, frozenset({"unified", "pids"}))
    counters = recorded("hybrid").counters(WEB, place.hierarchies)
    assert counters is not None
    assert (counters.memory_bytes, counters.tasks) == (None, 2)


def test_a_cgroup_that_has_gone_is_told_by_none() -> None:
    assert recorded("v2").counters("/shop.slice/gone.service") is None


class Slice:
    """A slice of services on paper. Its own count keeps what those that have gone had counted."""

    def __init__(self, folder: Path) -> None:
        self.host = FakeHost(folder)
        self.counts: dict[str, int] = {}
        self.gone_us = 0
        self.pids: dict[str, int] = {}

    def put(self, name: str, cpu_us: int, memory: int = 9_000, peak: int = 9_000) -> None:
        self.counts[name] = cpu_us
        if name not in self.pids:
            pid = self.pids[name] = 100 + len(self.pids)
            group = f"0::/shop.slice/{name}.service\n"
            self.host.put(program(pid, name, cgroup=group))
        self.host.put_cgroup(
            f"/shop.slice/{name}.service",
            {
                "cpu.stat": f"usage_usec {cpu_us}\n", "memory.current": f"{memory}\n",
                "memory.peak": f"{peak}\n", "memory.stat": "inactive_file 1000\n",
                "pids.current": "1\n", "pids.peak": "3\n",
                "io.stat": f"8:0 rbytes={cpu_us * 2} wbytes={cpu_us * 3} rios=1 wios=1\n",
            },
        )  # fmt: skip
        self._sum()

    def end_processes(self, name: str) -> None:
        self.host.end(self.pids[name])

    def remove(self, name: str, last_us: int) -> None:
        """It used more since it was last read; then its processes end and it goes."""
        self.gone_us += last_us
        del self.counts[name]
        pid = self.pids.pop(name)
        if pid in self.host.processes:
            self.host.end(pid)
        shutil.rmtree(self.host.folder / f"cgroup/shop.slice/{name}.service")
        self._sum()

    def use_outside(self, us: int) -> None:
        """A service came and went between two scans."""
        self.gone_us += us
        self._sum()

    def _sum(self) -> None:
        cpu_us = sum(self.counts.values()) + self.gone_us
        self.host.put_cgroup("/shop.slice", {"cpu.stat": f"usage_usec {cpu_us}\n"})


@pytest.fixture
def shop(tmp_path: Path) -> Slice:
    return Slice(tmp_path)


@pytest.fixture
def metered(shop: Slice) -> Timeline:
    """Two services, metered from here on."""
    shop.put("web", 1_000_000)
    shop.put("db", 2_000_000)
    timeline = start(shop.host)
    timeline.at(0)
    return timeline


def cpu(samples: list[Sample]) -> dict[str, int]:
    names = {str(s["application"]) for s in samples}
    return {name: us for name in names if (us := total(samples, name))}


class TestACgroupThatHasGone:
    def test_has_its_rest_told_by_the_one_around_it(self, shop: Slice, metered: Timeline) -> None:
        shop.put("db", 2_000_300)
        shop.remove("web", 1_004_321)
        assert cpu(metered.at(10)) == {"web": 4_321, "db": 300}
        assert cpu(metered.at(20)) == {}

    def test_is_told_once_and_the_same_by_every_agent_that_starts_on_one_baseline(
        self, shop: Slice, metered: Timeline
    ) -> None:
        shop.remove("web", 1_004_321)
        assert [cpu(metered.restart().at(10)) for _ in range(2)] == [{"web": 4_321}] * 2
        again = metered.restart()
        again.at(10)
        assert cpu(again.restart().at(20)) == {}

    def test_is_unattributed_with_another(self, shop: Slice, metered: Timeline) -> None:
        shop.put("web", 1_000_100)
        metered.at(10)
        shop.remove("web", 1_004_321)
        shop.remove("db", 2_000_500)
        assert cpu(metered.at(20)) == {"unattributed": 4_221 + 500}

    def test_is_unattributed_when_nobody_ever_saw_it(self, shop: Slice, metered: Timeline) -> None:
        shop.use_outside(70_000)
        assert cpu(metered.at(10)) == {"unattributed": 70_000}
        assert cpu(metered.at(20)) == {}

    def test_and_came_back_under_its_name_counts_from_zero(
        self, shop: Slice, metered: Timeline
    ) -> None:
        shop.remove("web", 1_000_009)
        shop.put("web", 50)
        assert cpu(metered.at(10)) == {"web": 59}


class TestACgroupWithoutProcesses:
    def test_is_metered_to_its_last_moment(self, shop: Slice, metered: Timeline) -> None:
        shop.end_processes("web")
        shop.put("web", 1_000_777)
        assert cpu(metered.at(10)) == {"web": 777}

    def test_has_nothing_new_when_it_is_used_again(self, shop: Slice, metered: Timeline) -> None:
        shop.end_processes("web")
        metered.at(10)
        metered.at(20)
        shop.host.put(program(190, "web", cgroup="0::/shop.slice/web.service\n"))
        shop.put("web", 1_000_005)
        assert cpu(metered.at(30)) == {"web": 5}


class TestAProcessThatIsMoved:
    def test_counts_for_its_new_cgroup_at_once(self, shop: Slice, metered: Timeline) -> None:
        """Somebody else moved it: nothing else about it has changed."""
        pid = shop.pids["web"]
        shop.put("web", 1_000_400)
        shop.host.put_cgroup("/shop.slice/store.service", {"cpu.stat": "usage_usec 600\n"})
        shop.counts["store"] = 600
        shop.host.change(pid, cgroup="0::/shop.slice/store.service\n", cpu=1)
        shop.use_outside(0)
        samples = metered.at(10)
        assert cpu(samples) == {"web": 400, "store": 600}
        assert usage(samples, "store")["processes"] == 10

    def test_into_one_that_was_there_counts_from_the_last_scan_on(
        self, shop: Slice, metered: Timeline
    ) -> None:
        shop.host.put_cgroup("/shop.slice/store.service", {"cpu.stat": "usage_usec 5000\n"})
        shop.counts["store"] = 5_000
        shop.use_outside(0)
        metered.at(10)
        shop.host.put_cgroup("/shop.slice/store.service", {"cpu.stat": "usage_usec 5600\n"})
        shop.counts["store"] = 5_600
        shop.host.change(shop.pids["web"], cgroup="0::/shop.slice/store.service\n", cpu=1)
        shop.use_outside(0)
        assert cpu(metered.at(20)) == {"store": 600}


class TestACgroupInAnother:
    def test_counts_inside_when_it_is_no_application(self, shop: Slice, metered: Timeline) -> None:
        shop.host.put_cgroup("/shop.slice/web.service/worker", {"cpu.stat": "usage_usec 4000\n"})
        shop.host.put(program(150, "x", cgroup="0::/shop.slice/web.service/worker\n"))
        shop.put("web", 1_009_000)
        samples = metered.at(10)
        assert cpu(samples) == {"web": 9_000}
        assert usage(samples, "web")["processes"] == 20

    def test_counts_for_itself_when_it_is_one(self, tmp_path: Path) -> None:
        host = FakeHost(tmp_path)
        for pid, path, us in ((10, "/pods", 900), (11, "/pods/a", 300)):
            host.put(program(pid, "sh", cgroup=f"0::{path}\n"))
            host.put_cgroup(path, {"cpu.stat": f"usage_usec {us}\n"})
        timeline = start(host)
        timeline.at(0)
        host.put_cgroup("/pods", {"cpu.stat": "usage_usec 1900\n"})
        host.put_cgroup("/pods/a", {"cpu.stat": "usage_usec 700\n"})
        assert cpu(timeline.at(10)) == {"pods": 600, "a": 400}


class TestWhatElseItCounts:
    def test_disk_is_the_cgroups_own_count(self, shop: Slice, metered: Timeline) -> None:
        shop.put("web", 1_000_100)
        figures = usage(metered.at(10), "web")
        assert (figures["disk.read"], figures["disk.written"]) == (200, 300)

    def test_a_peak_counts_in_the_window_in_which_it_rose_and_in_no_other(
        self, shop: Slice, metered: Timeline
    ) -> None:
        shop.put("web", 1_000_000, peak=70_000)
        risen = usage(metered.at(10), "web")
        later = usage(metered.at(20), "web")
        assert (risen["memory.used.max"], risen["memory.used"]) == (69_000, 80_000)
        assert later["memory.used.max"] == 8_000


class TestMemoryOfProcesses:
    """Is dear to read, and asked for only where cgroups do not tell."""

    @pytest.fixture
    def scanner(self, tmp_path: Path) -> Scanner:
        self.shop = Slice(tmp_path)
        self.shop.host.tell_proportional_memory()
        self.shop.put("web", 1_000, memory=9_000)
        self.shop.host.change(1, pss=1 << 20)
        self.change(rss=100, pss=4 << 10)
        return self.shop.host.scanner()

    def change(self, **figures: int) -> None:
        self.shop.host.change(self.shop.pids["web"], **figures)

    def test_is_not_read_of_those_that_a_cgroup_counts(self, scanner: Scanner) -> None:
        scanner.scan(now_s=0)
        self.change(rss=5_000, pss=5 << 10)
        assert scanner.scan(now_s=10).gauges["web"].memory_bytes == 8_000
        assert scanner.details_us["proportional-memory"] == 0

    def test_is_read_once_one_of_them_is_elsewhere(self, scanner: Scanner) -> None:
        scanner.scan(now_s=0)
        self.change(rss=5_000, pss=5 << 10)
        scanner.scan(now_s=10)
        self.shop.host.put(program(180, "web", pss=7 << 10))
        gauges = scanner.scan(now_s=20).gauges["web"]
        assert (gauges.memory_bytes, gauges.processes) == (12 << 10, 2)
        self.shop.host.end(180)
        assert scanner.scan(now_s=30).gauges["web"].memory_bytes == 8_000


class TestQuality:
    def test_each_meter_says_how_it_was_measured(self, shop: Slice, metered: Timeline) -> None:
        shop.host.put(program(180, "lone"))
        shop.host.put(program(181, "hidden", io=None))
        step = metered.measuring.measure(metered.clock(10))
        how = {str(s["application"]): step.measurements[str(s["measured"])] for s in step.samples}
        assert '"cpu.time":["exact","cgroup-v2/1"]' in how["web"]
        assert '"memory.used":["sampled","cgroup-memory/1"]' in how["web"]
        assert '"disk.read":["exact","cgroup-io/1"]' in how["web"]
        assert '"cpu.time":["sampled","proc/1"]' in how["lone"]
        assert '"memory.used":["estimated","rss/1"]' in how["lone"]
        assert '"disk.read":["unavailable","proc-io/1"]' in how["hidden"]

    def test_without_exit_records_an_application_that_lost_a_process_is_a_lower_bound(
        self, shop: Slice, metered: Timeline
    ) -> None:
        shop.host.put(program(180, "lone"))
        shop.host.put(program(181, "lone"))
        metered.at(10)
        shop.host.end(181)
        step = metered.measuring.measure(metered.clock(20))
        lone = next(s for s in step.samples if s["application"] == "lone")
        assert '"cpu.time":["lower_bound","proc/1"]' in step.measurements[str(lone["measured"])]
