"""What probes add to the samples, and how it is said to have been measured."""

import json
from dataclasses import dataclass, field

import pytest
from hostmeter_agent.measure.budget import Budget
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.probing import Probing
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.store.spool import Spool, batch_body

from tests.agent.fakehost import FakeHost
from tests.agent.hosttime import Timeline, probing, program, start, usage

EXACT = Measured("exact", "paper/1")


@dataclass
class PaperProbe(Probe):
    """A cumulative counter and a gauge of one application, as a kernel would keep them."""

    name: str = "paper"
    total: int = 0
    users: int = 0
    peak: int = 0
    measured: Measured = EXACT
    marks: set[str] = field(default_factory=set)
    formers: list[object] = field(default_factory=list)
    stored_steps: int = 0
    spin: bool = False
    """Be dear."""
    meter: str = "transactions"
    failure: Exception | None = None
    stored_failure: Exception | None = None
    closed: int = 0
    table: dict[str, Measured] | None = None

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        assert "app" in scan.gauges
        self.formers.append(former)
        if self.failure is not None:
            raise self.failure
        if self.spin:
            sum(range(100_000))
        known = former if isinstance(former, int) else 0
        return Readings(
            counters={"app": {self.meter: self.total - known}},
            gauges={"app": {"users.concurrent": self.users}},
            maxima={"app": {"users.concurrent": self.peak}},
            measured={"app": self.table or {self.meter: self.measured}},
            default={"network.sent": Measured("unavailable", "paper/1")},
            marks={"app": self.marks},
            state=self.total,
        )

    def stored(self) -> None:
        self.stored_steps += 1
        if self.stored_failure is not None:
            raise self.stored_failure

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(name="host")
def fake_host(tmp_path: object) -> FakeHost:
    host = FakeHost(tmp_path)  # type: ignore[arg-type]
    host.put(program(10, "app"))
    return host


def started(host: FakeHost, *probes: Probe) -> Timeline:
    timeline = start(host, probes=probes)
    timeline.at(0)
    return timeline


def how(timeline: Timeline, second: float) -> dict[str, list[str]]:
    """The qualities and methods of the application `app` at a scan that is not stored."""
    step = timeline.measuring.measure(timeline.clock(second))
    keys = {str(s["measured"]) for s in step.samples if s["application"] == "app"}
    assert len(keys) == 1
    meters: dict[str, list[str]] = json.loads(step.measurements[keys.pop()])["meters"]
    return meters


class TestQuantities:
    def test_counters_are_deltas_and_gauges_integrals(self, host: FakeHost) -> None:
        probe = PaperProbe(total=100)
        timeline = started(host, probe)
        probe.total, probe.users, probe.peak = 142, 3, 8
        found = usage(timeline.at(10), "app")
        assert found["transactions"] == 42
        assert found["users.concurrent"] == 30
        assert found["users.concurrent.max"] == 8

    def test_a_step_that_was_not_stored_is_read_again_whole(self, host: FakeHost) -> None:
        probe = PaperProbe()
        timeline = started(host, probe)
        probe.total = 5
        timeline.measuring.measure(timeline.clock(10))
        probe.total = 12
        assert usage(timeline.at(20), "app")["transactions"] == 12
        assert probe.formers == [None, 0, 0]
        assert probe.stored_steps == 2

    def test_the_next_run_goes_on_from_the_stored_state(self, host: FakeHost) -> None:
        probe = PaperProbe(total=7)
        timeline = started(host, probe)
        again = timeline.restart()
        later = PaperProbe(total=10)
        again.measuring.probing = probing([later])
        assert usage(again.at(20), "app")["transactions"] == 3
        assert later.formers == [7]

    def test_counters_over_a_bucket_boundary_are_shared_exactly(self, host: FakeHost) -> None:
        probe = PaperProbe()
        timeline = started(host, probe)
        timeline.at(295)
        probe.total = 101
        found = [s["usage"] for s in timeline.at(305) if s["application"] == "app"]
        assert [u["transactions"] for u in found if isinstance(u, dict)] == [50, 51]

    def test_a_later_probe_wins(self, host: FakeHost) -> None:
        first, second = PaperProbe(), PaperProbe(name="words")
        timeline = started(host, first, second)
        first.total, second.total = 1_000, 3
        assert usage(timeline.at(10), "app")["transactions"] == 3


