"""Stretches of time between scans: what is watched, what is a gap, and what clocks do to them."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hostmeter_agent.measure.baseline import Baseline, decode
from hostmeter_agent.measure.readings import Table
from hostmeter_agent.measure.stretches import Moment, Stretches, stretches_since
from hostmeter_agent.measure.windows import BUCKET_MS, Window
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import (
    BOOT_MS,
    NOON_MS,
    Timeline,
    program,
    start,
    stored_baseline,
    total,
)

INTERVAL_MS = 10_000


@pytest.fixture(name="host")
def fake_host(tmp_path: object) -> FakeHost:
    return FakeHost(tmp_path)  # type: ignore[arg-type]


def measurements_of(timeline: Timeline, second: float, **clock: float) -> list[dict[str, object]]:
    """The profile of each sample of the program `app`."""
    step = timeline.measuring.measure(timeline.clock(second, **clock))
    timeline.measuring.commit(step)
    keys = [str(s["measured"]) for s in step.samples if s["application"] == "app"]
    return [json.loads(step.measurements[key]) for key in keys]


class TestGaps:
    def test_of_more_than_a_year_ago_are_no_longer_told(self) -> None:
        """The server would refuse them, and with them all that is in their batch."""
        year_ms = 365 * 86_400_000
        before = Baseline("boot-1", 1_000, NOON_MS - 3 * year_ms, Table())
        for up_ms, told in ((year_ms + 60_000, False), (year_ms // 2, True)):
            since = stretches_since(
                before, Moment(up_ms, NOON_MS), NOON_MS, boot_id="boot-2", running=False,
                interval_ms=INTERVAL_MS,
            )  # fmt: skip
            assert (since.down is not None) == told

    def test_a_watched_window_has_none(self, host: FakeHost) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        assert [m.get("gap") for m in measurements_of(timeline, 10)] == [None]

    def test_the_time_without_an_agent_is_named_and_has_no_gauges(self, host: FakeHost) -> None:
        host.put(program(10, "app"))
        first = start(host)
        first.at(0)
        host.put(program(10, "app", cpu=500))
        again = first.restart()
        step = again.measuring.measure(again.clock(120))
        found = [s for s in step.samples if s["application"] == "app"]
        gaps = {json.loads(step.measurements[str(s["measured"])])["gap"] for s in found}
        assert gaps == {"agent-stopped"}
        assert [s["coverage"] for s in found] == [0]
        assert total(found, "app") == 5_000_000
        assert all("processes" not in str(s["usage"]) for s in found)

    def test_a_machine_that_was_off_has_a_gap_before_its_boot_and_no_zeros(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app", cpu=9_000))
        first = start(host)
        first.at(0)
        host.put(program(10, "app", cpu=200))
        rebooted = start(host, baseline=stored_baseline(first), boot_id="boot-2")
        moment = Moment(60_000, NOON_MS + 720_000)
        step = rebooted.measuring.measure(lambda: moment)
        found = [s for s in step.samples if s["application"] == "app"]
        told = [
            (json.loads(step.measurements[str(s["measured"])])["gap"], s["window"], s["usage"])
            for s in found
        ]
        usage = {"cpu.time": 2_000_000} | dict.fromkeys(
            ("file.read", "file.written", "disk.read", "disk.written"), 0
        )
        assert told == [
            ("host-down", ["2026-01-01T12:00:00Z", "2026-01-01T12:05:00Z"], {}),
            ("host-down", ["2026-01-01T12:05:00Z", "2026-01-01T12:10:00Z"], {}),
            ("host-down", ["2026-01-01T12:10:00Z", "2026-01-01T12:11:00Z"], {}),
            ("agent-stopped", ["2026-01-01T12:11:00Z", "2026-01-01T12:12:00Z"], usage),
        ]

    def test_a_suspended_machine_says_so_and_counts_once(self, host: FakeHost) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        host.put(program(10, "app", cpu=30))
        asleep = Moment(BOOT_MS + 3_600_000, NOON_MS + 3_600_000, 3_590_000)
        step = timeline.measuring.measure(lambda: asleep)
        timeline.measuring.commit(step)
        found = [s for s in step.samples if s["application"] == "app"]
        assert total(found, "app") == 300_000
        gaps = {json.loads(step.measurements[str(s["measured"])])["gap"] for s in found}
        assert gaps == {"host-suspended"}
        awake = Moment(BOOT_MS + 3_610_000, NOON_MS + 3_610_000, 3_590_000)
        after = timeline.measuring.measure(lambda: awake)
        assert "gap" not in "".join(after.measurements.values())
        assert total(after.samples, "app") == 0

    def test_a_scan_that_came_late_is_a_gap_of_its_own_name(self, host: FakeHost) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        assert [m["gap"] for m in measurements_of(timeline, 31)] == ["scan-late"]


class TestClockSteps:
    @pytest.mark.parametrize("shift_s", [-7_200, -2, 2, 7_200])
    def test_a_wall_clock_that_is_set_marks_the_window(self, host: FakeHost, shift_s: int) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        marks = [m.get("marks") for m in measurements_of(timeline, 10, wall_shift_s=shift_s)]
        assert marks == [["clock-step"]] * len(marks)
        assert [m.get("marks") for m in measurements_of(timeline, 20, wall_shift_s=shift_s)] == [
            None
        ]

    def test_a_clock_that_is_slewed_marks_nothing(self, host: FakeHost) -> None:
        host.put(program(10, "app"))
        timeline = start(host)
        timeline.at(0)
        marks = [m.get("marks") for m in measurements_of(timeline, 10, wall_shift_s=0.9)]
        assert marks == [None] * len(marks)


def test_an_upgraded_agent_goes_on_from_the_former_ones_baseline(host: FakeHost) -> None:
    host.put(program(10, "app", cpu=100))
    first = start(host)
    first.at(0)
    content = json.loads(stored_baseline(first))
    for key in ("suspended_ms", "probes", "credit_us"):
        content.pop(key)  # what an agent of the first version did not write
    host.put(program(10, "app", cpu=160))
    upgraded = start(host, baseline=json.dumps(content).encode())
    assert total(upgraded.at(10), "app") == 600_000


def test_a_unit_that_is_renamed_takes_its_usage_along_once(host: FakeHost) -> None:
    host.put(program(10, "app", cpu=100, cgroup="0::/system.slice/shop.service\n"))
    timeline = start(host)
    timeline.at(0)
    host.put(program(10, "app", cpu=150, cgroup="0::/system.slice/store.service\n"))
    # A process's application is looked at again every minute.
    samples = timeline.at(61)
    assert total(samples, "shop") + total(samples, "store") == 500_000
    host.put(program(10, "app", cpu=175, cgroup="0::/system.slice/store.service\n"))
    assert total(timeline.at(71), "store") == 250_000


CLOCKS = st.lists(
    st.tuples(
        st.integers(0, 900_000),  # time that passes
        st.sampled_from([0, 0, 0, 0, -86_400_000, -2_000, 1_500, 3_600_000]),  # wall clock set by
        st.sampled_from(["run", "run", "run", "restart", "reboot"]),
    ),
    min_size=1,
    max_size=12,
)


@given(steps=CLOCKS)
def test_whatever_clocks_do_time_is_measured_once_and_in_order(
    steps: list[tuple[int, int, str]],
) -> None:
    boot, now = 0, Moment(BOOT_MS, NOON_MS)
    baseline = Baseline("boot-0", now.boot_ms, now.wall_ms, Table())
    for passed_ms, set_by_ms, event in steps:
        moment = Moment(now.boot_ms + passed_ms, now.wall_ms + passed_ms + set_by_ms)
        if event == "reboot":
            boot += 1
            moment = replace(moment, boot_ms=passed_ms)
        since = stretches_since(
            baseline, moment, moment.wall_ms, boot_id=f"boot-{boot}", running=event == "run",
            interval_ms=INTERVAL_MS,
        )  # fmt: skip
        _check(since, baseline, moment, passed_ms, stepped=abs(set_by_ms) > 1_000)
        baseline = Baseline(f"boot-{boot}", moment.boot_ms, moment.wall_ms, Table())
        now = moment


def _check(
    since: Stretches, baseline: Baseline, moment: Moment, passed_ms: int, *, stepped: bool
) -> None:
    if since.measured is None:
        assert passed_ms == 0
        return
    windows = list(since.measured.windows)
    assert sum(w.length_ms for w in windows) == passed_ms
    assert windows[-1].end_ms == moment.wall_ms
    for window in [*windows, *(since.down.windows if since.down else ())]:
        assert window.length_ms > 0
        assert window.start_ms // BUCKET_MS == (window.end_ms - 1) // BUCKET_MS
    assert all(a.end_ms == b.start_ms for a, b in pairwise(windows))
    if not stepped:
        assert _begin(since) >= baseline.end_ms
    elif since.same_boot or _begin(since) < baseline.end_ms:
        assert since.measured.marks == {"clock-step"}


def _begin(since: Stretches) -> int:
    windows: list[Window] = [*(since.down.windows if since.down else ())]
    windows += since.measured.windows if since.measured else ()
    return windows[0].start_ms


def test_a_baseline_of_a_layout_nobody_knows_is_not_taken(host: FakeHost) -> None:
    timeline = start(host)
    timeline.at(0)
    content = json.loads(stored_baseline(timeline))
    assert decode(json.dumps(content | {"layout": 99}).encode()) is None
