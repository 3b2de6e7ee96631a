"""What is counted over time: each tick and byte once, whatever happens to agent and clocks."""

from pathlib import Path

import pytest
from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.stretches import Moment

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import NOON_MS, program, start, stored_baseline, total, usage


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


class TestCounters:
    def test_usage_before_the_agent_came_is_not_metered(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=100_000, io=(10**9, 0, 0, 0)))
        timeline = start(host)
        assert timeline.at(0) == []
        host.change(10, cpu=100_050, io=(10**9 + 7, 1, 2, 3))
        figures = usage(timeline.at(10), "app")
        assert figures["cpu.time"] == 500_000
        names = ("file.read", "file.written", "disk.read", "disk.written")
        assert [figures[name] for name in names] == [7, 1, 2, 3]

    def test_a_new_process_counts_whole_and_a_number_used_again_is_a_new_process(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app", cpu=500, start=1000))
        timeline = start(host)
        timeline.at(0)
        host.put(program(10, "app", cpu=30, start=2000))
        host.put(program(11, "app", cpu=20))
        assert total(timeline.at(10), "app") == 500_000

    def test_a_counter_that_went_backwards_makes_no_usage(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=500, io=(9, 9, 9, 9)))
        timeline = start(host)
        timeline.at(0)
        host.change(10, cpu=400, io=(1, 1, 1, 1))
        assert usage(timeline.at(10), "app")["cpu.time"] == 0
        host.change(10, cpu=410)
        assert usage(timeline.at(20), "app")["cpu.time"] == 100_000


class TestEndedProcesses:
    def test_an_exit_record_gives_the_rest_to_the_microsecond(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=100))
        timeline = start(host, records=True)
        timeline.at(0)
        host.end(10)
        timeline.records.exits = [Exit(10, 1, 1_234_567)]
        assert total(timeline.at(10), "app") == 234_567

    def test_a_record_of_a_process_still_in_the_table_is_counted_once(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=100))
        timeline = start(host, records=True)
        timeline.at(0)
        timeline.records.exits = [Exit(10, 1, 1_500_000)]
        samples = timeline.at(10)
        host.end(10)
        samples += timeline.at(20)
        assert total(samples, "app") == 500_000

    def test_one_born_and_ended_between_scans_belongs_to_its_parents_application(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "build"))
        timeline = start(host, records=True)
        timeline.at(0)
        timeline.records.exits = [Exit(52, 51, 5_000), Exit(51, 10, 3_000), Exit(60, 1, 9)]
        samples = timeline.at(10)
        assert total(samples, "build") == 8_000
        assert total(samples, "unattributed") == 9

    def test_one_noticed_between_scans_keeps_its_own_name(self, host: FakeHost) -> None:
        timeline = start(host, records=True)
        timeline.at(0)
        host.put(program(10, "brief", cpu=3))
        timeline.measuring.watch(timeline.clock(1)())
        host.end(10)
        timeline.records.exits = [Exit(10, 1, 70_000)]
        assert total(timeline.at(10), "brief") == 70_000

    def test_one_noticed_between_scans_keeps_the_bytes_of_its_first_window(
        self, host: FakeHost
    ) -> None:
        timeline = start(host)
        timeline.at(0)
        host.put(program(10, "brief", io=(1, 2, 3, 4)))
        host.put(program(11, "hidden", io=None))
        timeline.measuring.watch(timeline.clock(1)())
        host.change(10, io=(5, 6, 7, 8))
        samples = timeline.at(10)
        figures = usage(samples, "brief")
        names = ("file.read", "file.written", "disk.read", "disk.written")
        assert [figures[name] for name in names] == [5, 6, 7, 8]
        assert "file.read" not in usage(samples, "hidden")

    def test_one_that_ends_while_it_is_read_hides_no_bytes_of_its_application(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app"))
        host.put(program(11, "app"))
        timeline = start(host)
        timeline.at(0)
        host.change(10, io=(7, 0, 0, 0))
        (host.proc / "11/io").unlink()
        figures = usage(timeline.at(10), "app")
        assert figures["file.read"] == 7
        assert figures["processes"] == 10

    def test_without_records_the_parent_tells_the_rest_of_its_only_child(
        self, host: FakeHost
    ) -> None:
        host.put(program(9, "shell"))
        host.put(program(10, "app", ppid=9, cpu=100, faults=50))
        timeline = start(host)
        timeline.at(0)
        host.end(10)
        host.change(9, children_cpu=163, children_faults=60)
        samples = timeline.at(10)
        assert total(samples, "app") == 630_000
        assert total(samples, "shell") == 0

    def test_a_rest_that_several_could_claim_goes_to_their_parent(self, host: FakeHost) -> None:
        host.put(program(9, "shell"))
        host.put(program(10, "one", ppid=9, cpu=100, faults=50))
        host.put(program(11, "two", ppid=9, cpu=200, faults=50))
        timeline = start(host)
        timeline.at(0)
        host.end(10)
        host.end(11)
        host.change(9, children_cpu=307, children_faults=110)
        samples = timeline.at(10)
        assert total(samples, "shell") == 70_000
        assert total(samples, "one") == total(samples, "two") == 0

    def test_a_childs_io_is_not_counted_again_when_its_parent_inherits_it(
        self, host: FakeHost
    ) -> None:
        host.put(program(9, "shell", io=(100, 0, 0, 0)))
        host.put(program(10, "app", ppid=9, faults=50))
        timeline = start(host)
        timeline.at(0)
        host.change(10, io=(5_000, 0, 0, 0))
        samples = timeline.at(10)
        host.end(10)
        host.change(9, io=(100 + 5_300, 0, 0, 0), children_faults=60)
        samples += timeline.at(20)
        assert total(samples, "app", "file.read") == 5_000
        assert total(samples, "shell", "file.read") == 300

    def test_a_parent_read_a_moment_too_early_counts_nothing_twice(self, host: FakeHost) -> None:
        host.put(program(9, "shell"))
        host.put(program(10, "app", ppid=9, faults=50, cpu=100, io=(5_000, 0, 0, 0)))
        timeline = start(host)
        timeline.at(0)
        host.end(10)  # the parent was read before it waited
        samples = timeline.at(10)
        host.change(9, io=(5_000, 0, 0, 0), children_cpu=120, children_faults=50)
        samples += timeline.at(20)
        assert total(samples, "shell", "file.read") == 0
        assert total(samples, "app") == 200_000


class TestRestarts:
    def test_usage_while_the_agent_was_down_arrives_once_and_says_it_was_not_watched(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app", cpu=100))
        first = start(host)
        first.at(0)
        host.change(10, cpu=150)
        samples = first.at(10)
        host.change(10, cpu=400)
        second = first.restart()
        gap = second.at(47)
        assert usage(gap, "app") == {
            "cpu.time": 2_500_000, "file.read": 0, "file.written": 0, "disk.read": 0,
            "disk.written": 0,
        }  # fmt: skip
        assert {s["coverage"] for s in gap} == {0}
        assert gap[0]["window"] == ["2026-01-01T12:00:10Z", "2026-01-01T12:00:47Z"]
        assert total(samples + gap, "app") == 3_000_000
        assert {s["coverage"] for s in second.at(50)} == {1}

    def test_a_long_gap_is_cut_at_the_buckets_and_its_parts_sum_exactly(
        self, host: FakeHost
    ) -> None:
        host.put(program(10, "app", cpu=0))
        first = start(host)
        first.at(0)
        host.change(10, cpu=101)
        gap = [s for s in first.restart().at(1_000) if s["application"] == "app"]
        assert [s["window"] for s in gap] == [
            ["2026-01-01T12:00:00Z", "2026-01-01T12:05:00Z"],
            ["2026-01-01T12:05:00Z", "2026-01-01T12:10:00Z"],
            ["2026-01-01T12:10:00Z", "2026-01-01T12:15:00Z"],
            ["2026-01-01T12:15:00Z", "2026-01-01T12:16:40Z"],
        ]
        assert total(gap, "app") == 1_010_000

    def test_after_a_reboot_everything_counts_from_the_boot_on(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=9_000))
        first = start(host)
        first.at(0)
        host.put(program(10, "app", cpu=200))
        rebooted = start(host, baseline=stored_baseline(first), boot_id="boot-2")
        step = rebooted.measuring.measure(lambda: Moment(60_000, NOON_MS + 120_000))
        assert total(step.samples, "app") == 2_000_000
        windows = {str(sample["window"]) for sample in step.samples if sample["usage"]}
        assert windows == {"['2026-01-01T12:01:00Z', '2026-01-01T12:02:00Z']"}

    def test_a_step_that_was_not_stored_is_part_of_the_next(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=0))
        timeline = start(host, records=True)
        timeline.at(0)
        host.change(10, cpu=10)
        timeline.records.exits = [Exit(99, 10, 7)]
        timeline.measuring.measure(timeline.clock(10))
        host.change(10, cpu=25)
        samples = timeline.at(20)
        assert total(samples, "app") == 250_007
        assert samples[0]["window"] == ["2026-01-01T12:00:00Z", "2026-01-01T12:00:20Z"]


