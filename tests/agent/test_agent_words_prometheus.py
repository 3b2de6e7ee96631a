"""Counters and gauges of an application's Prometheus endpoint become its meters."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.words.amounts import NANO, Carry, nanos
from hostmeter_agent.words.config import Endpoint, Metric
from hostmeter_agent.words.exposition import read_page
from hostmeter_agent.words.prometheus import SERIES_MAX, EndpointState, PrometheusProbe, step_of
from hostmeter_agent.words.scraping import PAGE_BYTES_MAX, PageUnavailable, fetch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.endpoint import Application, serving_page

REQUESTS = Metric("prometheus", "shop", "requests_total", "transactions")
SENT = Metric("prometheus", "shop", "sent_megabytes_total", "network.sent", multiply=1_000_000)
USERS = Metric("prometheus", "shop", "sessions", "users.concurrent", version=2)

PAGE = r"""# HELP requests_total Requests "{by code}.
# TYPE requests_total counter
requests_total{code="200",path="/a\"b\\c,d}"} 1.5e1 1700000000000
requests_total{code="500"} 4
requests_total_other 7
# TYPE sessions gauge
sessions 3 # {trace_id="x"} 1
latency_bucket{le="+Inf"} +Inf
sent_megabytes_total 0.1
process_start_time_seconds 1.7e9
# EOF
"""


class TestAPage:
    def test_is_read_for_the_wanted_names_and_no_others(self) -> None:
        found = read_page(PAGE, {"requests_total", "sessions"})
        assert set(found.series) == {"requests_total", "sessions"}
        first, second = found.series["requests_total"]
        assert first.labels == {"code": "200", "path": '/a"b\\c,d}'}
        assert (first.value, second.value) == (15 * NANO, 4 * NANO)
        assert found.series["sessions"][0].value == 3 * NANO
        assert found.start == 1_700_000_000 * NANO
        assert found.names("requests_total")
        assert not found.names("sent_megabytes_total")

    @pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1e30", "x", "1e999999999"])
    def test_says_which_values_are_no_amounts(self, value: str) -> None:
        found = read_page(f"a {value}\n", {"a"})
        assert found.refused == {"a"}
        assert not found.series

    @settings(deadline=None)
    @given(st.text(max_size=200))
    def test_may_hold_anything(self, text: str) -> None:
        read_page(f"{text}\na{{{text}}} {text}\na 1\n", {"a"})


class TestAmounts:
    @settings(deadline=None)
    @given(st.lists(st.decimals(0, 10**6, places=4), max_size=50), st.integers(1, 1000))
    def test_with_fractions_add_up_to_the_last_one(self, parts: list[Decimal], scale: int) -> None:
        kept: dict[str, int] = {}
        whole = 0
        for part in parts:
            carry = Carry(kept)
            whole += carry.whole("x", (nanos(part) or 0) * scale)
            kept = json.loads(json.dumps(carry.kept))
        assert whole == int(sum(parts) * scale)


@dataclass
class Chain:
    """Pages one after another, each a step from the last."""

    metrics: tuple[Metric, ...] = (REQUESTS,)
    state: EndpointState = field(default_factory=lambda: EndpointState(1_000 * NANO))
    marks: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)

    def read(self, text: str) -> int | None:
        step = step_of(read_page(text, {m.name for m in self.metrics}), self.state, self.metrics)
        self.state = EndpointState(**json.loads(json.dumps(step.state.encode())))
        self.marks, self.absent = step.marks, step.absent
        amount = step.counters.get("transactions")
        return None if amount is None else amount // NANO


class TestCounters:
    def test_add_the_difference_from_the_first_page_on(self) -> None:
        chain = Chain()
        assert chain.read('requests_total{c="a"} 100\n') is None
        assert chain.absent == {"transactions"}
        assert chain.read('requests_total{c="a"} 130\n') == 30
        assert chain.read('requests_total{c="a"} 130\nrequests_total{c="b"} 5\n') == 5
        assert (chain.marks, chain.absent) == (set(), set())

    def test_that_went_backwards_add_their_whole_value_and_a_mark(self) -> None:
        chain = Chain()
        chain.read("requests_total 100\n")
        assert chain.read("requests_total 7\n") == 7
        assert chain.marks == {"counter-reset"}

    def test_of_a_process_that_began_anew_add_their_whole_value_though_it_is_higher(self) -> None:
        chain = Chain()
        chain.read("requests_total 100\nprocess_start_time_seconds 500\n")
        assert chain.read("requests_total 120\nprocess_start_time_seconds 900\n") == 120
        assert chain.marks == {"counter-reset"}
        assert chain.read("requests_total 121\nprocess_start_time_seconds 900\n") == 1

    def test_of_a_process_younger_than_the_first_look_add_their_first_value(self) -> None:
        assert Chain().read("requests_total 9\nprocess_start_time_seconds 1001\n") == 9
        assert Chain().read("requests_total 9\nprocess_start_time_seconds 999\n") is None

    def test_that_were_away_for_a_page_go_on_from_where_they_were(self) -> None:
        chain = Chain()
        chain.read('requests_total{c="a"} 100\nrequests_total{c="b"} 1\n')
        assert chain.read('requests_total{c="b"} 1\n') == 0
        assert chain.read('requests_total{c="a"} 104\nrequests_total{c="b"} 1\n') == 4

    def test_are_chosen_by_their_labels(self) -> None:
        only = Metric(
            "prometheus", "shop", "requests_total", "transactions",
            where=(("code", re.compile("^2")),), unless=(("path", re.compile("^/health")),),
        )  # fmt: skip
        chain = Chain((only,))
        text = 'requests_total{{code="200"}} {}\nrequests_total{{code="500"}} {}\n'
        text += 'requests_total{{code="200",path="/healthz"}} {}\n'
        chain.read(text.format(0, 0, 0))
        assert chain.read(text.format(3, 50, 50)) == 3

    def test_whose_name_is_declared_but_has_no_series_yet_are_zero(self) -> None:
        chain = Chain()
        chain.read("# TYPE requests_total counter\n")
        assert chain.read("# TYPE requests_total counter\n") == 0
        assert chain.read("requests_total 2\n") == 2

    def test_in_more_series_than_are_kept_are_marked(self) -> None:
        chain = Chain()
        text = "".join(f'requests_total{{n="{n}"}} 1\n' for n in range(SERIES_MAX + 1))
        chain.read(text)
        assert chain.marks == {"too-many-series"}
        assert len(chain.state.series) == SERIES_MAX

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=30))
    def test_add_up_to_what_was_counted_over_restarts_and_lost_pages(
        self, turns: list[tuple[int, bool, bool]]
    ) -> None:
        """Each turn: so much more is counted; the application restarts; the page is seen."""
        chain, counted, value, start = Chain(), 0, 0, 500
        chain.read(f"requests_total 0\nprocess_start_time_seconds {start}\n")
        for more, restarts, is_seen in turns:
            if restarts:
                value, start = 0, start + 10
            value += more
            if is_seen:
                text = f"requests_total {value}\nprocess_start_time_seconds {start}\n"
                counted += chain.read(text) or 0
        assert counted == _expected(turns)


def _expected(turns: list[tuple[int, bool, bool]]) -> int:
    """What each process had counted by the last page that showed it; what it counted after that,
    nobody can know."""
    total = value = shown = 0
    for more, restarts, is_seen in turns:
        if restarts:
            total, value, shown = total + shown, 0, 0
        value += more
        shown = value if is_seen else shown
    return total + shown


class TestFetching:
    def test_over_loopback_and_a_unix_socket(self, tmp_path: Path) -> None:
        for socket in (None, tmp_path / "app.sock"):
            with serving_page(socket) as application:
                application.page = PAGE
                assert fetch(Endpoint("shop", application.url)) == PAGE
                assert application.asked == ["/metrics"]

    def test_sends_the_token_that_its_file_holds_now(self, tmp_path: Path) -> None:
        token = tmp_path / "token"
        with serving_page() as application:
            application.page, application.token = PAGE, "open-sesame"
            endpoint = Endpoint("shop", application.url, token_file=str(token))
            for content, said in (("wrong\n", "status 401"), ("", "no token"), (None, "No such")):
                token.unlink(missing_ok=True) if content is None else token.write_text(content)
                with pytest.raises(PageUnavailable, match=said):
                    fetch(endpoint)
            token.write_text("open-sesame\n")
            assert fetch(endpoint) == PAGE

    @pytest.mark.parametrize("status", [204, 302, 404, 500])
    def test_takes_no_other_status_than_200(self, status: int) -> None:
        with serving_page() as application:
            application.status = status
            with pytest.raises(PageUnavailable, match=f"status {status}"):
                fetch(Endpoint("shop", application.url))

    def test_ends_with_a_page_that_is_too_large(self) -> None:
        with serving_page() as application:
            application.page = "x" * (PAGE_BYTES_MAX + 1)
            with pytest.raises(PageUnavailable, match="more than 8388608 bytes"):
                fetch(Endpoint("shop", application.url))

    def test_ends_when_time_is_up(self) -> None:
        with serving_page() as application:
            application.page, application.hold = PAGE, threading.Event()
            began = time.monotonic()
            with pytest.raises(PageUnavailable, match="timed out"):
                fetch(Endpoint("shop", application.url, timeout_seconds=1))
            assert time.monotonic() - began < 3

    def test_where_nobody_listens_says_so(self) -> None:
        with pytest.raises(PageUnavailable, match="Connection refused"):
            fetch(Endpoint("shop", "http://127.0.0.1:9/"))


@dataclass
class Agent:
    """An agent that asks a running application, each second."""

    application: Application
    metrics: tuple[Metric, ...] = (REQUESTS, SENT, USERS)
    state: object = None
    totals: dict[str, int] = field(default_factory=dict)
    last: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        endpoint = Endpoint("shop", self.application.url, timeout_seconds=1)
        self.probe = PrometheusProbe([endpoint], self.metrics, interval_seconds=1)

    def scan(self) -> Readings:
        self.last = self.probe.read(Scan(), self.state, elapsed_ms=1_000)
        self.state = json.loads(json.dumps(self.last.state))
        self.probe.stored()
        for meter, amount in self.last.counters.get("shop", {}).items():
            self.totals[meter] = self.totals.get(meter, 0) + amount
        return self.last

    def until(self, condition: Callable[[], bool]) -> None:
        """Scan until it holds; fails with the last readings when it never does."""
        until = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < until, (self.last, self.totals)
            time.sleep(0.05)
            self.scan()

    def quality(self, meter: str) -> Measured:
        return self.last.measured["shop"][meter]


@pytest.fixture
def application() -> Iterator[Application]:
    with serving_page() as application:
        yield application


def text(requests: int, sent: str = "0", sessions: int = 0) -> str:
    return (
        f"# TYPE requests_total counter\nrequests_total {requests}\n"
        f"sent_megabytes_total {sent}\nsessions {sessions}\n"
    )


def test_a_running_application_is_metered_through_its_own_restart_absence_and_the_agents(
    application: Application,
) -> None:
    application.page = text(1_000)
    agent = Agent(application)
    with closing(agent.probe):
        agent.scan()
        assert "shop" not in agent.last.counters
        application.page = text(1_010, "0.0000015", sessions=4)
        agent.until(lambda: agent.totals.get("transactions") == 10)
        agent.until(lambda: agent.last.gauges["shop"]["users.concurrent"] == 4)
        assert agent.totals["network.sent"] == 1  # and half a byte is carried
        assert agent.quality("users.concurrent") == Measured("exact", "prometheus/1.2")
        application.status = 503
        agent.until(lambda: agent.quality("transactions").quality == "unavailable")
        assert "shop" not in agent.last.counters
        assert agent.last.marks["shop"] == {"endpoint-missing"}
    application.page, application.status = text(1_050, "0.000003", sessions=1), 200
    agent.start()
    with closing(agent.probe):
        agent.until(lambda: agent.totals["transactions"] == 50)
        assert agent.totals["network.sent"] == 3
        application.page = text(7)
        agent.until(lambda: agent.totals["transactions"] == 57)


def test_no_scan_waits_for_a_slow_endpoint(application: Application) -> None:
    application.page = text(5)
    agent = Agent(application)
    with closing(agent.probe):
        agent.scan()
        application.hold = threading.Event()
        began = time.monotonic()
        for _ in range(100):
            agent.scan()
        assert time.monotonic() - began < 1


def test_two_endpoints_add_up_and_one_that_is_missing_makes_a_lower_bound(
    application: Application,
) -> None:
    application.page = text(5, sessions=2)
    with serving_page() as other:
        other.page = text(7, sessions=3)
        endpoints = [Endpoint("shop", one.url, timeout_seconds=1) for one in (application, other)]
        probe = PrometheusProbe(endpoints, (REQUESTS, USERS), interval_seconds=60)
        with closing(probe):
            assert probe.claims == {"shop": {"transactions", "users.concurrent"}}
            first = probe.read(Scan(), None, elapsed_ms=0)
            assert first.gauges["shop"]["users.concurrent"] == 5
    application.page = text(6, sessions=2)
    probe = PrometheusProbe(endpoints, (REQUESTS, USERS), interval_seconds=60)
    with closing(probe):
        second = probe.read(Scan(), first.state, elapsed_ms=60_000)
    assert second.counters["shop"]["transactions"] == 1
    assert second.measured["shop"]["transactions"].quality == "lower_bound"
    assert second.marks["shop"] == {"endpoint-missing"}