class TestQualities:
    def test_they_are_named_with_their_method(self, host: FakeHost) -> None:
        timeline = started(host, PaperProbe(measured=Measured("lower_bound", "turnaround/1")))
        found = how(timeline, 10)
        assert found["transactions"] == ["lower_bound", "turnaround/1"]
        assert found["network.sent"] == ["unavailable", "paper/1"]

    def test_what_one_can_measure_no_other_makes_unavailable(self, host: FakeHost) -> None:
        blind = PaperProbe(name="blind", measured=Measured("unavailable", "blind/1"))
        timeline = started(host, PaperProbe(), blind)
        assert how(timeline, 10)["transactions"] == ["exact", "paper/1"]

    def test_marks_stand_beside_them(self, host: FakeHost) -> None:
        probe = PaperProbe(marks={"counter-reset"})
        timeline = started(host, probe)
        step = timeline.measuring.measure(timeline.clock(10))
        texts = [json.loads(text).get("marks") for text in step.measurements.values()]
        assert ["counter-reset"] in texts


class TestOwnLimits:
    """The agent's own limit on CPU time is so low here that any probe breaks it."""

    def shed(self, host: FakeHost) -> tuple[Timeline, PaperProbe]:
        probe = PaperProbe(spin=True)
        timeline = started(host, probe)
        timeline.measuring.probing = probing([probe], cpu_us_max=1)
        for second in (10, 20):
            timeline.at(second)
        return timeline, probe

    def test_a_probe_that_costs_too_much_is_left_out_and_that_is_said(
        self, host: FakeHost, caplog: pytest.LogCaptureFixture
    ) -> None:
        timeline, probe = self.shed(host)
        reads = len(probe.formers)
        step = timeline.measuring.measure(timeline.clock(30))
        assert len(probe.formers) == reads
        assert caplog.text.count("paper is left out") == 1
        told = [json.loads(text) for text in step.measurements.values()]
        assert all(t["marks"] == ["probe-shed"] for t in told)
        assert how(timeline, 30)["transactions"] == ["unavailable", "paper/1"]
        assert "transactions" not in usage(step.samples, "app")

    def test_what_was_counted_meanwhile_arrives_when_it_is_back(self, host: FakeHost) -> None:
        timeline, probe = self.shed(host)
        probe.total = 70
        timeline.at(30)
        timeline.measuring.probing = probing([probe])
        assert usage(timeline.at(40), "app")["transactions"] == 70


def test_a_batch_holds_the_measurements_that_its_samples_name(tmp_path: object) -> None:
    spool = Spool(tmp_path / "spool.sqlite3")  # type: ignore[operator]
    sample: dict[str, object] = {"application": "app", "measured": "aa"}
    spool.record([sample], b"{}", at=1.0, measurements={"aa": '{"gap":"host-down"}'})
    spool.record([{"application": "b"}], b"{}", at=2.0, measurements={"cc": "{}"})
    due = spool.next_pieces()
    assert due.measurements == {"aa": '{"gap":"host-down"}'}
    body = json.loads(batch_body("e", 1, "2026-01-01T12:00:00Z", due.pieces, due.measurements))
    assert body["measurements"] == {"aa": {"gap": "host-down"}}
    assert [s.get("measured") for s in body["samples"]] == ["aa", None]


