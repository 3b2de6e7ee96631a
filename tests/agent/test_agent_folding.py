"""While nothing can be stored, what is known of ended processes is bounded, and counted once."""

from pathlib import Path

import pytest
from hostmeter_agent.measure import folding
from hostmeter_agent.measure.accounting import account
from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.folding import fold, is_too_much
from hostmeter_agent.measure.readings import NO_IO, Moved, Reading, Table
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import Timeline, program, start, total

SHOP, MAIL = 50, 60
BIRTHS = range(100, 110)


def reading(pid: int, application: str, *, ppid: int = 1, cpu_us: int = 0, told_us: int = 0,
            faults: int = 0, cgroup: str | None = None) -> Reading:  # fmt: skip
    return Reading(pid, pid, ppid, application, cpu_us, told_us, faults, 0, 1, NO_IO, cgroup)


def tables(told_us: int = 0) -> tuple[Table, Table]:
    """Two parents that live on, one child of theirs that was booked, and some births."""
    lasting = [reading(1, "init", cpu_us=9), reading(SHOP, "shop", cpu_us=7, faults=3)]
    ended = reading(70, "tool", ppid=SHOP, cpu_us=500, faults=1)
    births = [reading(pid, "job", ppid=MAIL) for pid in BIRTHS]
    before = [*lasting, reading(MAIL, "mail", cpu_us=8, faults=2), ended, *births]
    now = [*lasting, reading(MAIL, "mail", cpu_us=8, faults=2, told_us=told_us)]
    return (
        Table({one.pid: one for one in before}),
        Table({one.pid: one for one in now}),
    )


def usage(exits: list[Exit], *, folded: bool, told_us: int = 0) -> dict[str, int]:
    before, now = tables(told_us)
    if folded:
        exits = fold(before, now, exits, later=[], recorded=True)
    return account(before, now, exits=exits, elapsed_us=10**9).cpu_us


records = st.lists(
    st.builds(
        Exit,
        st.sampled_from([70, *BIRTHS, *range(200, 220)]),
        st.sampled_from([1, SHOP, MAIL, 70, 100, 200, 201, 999]),
        st.integers(0, 50_000),
    ),
    max_size=40,
    unique_by=lambda record: record.pid,
)


@given(records, st.integers(0, 500_000))
def test_as_much_is_booked_as_without_folding(exits: list[Exit], told_us: int) -> None:
    plain = usage(exits, folded=False, told_us=told_us)
    assert sum(usage(exits, folded=True, told_us=told_us).values()) == sum(plain.values())


@given(records)
def test_each_application_keeps_its_own(exits: list[Exit]) -> None:
    assert usage(exits, folded=True) == usage(exits, folded=False)


@given(records, records)
def test_folding_again_changes_nothing(earlier: list[Exit], later: list[Exit]) -> None:
    seen = {record.pid for record in earlier}
    # Who had ended by then has no children any more.
    later = [record for record in later if not {record.pid, record.ppid} & seen]
    before, now = tables()
    exits = fold(before, now, earlier, later=later, recorded=True)
    exits = fold(before, now, exits, later=[], recorded=True)
    assert account(before, now, exits=exits, elapsed_us=10**9).cpu_us == usage(
        [*earlier, *later], folded=False
    )
    assert len(exits) <= 12


def test_a_process_that_was_not_waited_for_keeps_its_record() -> None:
    before, now = tables()
    now.processes[300] = reading(300, "late", ppid=SHOP, cpu_us=40)
    record = Exit(300, SHOP, 55)
    assert fold(before, now, [record], later=[], recorded=True) == [record]


def test_what_ended_before_its_parent_was_moved_is_not_in_the_cgroups_count() -> None:
    before, now = tables()
    for table in (before, now):
        table.processes[SHOP] = reading(SHOP, "shop", cpu_us=7, faults=3, cgroup="/hostmeter/shop")
    before.moved[SHOP] = Moved(SHOP, 0, exits=1)
    exits = fold(before, now, [Exit(200, SHOP, 11), Exit(201, SHOP, 22)], later=[], recorded=True)
    used = account(before, now, exits=exits, elapsed_us=10**9).cpu_us
    assert used["shop"] == 11
    assert used["\0/hostmeter/shop"] == 22


def test_without_records_what_parents_tell_still_belongs_to_the_children() -> None:
    before, now = tables(told_us=30_000)
    assert fold(before, now, [], later=[], recorded=False) == []
    assert len(before.processes) == 5
    assert account(before, now, exits=None, elapsed_us=10**9).cpu_us["job"] == 30_000


class TestASpoolThatRefuses:
    @pytest.fixture
    def timeline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Timeline:
        monkeypatch.setattr(folding, "ENDED_MAX", 100)
        host = FakeHost(tmp_path)
        host.put(program(50, "shop"))
        made = start(host, records=True)
        made.at(0)
        return made

    def test_for_many_steps_loses_nothing_and_keeps_little(self, timeline: Timeline) -> None:
        for step in range(1, 101):
            timeline.records.exits = [
                Exit(1_000 + 50 * step + number, 50, 1_000) for number in range(50)
            ]
            timeline.measuring.measure(timeline.clock(10 * step))  # and nothing is stored
            assert len(timeline.measuring._exits) <= 200
        assert total(timeline.at(1_010), "shop") == 5_000 * 1_000
        assert timeline.measuring._exits == []
        assert total(timeline.at(1_020), "shop") == 0

    def test_keeps_the_applications_of_what_was_seen_to_begin(self, timeline: Timeline) -> None:
        for step in range(1, 51):
            pids = range(1_000 + 10 * step, 1_010 + 10 * step)
            for pid in pids:
                timeline.host.put(program(pid, "job", ppid=50, start=100_000 + pid))
            timeline.measuring.watch(timeline.clock(10 * step - 5)())
            for pid in pids:
                timeline.host.end(pid)
            timeline.records.exits = [Exit(pid, 50, 2_000) for pid in pids]
            timeline.measuring.measure(timeline.clock(10 * step))
            baseline = timeline.measuring.baseline
            assert baseline is not None
            assert len(baseline.table.processes) + len(timeline.measuring._exits) <= 200
        samples = timeline.at(510)
        assert (total(samples, "job"), total(samples, "shop")) == (500 * 2_000, 0)


def test_a_host_with_many_processes_is_not_too_much() -> None:
    many = Table({pid: reading(pid, "shop", cpu_us=1) for pid in range(1, 30_000)})
    assert not is_too_much(many, many, [])
