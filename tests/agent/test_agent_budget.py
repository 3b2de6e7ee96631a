"""A scrape that costs too much sheds its dearest parts, and takes them back when it can."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hostmeter_agent.config import Config
from hostmeter_agent.measure.budget import (
    DETAILS,
    PATIENCE_SCRAPES,
    RETRY_SCRAPES_MAX,
    RETRY_SCRAPES_MIN,
    TRIAL_SCRAPES,
    Budget,
    scrape_budget_us,
)
from hostmeter_agent.measure.scan import Scan, Scanner
from hostmeter_agent.opening import open_scanner
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.apart import apart

PROBES = ("network", "words", "launches")
PARTS = (*PROBES, *DETAILS)


def budget(cpu_us_max: int = 100_000, memory_bytes_max: int | None = None) -> Budget:
    return Budget(PARTS, cpu_us_max=cpu_us_max, memory_bytes_max=memory_bytes_max)


def scrape(planned: Budget, costs: Mapping[str, int]) -> set[str]:
    """One scrape in which each part that is not shed costs what `costs` says."""
    shed = planned.plan()
    for name, us in costs.items():
        if name not in shed:
            planned.note(name, us)
    return shed


def run(planned: Budget, costs: Mapping[str, int], scrapes: int) -> list[set[str]]:
    return [scrape(planned, costs) for _ in range(scrapes)]


def test_one_percent_of_a_core_is_100_ms_in_10_s() -> None:
    assert scrape_budget_us(10, 10) == 100_000


class TestShedding:
    def test_leaves_out_nothing_while_it_fits(self) -> None:
        assert run(budget(), {"scan": 20_000, "network": 80_000}, 50)[-1] == set()

    def test_forgives_one_dear_scrape(self) -> None:
        planned = budget()
        scrape(planned, {"scan": 900_000})
        assert run(planned, {"scan": 20_000, "network": 9_000}, 20)[-1] == set()

    def test_takes_the_dearest_first_and_no_more_than_needed(self) -> None:
        costs = {"scan": 30_000, "network": 60_000, "words": 40_000, "launches": 10_000}
        shed = run(budget(), costs, PATIENCE_SCRAPES + 1)
        assert shed == [set()] * PATIENCE_SCRAPES + [{"network"}]

    def test_takes_several_where_one_is_not_enough(self) -> None:
        costs = {"scan": 30_000, "network": 90_000, "words": 80_000, "launches": 10_000}
        assert run(budget(), costs, PATIENCE_SCRAPES + 1)[-1] == {"network", "words"}

    def test_takes_details_of_the_base_scan_like_probes(self) -> None:
        costs = {"scan": 60_000, "proportional-memory": 70_000, "network": 20_000}
        assert run(budget(), costs, PATIENCE_SCRAPES + 1)[-1] == {"proportional-memory"}

    def test_says_when_the_base_scan_alone_is_too_dear(self) -> None:
        planned = budget()
        shed = run(planned, {"scan": 150_000, "network": 10}, PATIENCE_SCRAPES + 3)
        assert shed[-1] == {"network"}
        assert planned.exceeded

    def test_never_leaves_out_what_is_not_sheddable_or_costs_nothing(self) -> None:
        shed = run(budget(), {"scan": 150_000, "words": 0}, 20)
        assert all("scan" not in names and "words" not in names for names in shed)

    def test_takes_one_at_a_time_for_memory(self) -> None:
        planned = budget(memory_bytes_max=64_000_000)
        costs = {"scan": 20_000, "network": 9_000, "words": 5_000}
        shed = []
        for _ in range(PATIENCE_SCRAPES + 2):
            planned.note_memory(65_000_000)
            shed.append(scrape(planned, costs))
        assert shed[-2:] == [{"network"}, {"network", "words"}]


class TestComingBack:
    COSTS = {"scan": 30_000, "network": 90_000}

    def shed(self) -> Budget:
        planned = budget()
        assert run(planned, self.COSTS, PATIENCE_SCRAPES + 1)[-1] == {"network"}
        return planned

    def test_what_has_become_cheap_comes_back_and_stays(self) -> None:
        planned = self.shed()
        cheap = {"scan": 30_000, "network": 5_000}
        shed = run(planned, cheap, RETRY_SCRAPES_MIN)
        assert shed[-2:] == [{"network"}, set()]
        assert run(planned, cheap, 100) == [set()] * 100

    def test_what_is_still_dear_is_tried_ever_more_rarely(self) -> None:
        planned = self.shed()
        shed = run(planned, self.COSTS, 4_000)
        trials = [n for n, (a, b) in enumerate(pairwise(shed)) if a and not b]
        pauses = [after - before for before, after in pairwise(trials)]
        assert pauses[0] < pauses[1] < pauses[2]
        assert max(pauses) <= RETRY_SCRAPES_MAX + TRIAL_SCRAPES + 1
        ran = sum(1 for names in shed if "network" not in names)
        assert ran <= TRIAL_SCRAPES * len(trials)
        assert ran / len(shed) < 0.02

    def test_a_trial_takes_nothing_else_down(self) -> None:
        planned = self.shed()
        shed = run(planned, {**self.COSTS, "words": 20_000}, 500)
        assert all("words" not in names for names in shed)

    def test_the_first_scrape_of_a_trial_may_be_dear(self) -> None:
        planned = self.shed()
        run(planned, {"scan": 30_000}, RETRY_SCRAPES_MIN - 1)
        assert scrape(planned, self.COSTS) == set()
        assert run(planned, {"scan": 30_000, "network": 5_000}, 50)[-1] == set()

    def test_it_waits_while_the_rest_needs_the_room(self) -> None:
        planned = self.shed()
        assert run(planned, {"scan": 90_000, "network": 1}, 200)[-1] == {"network"}

    def test_it_waits_while_memory_is_short(self) -> None:
        planned = budget(memory_bytes_max=64_000_000)
        run(planned, self.COSTS, PATIENCE_SCRAPES + 1)
        planned.note_memory(60_000_000)
        assert run(planned, {"scan": 1_000, "network": 1}, 200)[-1] == {"network"}
        planned.note_memory(40_000_000)
        assert run(planned, {"scan": 1_000, "network": 1}, 20)[-1] == set()


@given(
    st.fixed_dictionaries({name: st.integers(0, 500_000) for name in PARTS}),
    st.integers(0, 100_000),
)
def test_whatever_parts_cost_it_settles_within_the_budget(
    costs: dict[str, int], scan_us: int
) -> None:
    """Apart from trials, a scrape fits once the first have been judged."""
    planned = budget()
    spent = []
    for _ in range(60):
        shed = scrape(planned, {**costs, "scan": scan_us})
        spent.append(scan_us + sum(us for name, us in costs.items() if name not in shed))
    late = spent[PATIENCE_SCRAPES:]
    over = [us for us in late if us > 100_000]
    tries = 60 // RETRY_SCRAPES_MIN * TRIAL_SCRAPES
    assert len(over) <= tries
    assert late[0] <= 100_000


class TestLive:
    """On this machine's own clock, with a probe that burns CPU time."""

    @staticmethod
    def burn(rounds: int) -> None:
        hashlib.pbkdf2_hmac("sha256", b"dear", b"probe", rounds)

    def burn_and_fail(self) -> None:
        self.burn(10_000)
        self.burn(0)

    def scrape(self, planned: Budget, dear_rounds: int) -> set[str]:
        shed = planned.plan()
        with planned.timed("scan"):
            self.burn(1_000)
        for name, rounds in (("network", 1_000), ("words", dear_rounds)):
            if name not in shed:
                with planned.timed(name):
                    self.burn(rounds)
        return shed

    def test_a_deliberately_dear_probe_is_shed_and_comes_back(self) -> None:
        planned = budget(cpu_us_max=20_000)
        dear = [self.scrape(planned, 200_000) for _ in range(PATIENCE_SCRAPES + 1)]
        assert dear == [set()] * PATIENCE_SCRAPES + [{"words"}]
        cheap = [self.scrape(planned, 1_000) for _ in range(RETRY_SCRAPES_MIN + TRIAL_SCRAPES)]
        assert cheap[-1] == set()
        assert planned.cost_us < 20_000

    def test_a_time_is_rounded_down_to_microseconds(self) -> None:
        ticks = iter([5_000_000, 5_250_999])
        planned = Budget(PROBES, cpu_us_max=200, clock_ns=lambda: next(ticks))
        with planned.timed("network"):
            pass
        planned.plan()
        assert planned.cost_us == 250

    def test_a_probe_that_fails_is_charged_all_the_same(self) -> None:
        planned = budget()
        with pytest.raises(ValueError, match="iteration"), planned.timed("network"):
            self.burn_and_fail()
        planned.plan()
        assert planned.cost_us > 0