class TestProbesThatFail:
    """A probe that does not know what befell it ends neither the agent nor the others."""

    def test_its_meters_are_unavailable_and_arrive_whole_later(
        self, host: FakeHost, caplog: pytest.LogCaptureFixture
    ) -> None:
        probe, other = PaperProbe(), PaperProbe(name="other", meter="records")
        timeline = started(host, probe, other)
        probe.total, other.total = 5, 6
        timeline.at(10)
        probe.total, other.total, probe.failure = 12, 13, ZeroDivisionError("7 / 0")
        with caplog.at_level("ERROR"):
            samples = timeline.at(20)
            timeline.at(30)
        assert "transactions" not in usage(samples, "app")
        assert usage(samples, "app")["records"] == 7
        assert [r.message for r in caplog.records] == [
            "paper failed, its meters are unavailable meanwhile: ZeroDivisionError: 7 / 0"
        ]
        assert how(timeline, 40)["transactions"] == ["unavailable", "paper/1"]
        probe.failure, probe.total = None, 20
        assert usage(timeline.at(50), "app")["transactions"] == 15

    def test_their_windows_are_marked(self, host: FakeHost) -> None:
        probe = PaperProbe()
        timeline = started(host, probe)
        probe.failure = RuntimeError("broken")
        step = timeline.measuring.measure(timeline.clock(10))
        assert all(json.loads(t)["marks"] == ["probe-failed"] for t in step.measurements.values())

    def test_what_it_cannot_get_over_is_given_up(self, host: FakeHost) -> None:
        probe = PaperProbe(total=5)
        timeline = started(host, probe)
        probe.failure = ValueError("state of another layout")
        for second in (10, 20, 30):
            timeline.at(second)
        probe.failure, probe.total = None, 100
        timeline.at(40)
        assert probe.formers[-1] is None

    def test_what_the_kernel_refuses_for_a_while_is_never_given_up(self, host: FakeHost) -> None:
        probe = PaperProbe(total=5)
        timeline = started(host, probe)
        probe.failure = OSError(12, "Cannot allocate memory")
        for second in range(10, 100, 10):
            timeline.at(second)
        probe.failure, probe.total = None, 9
        assert usage(timeline.at(100), "app")["transactions"] == 4

    def test_no_other_probe_stands_in_for_what_is_still_to_come(self, host: FakeHost) -> None:
        library, kernel = PaperProbe(name="library"), PaperProbe(name="kernel")
        timeline = started(host, library, kernel)
        library.total = kernel.total = 10
        found = usage(timeline.at(10), "app")["transactions"]
        library.total = kernel.total = 30
        kernel.failure = OSError(12, "Cannot allocate memory")
        found += usage(timeline.at(20), "app").get("transactions", 0)
        kernel.failure, library.total, kernel.total = None, 60, 60
        found += usage(timeline.at(30), "app")["transactions"]
        assert found == 60

    def test_one_that_fails_when_a_step_was_stored_begins_anew(self, host: FakeHost) -> None:
        probe = PaperProbe()
        timeline = started(host, probe)
        probe.stored_failure, probe.total = OSError(5, "Input/output error"), 5
        assert usage(timeline.at(10), "app")["transactions"] == 5
        assert probe.closed == 1
        probe.stored_failure, probe.total = None, 8
        assert usage(timeline.at(20), "app")["transactions"] == 3

    def test_one_that_fails_at_its_opening_leaves_the_others(self, host: FakeHost) -> None:
        def refuse() -> Probe:
            raise RuntimeError("no such luck")

        timeline = start(host)
        probe = PaperProbe()
        made = Probing({"bad": refuse, "paper": lambda: probe}, Budget([], cpu_us_max=10**9))
        made.use()
        timeline.measuring.probing = made
        timeline.at(0)
        probe.total = 4
        assert usage(timeline.at(10), "app")["transactions"] == 4


class TestClaims:
    def test_tables_that_a_probe_shares_between_applications_are_left_alone(
        self, host: FakeHost
    ) -> None:
        """Else all applications' meters would become unavailable with one application's."""
        shared = {"transactions": EXACT}
        first = PaperProbe(table=shared)
        words = PaperProbe(name="words")
        words.claims = {"app": frozenset({"transactions"})}
        timeline = started(host, first, words)
        timeline.at(10)
        assert shared == {"transactions": EXACT}