class TestClocks:
    def test_a_window_over_a_bucket_boundary_is_two(self, host: FakeHost) -> None:
        host.put(program(10, "app", cpu=0))
        timeline = start(host)
        timeline.at(295)
        host.change(10, cpu=101)
        samples = [s for s in timeline.at(305.0) if s["application"] == "app"]
        assert [s["window"] for s in samples] == [
            ["2026-01-01T12:04:55Z", "2026-01-01T12:05:00Z"],
            ["2026-01-01T12:05:00Z", "2026-01-01T12:05:05Z"],
        ]
        assert [total([s], "app") for s in samples] == [505_000, 505_000]

    def test_a_scan_a_little_late_stands_for_its_aligned_moment(self, host: FakeHost) -> None:
        timeline = start(host)
        timeline.at(0.004)
        assert timeline.at(10.009)[0]["window"] == ["2026-01-01T12:00:00Z", "2026-01-01T12:00:10Z"]

    @pytest.mark.parametrize("shift_s", [-3_600, 3_600])
    def test_a_wall_clock_that_is_set_labels_and_nothing_else(
        self, host: FakeHost, shift_s: int
    ) -> None:
        timeline = start(host)
        timeline.at(0)
        figures = timeline.at(10, wall_shift_s=shift_s)
        assert usage(figures, "init")["processes"] == 10
        hour = 13 if shift_s > 0 else 11
        assert figures[0]["window"] == [f"2026-01-01T{hour}:00:00Z", f"2026-01-01T{hour}:00:10Z"]
        after = timeline.at(20, wall_shift_s=shift_s)
        assert after[0]["window"] == [f"2026-01-01T{hour}:00:10Z", f"2026-01-01T{hour}:00:20Z"]