class TestDetailsOfTheScan:
    """What of the base scan can be left out, of a program on this machine."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[str]:
        """The application's name; whoever runs the tests may read all of it."""
        path = tmp_path / f"holder-of-{os.getpid()}.py"
        path.write_text("import sys\nprint(flush=True)\nsys.stdin.readline()\n")
        words = apart(sys.executable, str(path))
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            yield path.stem
            child.communicate(b"\n")

    def scan(self, scanner: Scanner, second: float, *left_out: str) -> Scan:
        return scanner.scan(now_s=second, left_out=frozenset(left_out))

    def test_without_kinds_the_number_of_descriptors_stays(self, own: str) -> None:
        scanner, _ = open_scanner(Config())
        whole = self.scan(scanner, 1_000)
        assert whole.gauges[own].kinds is not None
        assert scanner.details_us["descriptor-kinds"] > 0
        without = self.scan(scanner, 1_010, "descriptor-kinds")
        assert without.gauges[own].kinds is None
        assert without.gauges[own].descriptors
        assert scanner.details_us["descriptor-kinds"] == 0
        assert self.scan(scanner, 1_020).gauges[own].kinds is not None

    def test_without_proportional_memory_it_is_estimated(self, own: str) -> None:
        scanner, _ = open_scanner(Config())
        assert self.scan(scanner, 1_000).gauges[own].shared_bytes == 0
        assert scanner.details_us["proportional-memory"] > 0
        estimated = self.scan(scanner, 1_010, "proportional-memory").gauges[own]
        assert estimated.shared_bytes > 0
        assert estimated.memory_bytes
        assert scanner.details_us["proportional-memory"] == 0
